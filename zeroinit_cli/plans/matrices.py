"""Entries of the matrices that a rule's leaves stand for, by closed form: any part of each.

They are bit patterns: a constant's, with the sign bit set or not. No array here is larger than the
part asked for, but for the small base blocks of `_base_rows`. A part is given by the first and
last + 1 index of its rows and of its columns.

Source of the formulas: arXiv:2110.12661, Algorithms 1 and 2.
"""

from functools import lru_cache

import numpy as np

from zeroinit_cli.plans.rounding import Bits

_BASE_BYTES = 256 * 1024  # a base block stays in the second-level cache of any recent core


def fill_identity(out: Bits, rows: tuple[int, int], columns: tuple[int, int], one: int) -> None:
    """Write 1 where the row is the column, else 0."""
    (top, bottom), (left, right) = rows, columns
    out[...] = 0
    diagonal = np.arange(max(top, left), min(bottom, right))
    out[diagonal - top, diagonal - left] = one


@lru_cache(maxsize=4)
def _residue_signs(prime: int, sign: int, bits: str) -> Bits:
    """Return the sign bit where chi(k mod p) = -1, k = 0..2p: any p of them are one slice of it."""
    squares = np.arange(prime, dtype=np.int64) ** 2 % prime
    signs = np.full(prime, sign, bits)
    signs[squares] = 0
    return np.concatenate([signs, signs])


def fill_hadamard(
    out: Bits, rows: tuple[int, int], columns: tuple[int, int], constant: int, sign: int
) -> None:
    """Write rows top..bottom, columns left..right of c * (-1)^popcount(i & j).

    With i = high + low, low < B a power of two: popcount(i & j) = popcount(high & j) +
    popcount(low & j). So a block of B rows is the base block (high = 0) with its columns' signs
    flipped by one row of signs: one XOR per entry, on a base block that stays in cache.
    """
    (top, bottom), (left, right) = rows, columns
    height = _rows_at_once(right - left, bottom, out.itemsize)
    base = _base_rows(height, left, right, constant, sign, out.dtype.str)
    for high in range(top - top % height, bottom, height):
        first, last = max(top, high), min(bottom, high + height)
        signs = _sign_row(high, left, right, sign, out.dtype.str)
        np.bitwise_xor(base[first - high : last - high], signs, out=out[first - top : last - top])


def fill_twisted(
    out: Bits,
    rows: tuple[int, int],
    columns: tuple[int, int],
    block: int,
    prime: int,
    constant: int,
    sign: int,
) -> None:
    """Write Sylvester's entries, column j of each block under a sign of chi, and row 0 negated.

    The blocks have `block` rows, a power of two that is no smaller than the number of columns. So
    popcount(i & j) = popcount(i mod block & j), and all blocks have one base: one XOR per entry.
    In the block that begins at row b column j has the sign chi((b + j) mod p).
    """
    (top, bottom), (left, right) = rows, columns
    height = _rows_at_once(right - left, bottom, out.itemsize)
    base = _base_rows(height, left, right, constant, sign, out.dtype.str)
    table = _residue_signs(prime, sign, out.dtype.str)
    windows = np.lib.stride_tricks.sliding_window_view(table, right - left)
    for high in range(top - top % height, bottom, height):
        first, last = max(top, high), min(bottom, high + height)
        if height <= block:  # all of these rows lie in one block
            signs = windows[(high - high % block + left) % prime]
            signs = signs ^ _sign_row(high, left, right, sign, out.dtype.str)
        else:
            index = np.arange(first, last)
            signs = windows[(index - index % block + left) % prime]
        np.bitwise_xor(base[first - high : last - high], signs, out=out[first - top : last - top])
    if top == 0:
        out[:1] ^= out.dtype.type(sign)


def _rows_at_once(width: int, bottom: int, itemsize: int) -> int:
    """Choose a power of two of rows whose base block stays in cache."""
    height = 1 << max(_BASE_BYTES // (max(width, 1) * itemsize), 1).bit_length() - 1
    return min(height, 1 << (bottom - 1).bit_length()) if bottom > 1 else 1


@lru_cache(maxsize=4)
def _base_rows(height: int, left: int, right: int, constant: int, sign: int, bits: str) -> Bits:
    """Return rows 0..height of the matrix, columns left..right, by doubling."""
    base = np.empty((height, right - left), bits)
    base[:1] = constant
    rows = 1
    while rows < height:
        signs = _sign_row(rows, left, right, sign, bits)
        np.bitwise_xor(base[:rows], signs, out=base[rows : 2 * rows])
        rows *= 2
    return base


def _sign_row(row: int, left: int, right: int, sign: int, bits: str) -> Bits:
    """Return the sign bit where popcount(row & j) is odd, for j = left..right."""
    signs = np.zeros(right - left, bits)
    for bit in range(row.bit_length()):
        if row >> bit & 1:
            signs ^= _bit_row(bit, left, right, sign, bits)
    return signs


@lru_cache(maxsize=64)
def _bit_row(bit: int, left: int, right: int, sign: int, bits: str) -> Bits:
    """Return the sign bit where `bit` is set in j, for j = left..right."""
    signs: Bits = (np.arange(left, right) >> bit & 1).astype(bits)
    signs *= signs.dtype.type(sign)
    return signs

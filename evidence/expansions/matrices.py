"""The matrices that could stand where fan_out > fan_in: signs by closed form, and controls.

Every family but the control of random signs gives an entry from its row, its column and the shape
alone, with the help of a table of at most 2^m numbers. All but two have entries +-c, zeroinit's own
c = 2^(-m/2), m = ceil(log2 fan_out).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evidence.expansions.fields import (
    Numbers,
    Signs,
    cubes,
    maximal_sequence,
    parity,
    residues,
)

Matrix = NDArray[np.float64]
_MIX = 0x9E3779B97F4A7C15  # of SplitMix64, like the constants in `random_signs`


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One way to expand.

    Attributes:
        name: a word for tables.
        words: entry (i, j) in a phrase.
        entries: (fan_out, fan_in) -> the matrix, fan_out > fan_in, its scale included.
    """

    name: str
    words: str
    entries: Callable[[int, int], Matrix]


def constant(fan_out: int) -> float:
    """The constant c of zeroinit under `--scale orthonormal`."""
    return float(2.0 ** (-(fan_out - 1).bit_length() / 2))


def walsh(rows: Numbers, columns: Numbers) -> Signs:
    """(-1)^popcount(r & s): any rows and any columns of the Sylvester matrix."""
    return parity(rows[:, None] & columns[None, :])


def sylvester(fan_out: int, fan_in: int) -> Signs:
    """The default of scheme zero-1."""
    return walsh(np.arange(fan_out), np.arange(fan_in))


def later_columns(fan_out: int, fan_in: int) -> Signs:
    """Sylvester's without its first column, which is all ones."""
    return walsh(np.arange(fan_out), np.arange(1, fan_in + 1))


def rudin_shapiro(fan_out: int, fan_in: int) -> Signs:
    """Sylvester's, its rows and columns each under the Rudin-Shapiro signs."""
    rows, columns = np.arange(fan_out), np.arange(fan_in)
    signs = sylvester(fan_out, fan_in) * parity(rows & rows >> 1)[:, None]
    signed: Signs = signs * parity(columns & columns >> 1)[None, :]
    return signed


def paley(fan_out: int, fan_in: int) -> Signs:
    """Paley's, of the first draft: chi((i - j) mod p), chi(0) = 1, p > fan_out."""
    character = residues(fan_out)
    signs: Signs = character[(np.arange(fan_out)[:, None] - np.arange(fan_in)) % len(character)]
    return signs


def skew_paley(fan_out: int, fan_in: int) -> Signs:
    """Of the whole Hadamard matrix of order p + 1 >= fan_out, which has a border before `paley`.

    With Q[a, b] = chi(a - b) and chi(0) = 0 it is I + [[0, 1], [-1, Q]].
    """
    character = residues(fan_out - 2)  # of the smallest prime of its kind >= fan_out - 1
    body = character[(np.arange(fan_out - 1)[:, None] - np.arange(fan_in - 1)) % len(character)]
    border = np.full((fan_out - 1, 1), -1)
    return np.vstack([np.ones((1, fan_in), np.int64), np.hstack([border, body])])


def singer(fan_out: int, fan_in: int) -> Signs:
    """A row of ones, then a sequence of period 2^m - 1, one step further in each row.

    As columns of Sylvester's matrix of order 2^m these are distinct, but in another order, and any
    m of them tell all rows apart.
    """
    sequence = maximal_sequence((fan_out - 1).bit_length())
    body = sequence[(np.arange(fan_out - 1)[:, None] + np.arange(fan_in)) % len(sequence)]
    return np.vstack([np.ones((1, fan_in), np.int64), body])


def gold(fan_out: int, fan_in: int) -> Signs:
    """Blocks of K = 2^ceil(log2 fan_in) rows, block h = 1, 2, ... Sylvester's under other signs.

    Entry of row (h, l): (-1)^(popcount(l & j) + popcount(h & j^3)), j^3 in GF(K): words of the dual
    of a code that corrects two errors. No block is Sylvester's own, which would be h = 0.
    """
    bits = max((fan_in - 1).bit_length(), 1)
    rows, columns = np.arange(fan_out), np.arange(fan_in)
    high, low = 1 + (rows >> bits), rows & ((1 << bits) - 1)
    signs: Signs = walsh(low, columns) * walsh(high, cubes(bits)[:fan_in])
    return signs


def twisted(fan_out: int, fan_in: int) -> Signs:
    """Blocks of K = 2^ceil(log2 fan_in) rows, at least 2: Sylvester's, columns under chi's signs.

    Entry (i, j): (-1)^popcount(i & j) chi(i - i mod K + j mod p), p as in `paley`. A sign for each
    column leaves a block's columns orthogonal, and signs of its own make a block's rows other than
    the next block's.
    """
    block = 1 << max((fan_in - 1).bit_length(), 1)
    rows, columns = np.arange(fan_out), np.arange(fan_in)
    character = residues(fan_out)
    starts = rows - rows % block
    signs: Signs = walsh(rows, columns) * character[(starts[:, None] + columns) % len(character)]
    return signs


def odd(signs: Callable[[int, int], Signs]) -> Callable[[int, int], Signs]:
    """The same matrix, its first row negated: an even number of ones in a column becomes odd."""

    def negated(fan_out: int, fan_in: int) -> Signs:
        matrix = signs(fan_out, fan_in).copy()
        matrix[0] *= -1
        return matrix

    return negated


def random_signs(fan_out: int, fan_in: int, seed: int = 0) -> Signs:
    """Signs from a fixed 64-bit mixing function of (i, j, fan_out, seed): the control."""
    salt = np.uint64(_MIX * (fan_out + 1000003 * seed) % (1 << 64))
    rows, columns = (np.arange(each, dtype=np.uint64) for each in (fan_out, fan_in))
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = (rows[:, None] * np.uint64(1 << 32) + columns) * np.uint64(_MIX)
        mixed = mixed + salt
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            mixed = (mixed ^ np.right_shift(mixed, np.uint64(shift))) * np.uint64(factor)
    return 1 - 2 * np.bitwise_and(mixed, np.uint64(1)).astype(np.int64)


def cosines(fan_out: int, fan_in: int) -> Matrix:
    """The first columns of the DCT-IV of order fan_out: orthonormal at every fan_out."""
    rows, columns = 2 * np.arange(fan_out)[:, None] + 1, 2 * np.arange(fan_in) + 1
    eighths: Matrix = (rows * columns % (8 * fan_out)).astype(np.float64) / fan_out
    values: Matrix = np.cos(eighths * (math.pi / 4)) * math.sqrt(2 / fan_out)
    return values


def stacked_identities(fan_out: int, fan_in: int) -> Matrix:
    """[I; I; ...], columns of norm 1 where fan_out is a multiple of fan_in."""
    values: Matrix = np.eye(fan_in)[np.arange(fan_out) % fan_in] * np.sqrt(fan_in / fan_out)
    return values


def random_family(seed: int) -> Family:
    """Random signs of one draw."""
    return _signed(
        "random signs", "a hash of (i, j), the control", partial(random_signs, seed=seed)
    )


def _signed(name: str, words: str, signs: Callable[[int, int], Signs]) -> Family:
    def entries(fan_out: int, fan_in: int) -> Matrix:
        return signs(fan_out, fan_in).astype(np.float64) * constant(fan_out)

    return Family(name=name, words=words, entries=entries)


FAMILIES = {
    family.name: family
    for family in (
        _signed("sylvester", "(-1)^popcount(i & j), the default", sylvester),
        _signed("odd sylvester", "the same, row 0 negated", odd(sylvester)),
        _signed("later columns", "(-1)^popcount(i & (j + 1))", later_columns),
        _signed("rudin-shapiro", "r(i) r(j) (-1)^popcount(i & j)", rudin_shapiro),
        _signed("paley", "chi(i - j) mod p, p > fan_out", paley),
        _signed("odd paley", "the same, row 0 negated", odd(paley)),
        _signed("skew paley", "chi(i - j) within a border, order p + 1 >= fan_out", skew_paley),
        _signed("singer", "(-1)^(lowest bit of x^(i - 1 + j) in GF(2^m)), row 0 ones", singer),
        _signed("odd singer", "the same, row 0 negated", odd(singer)),
        _signed("gold", "(-1)^popcount(l & j, h & j^3), i = (h - 1, l)", gold),
        _signed("twisted", "(-1)^popcount(i & j) chi(i - i mod K + j)", twisted),
        _signed("odd twisted", "the same, row 0 negated", odd(twisted)),
        random_family(0),
        Family(name="cosines", words="DCT-IV of order fan_out, not +-c", entries=cosines),
        Family(name="identities", words="[I; I; ...], not +-c", entries=stacked_identities),
    )
}

"""Rule + shape + element type + region -> entries, by closed form.

Entries are computed as the bit patterns of the stored type, in unsigned integers: bfloat16 needs
no library, a sign is one XOR, and nothing passes through floating-point arithmetic, so that no
processor, library version or thread count can change a bit. No array here is larger than the
region asked for, but for the small base blocks of `_base_rows`.

Source of the formulas: arXiv:2110.12661, Algorithms 1 and 2.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans import (
    Groups,
    Hadamard,
    Identity,
    Kept,
    Mirrored,
    Ones,
    Paley,
    Rule,
    Split,
    Taps,
    Transposed,
    Viewed,
    ZeroRow,
    Zeros,
)
from zeroinit_cli.rounding import MANTISSA_BITS, Bits, bits_type, power_bits

Shape = tuple[int, ...]
T = TypeVar("T")
Range = tuple[int, int]
Region = tuple[Range, ...]
"""First and last + 1 index in each dimension."""

_BASE_BYTES = 256 * 1024  # a base block stays in the second-level cache of any recent core


def region_values(
    rule: Rule, shape: Shape, dtype: DType, region: Region, kept: Mapping[str, bytes] | None = None
) -> Bits:
    """Entries of one rectangular region of a tensor.

    Args:
        rule: what the entries are.
        shape: of the whole tensor.
        dtype: element type of the tensor.
        region: first and last + 1 index in each dimension.
        kept: constructor values by digest, for `Kept`.

    Returns:
        bit patterns, C order, shape = the region's lengths.

    Raises:
        ValueError: the region lies outside the tensor, or the rule does not fit the shape.
    """
    if len(region) != len(shape) or any(
        not 0 <= first <= last <= size for (first, last), size in zip(region, shape, strict=True)
    ):
        raise ValueError(f"region {region} is not within shape {shape}")
    out = np.empty([last - first for first, last in region], bits_type(dtype))
    fill(out, rule, shape, region, Elements(dtype=dtype, kept=kept or {}))
    return out


def regions(shape: Shape, most: int) -> Iterator[Region]:
    """The tensor cut into regions that are contiguous in C order, each of at most `most` elements.

    The axis that is cut is the first whose slices fit; the axes before it are walked one by one.
    """
    if not shape:
        yield ()
    if not shape or 0 in shape:
        return
    axis = next(axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= most)
    whole = tuple((0, size) for size in shape[axis + 1 :])
    step = most // math.prod(shape[axis + 1 :])
    for leading in itertools.product(*map(range, shape[:axis])):
        before = tuple((index, index + 1) for index in leading)
        for first in range(0, shape[axis], step):
            yield (*before, (first, min(first + step, shape[axis])), *whole)


def pieces(rule: Rule, shape: Shape) -> Iterator[tuple[Range, Rule]]:
    """Runs of rows of dimension 0 that follow one rule each: a split's parts, or the whole.

    Where a part is `Zeros` its bytes need not be computed, stored or even held.
    """
    if not isinstance(rule, Split):
        yield (0, shape[0] if shape else 1), rule
        return
    start = 0
    for rows, of in rule.parts:
        yield (start, start + rows), of
        start += rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Elements:
    """What a leaf rule needs to know of the stored type and of kept values."""

    dtype: DType
    kept: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def one(self) -> int:
        """Bits of the number 1."""
        return power_bits(0, self.dtype) if self.dtype.code in MANTISSA_BITS else 1

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (self.dtype.bits - 1)


def fill(out: Bits, rule: Rule, shape: Shape, region: Region, elements: Elements) -> None:
    """Write every entry of a region into `out`, a view of the region's shape.

    Each rule that lays out another passes it a view of `out`, so that nothing is copied.
    """
    if not out.size:
        return
    match rule:
        case Zeros():
            out[...] = 0
        case Ones():
            out[...] = elements.one
        case Kept(sha256=sha256):
            whole = np.frombuffer(elements.kept[sha256], out.dtype).reshape(shape)
            out[...] = whole[tuple(slice(*bounds) for bounds in region)]
        case Identity():
            _fill_identity(out, region, elements.one)
        case Hadamard(half_exponent=half_exponent):
            _fill_hadamard(out, region, power_bits(half_exponent, elements.dtype), elements.sign)
        case Paley(prime=prime, half_exponent=half_exponent):
            _fill_paley(
                out, region, prime, power_bits(half_exponent, elements.dtype), elements.sign
            )
        case Mirrored(of=of):
            rows, (left, right) = region
            mirrored = (rows, (shape[1] - right, shape[1] - left))
            fill(out[:, ::-1], of, shape, mirrored, elements)
        case Viewed(rows=count, of=of):
            _fill_viewed(out, count, of, shape, region, elements)
        case Taps(ranges=ranges, of=of):
            _fill_taps(out, ranges, of, shape, region, elements)
        case Groups(count=count, of=of):
            _fill_groups(out, count, of, shape, region, elements)
        case Split(parts=parts):
            _fill_split(out, parts, shape, region, elements)
        case Transposed(of=of):
            fill(out.swapaxes(0, 1), of, _swapped(shape), _swapped(region), elements)
        case ZeroRow(row=row, of=of):
            fill(out, of, shape, region, elements)
            out[max(row - region[0][0], 0) : max(row + 1 - region[0][0], 0)] = 0


def _swapped(dimensions: tuple[T, ...]) -> tuple[T, ...]:
    first, second, *rest = dimensions
    return (second, first, *rest)


def _fill_identity(out: Bits, region: Region, one: int) -> None:
    (top, bottom), (left, right) = region
    out[...] = 0
    diagonal = np.arange(max(top, left), min(bottom, right))
    out[diagonal - top, diagonal - left] = one


def _fill_taps(
    out: Bits, ranges: tuple[Range, ...], of: Rule, shape: Shape, region: Region, elements: Elements
) -> None:
    inside = [
        (max(first, low) - low, min(last, high) - low)
        for (first, last), (low, high) in zip(ranges, region[2:], strict=True)
    ]
    if any(
        (first, last) != (0, size)
        for (first, last), size in zip(inside, out.shape[2:], strict=True)
    ):
        out[...] = 0  # what no tap covers; a 1 x 1 kernel is all tap
    if any(first >= last for first, last in inside):
        return
    matrix = (slice(None), slice(None))
    first_index: tuple[slice | int, ...] = (*matrix, *(first for first, _ in inside))
    first_tap: Bits = out[first_index]  # (rows, columns)
    fill(first_tap, of, shape[:2], region[:2], elements)
    if any(last - first > 1 for first, last in inside):
        taps = out[(*matrix, *(slice(*bounds) for bounds in inside))]
        # copied first: the source would otherwise overlap what is written
        taps[...] = first_tap.copy().reshape(first_tap.shape + (1,) * len(inside))


def _fill_groups(
    out: Bits, count: int, of: Rule, shape: Shape, region: Region, elements: Elements
) -> None:
    """Equal groups: the first whole one is computed, the other whole ones are copies of it.

    Thousands of one-channel groups (depthwise) would otherwise each cost a call.
    """
    rows = shape[0] // count
    group_shape = (rows, *shape[1:])
    (top, bottom), *rest = region
    first_whole, last_whole = -(-top // rows) * rows, bottom // rows * rows
    for first, last in _edges(top, bottom, first_whole, last_whole):
        local = ((first % rows, first % rows + last - first), *rest)
        fill(out[first - top : last - top], of, group_shape, local, elements)
    if first_whole < last_whole:
        whole = out[first_whole - top : last_whole - top]
        groups = whole.reshape(-1, rows, *whole.shape[1:])  # (groups, rows, ...), still a view
        fill(groups[0], of, group_shape, ((0, rows), *rest), elements)
        groups[1:] = groups[0]


def _edges(top: int, bottom: int, first_whole: int, last_whole: int) -> list[Range]:
    """The parts of top..bottom before and after the whole groups."""
    if first_whole > last_whole:  # all within one group
        return [(top, bottom)]
    edges = [(top, first_whole), (last_whole, bottom)]
    return [(first, last) for first, last in edges if first < last]


def _fill_split(
    out: Bits,
    parts: tuple[tuple[int, Rule], ...],
    shape: Shape,
    region: Region,
    elements: Elements,
) -> None:
    (top, bottom), *rest = region
    start = 0
    for rows, of in parts:
        first, last = max(top, start), min(bottom, start + rows)
        if first < last:
            local = ((first - start, last - start), *rest)
            fill(out[first - top : last - top], of, (rows, *shape[1:]), local, elements)
        start += rows


def _fill_viewed(
    out: Bits, count: int, of: Rule, shape: Shape, region: Region, elements: Elements
) -> None:
    """A matrix (count, columns) in a tensor of another shape.

    A region that is one rectangle of the matrix is filled in place; of any other the smallest
    rectangle around it is computed, and what belongs to it picked out.
    """
    axis = next(axis for axis in range(len(shape) + 1) if math.prod(shape[:axis]) == count)
    rows = _flat_positions(shape[:axis], region[:axis])
    columns = _flat_positions(shape[axis:], region[axis:])
    matrix_shape = (count, math.prod(shape[axis:]))
    bounds = tuple((int(flat[0]), int(flat[-1]) + 1) for flat in (rows, columns))
    lengths = tuple(last - first for first, last in bounds)
    if lengths == (rows.size, columns.size):
        fill(out.reshape(lengths, copy=False), of, matrix_shape, bounds, elements)
        return
    around = np.empty(lengths, out.dtype)
    fill(around, of, matrix_shape, bounds, elements)
    picked = around[np.ix_(rows - bounds[0][0], columns - bounds[1][0])]
    out[...] = picked.reshape(out.shape)


def _flat_positions(shape: Shape, region: Region) -> NDArray[np.int64]:
    """Positions in C order of a region's elements, ascending; one position for no dimensions."""
    flat = np.zeros(1, np.int64)
    for size, (first, last) in zip(shape, region, strict=True):
        flat = (flat[:, None] * size + np.arange(first, last)).reshape(-1)
    return flat


def _fill_paley(out: Bits, region: Region, prime: int, constant: int, sign: int) -> None:
    """Each row is a slice of one table, one step to the left of the row's before."""
    (top, bottom), (left, right) = region
    table = _residue_table(prime, constant, sign, out.dtype.str)
    windows = np.lib.stride_tricks.sliding_window_view(table, right - left)
    starts = (left - np.arange(top, bottom)) % prime
    out[...] = windows[starts]


@lru_cache(maxsize=4)
def _residue_table(prime: int, constant: int, sign: int, bits: str) -> Bits:
    """Entries c * chi(-k mod p), k = 0..2p: any row of up to p entries is one slice of it."""
    squares = np.arange(prime, dtype=np.int64) ** 2 % prime
    character = np.full(prime, constant ^ sign, bits)
    character[squares] = constant
    reversed_once = character[-np.arange(prime) % prime]
    return np.concatenate([reversed_once, reversed_once])


def _fill_hadamard(out: Bits, region: Region, constant: int, sign: int) -> None:
    """Rows top..bottom, columns left..right of c * (-1)^popcount(i & j).

    With i = high + low, low < B a power of two: popcount(i & j) = popcount(high & j) +
    popcount(low & j). So a block of B rows is the base block (high = 0) with its columns' signs
    flipped by one row of signs: one XOR per entry, on a base block that stays in cache.
    """
    (top, bottom), (left, right) = region
    columns = max(right - left, 1)
    height = 1 << max(_BASE_BYTES // (columns * out.itemsize), 1).bit_length() - 1
    height = min(height, 1 << (bottom - 1).bit_length()) if bottom > 1 else 1
    base = _base_rows(height, left, right, constant, sign, out.dtype.str)
    for high in range(top - top % height, bottom, height):
        first, last = max(top, high), min(bottom, high + height)
        signs = _sign_row(high, left, right, sign, out.dtype.str)
        np.bitwise_xor(base[first - high : last - high], signs, out=out[first - top : last - top])


@lru_cache(maxsize=4)
def _base_rows(height: int, left: int, right: int, constant: int, sign: int, bits: str) -> Bits:
    """Rows 0..height of the matrix, columns left..right, by doubling."""
    base = np.empty((height, right - left), bits)
    base[:1] = constant
    rows = 1
    while rows < height:
        signs = _sign_row(rows, left, right, sign, bits)
        np.bitwise_xor(base[:rows], signs, out=base[rows : 2 * rows])
        rows *= 2
    return base


def _sign_row(row: int, left: int, right: int, sign: int, bits: str) -> Bits:
    """The sign bit where popcount(row & j) is odd, for j = left..right."""
    signs = np.zeros(right - left, bits)
    for bit in range(row.bit_length()):
        if row >> bit & 1:
            signs ^= _bit_row(bit, left, right, sign, bits)
    return signs


@lru_cache(maxsize=64)
def _bit_row(bit: int, left: int, right: int, sign: int, bits: str) -> Bits:
    """The sign bit where `bit` is set in j, for j = left..right."""
    signs: Bits = (np.arange(left, right) >> bit & 1).astype(bits)
    signs *= signs.dtype.type(sign)
    return signs

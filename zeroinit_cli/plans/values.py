"""Rule + shape + element type + region -> entries, by closed form.

Entries are computed as the bit patterns of the stored type, in unsigned integers: bfloat16 needs
no library, a sign is one XOR, and nothing passes through floating-point arithmetic, so that no
processor, library version or thread count can change a bit. No array here is larger than the
region asked for, or than the rectangle around it in a matrix that a tensor holds.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.matrices import fill_hadamard, fill_identity, fill_paley
from zeroinit_cli.plans.plan import (
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
from zeroinit_cli.plans.rounding import MANTISSA_BITS, Bits, bits_type, power_bits

Shape = tuple[int, ...]
T = TypeVar("T")
Range = tuple[int, int]
Region = tuple[Range, ...]
"""First and last + 1 index in each dimension."""


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
            fill_identity(out, region[0], region[1], elements.one)
        case Hadamard(half_exponent=half_exponent):
            constant = power_bits(half_exponent, elements.dtype)
            fill_hadamard(out, region[0], region[1], constant, elements.sign)
        case Paley(prime=prime, half_exponent=half_exponent):
            constant = power_bits(half_exponent, elements.dtype)
            fill_paley(out, region[0], region[1], prime, constant, elements.sign)
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


def unravelled(position: int, shape: Shape) -> Shape:
    """Give the index of a position in C order.

    numpy.unravel_index would refuse more than 64 dimensions, which a stranger's header may have.
    """
    index = []
    for size in reversed(shape):
        position, rest = divmod(position, size)
        index.append(rest)
    return tuple(reversed(index))


def _flat_positions(shape: Shape, region: Region) -> NDArray[np.int64]:
    """Positions in C order of a region's elements, ascending; one position for no dimensions."""
    flat = np.zeros(1, np.int64)
    for size, (first, last) in zip(shape, region, strict=True):
        flat = (flat[:, None] * size + np.arange(first, last)).reshape(-1)
    return flat

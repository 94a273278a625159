"""Rules that lay another rule out in a tensor: mirrored, viewed, grouped, split..."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import F32
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.rules import Elements, Range, Region, Rule, Shape, power_words
from zeroinit_cli.plans.values import region_values

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrored(Rule):
    """A matrix (rows, columns) by `of`, its columns in reverse order."""

    kind: ClassVar[str] = "mirrored"
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        rows, (left, right) = region
        mirrored = (rows, (shape[1] - right, shape[1] - left))
        self.of.fill(out[:, ::-1], shape, mirrored, elements)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"mirrored {self.of.describe(shape, brief=brief)}"

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled(Rule):
    """A tensor by `of`, its constants multiplied by another before any is rounded.

    Attributes:
        half_exponent: of that other, 2^(half_exponent / 2).
        of: a rule of 0 and powers of sqrt(2), under either sign.
    """

    kind: ClassVar[str] = "scaled"
    half_exponent: int
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        half_exponent = elements.half_exponent + self.half_exponent
        self.of.fill(out, shape, region, replace(elements, half_exponent=half_exponent))

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        inner = self.of.describe(shape, brief=brief)
        return f"{inner}, scaled" if brief else f"{inner}, times {power_words(self.half_exponent)}"

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(shape)

    def half_exponents(self) -> Iterator[int]:
        own = sorted({*self.of.half_exponents()}) or [0]  # an identity names none
        yield from (each + self.half_exponent for each in own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewed(Rule):
    """A tensor that holds, in C order, a matrix of `rows` rows by `of`."""

    kind: ClassVar[str] = "viewed"
    rows: int
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        """Write a region.

        One that is a rectangle of the matrix is filled in place. For any other the smallest
        rectangle around it is computed, and what belongs to it picked out.
        """
        axes = range(len(shape) + 1)
        axis = next(axis for axis in axes if math.prod(shape[:axis]) == self.rows)
        rows = flat_positions(shape[:axis], region[:axis])
        columns = flat_positions(shape[axis:], region[axis:])
        bounds = tuple((int(flat[0]), int(flat[-1]) + 1) for flat in (rows, columns))
        lengths = tuple(last - first for first, last in bounds)
        if lengths == (rows.size, columns.size):
            in_place = out.reshape(lengths, copy=False)
            self.of.fill(in_place, self.matrix_shape(shape), bounds, elements)
            return
        around = np.empty(lengths, out.dtype)
        self.of.fill(around, self.matrix_shape(shape), bounds, elements)
        picked = around[np.ix_(rows - bounds[0][0], columns - bounds[1][0])]
        out[...] = picked.reshape(out.shape)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return self.of.describe(self.matrix_shape(shape), brief=brief)

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(self.matrix_shape(shape))

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield self.of, self.matrix_shape(shape)

    def matrix_shape(self, shape: Shape) -> tuple[int, int]:
        return self.rows, math.prod(shape) // max(self.rows, 1)


def flat_positions(shape: Shape, region: Region) -> NDArray[np.int64]:
    """Return a region's positions in C order, ascending; one position for no dimensions."""
    flat = np.zeros(1, np.int64)
    for size, (first, last) in zip(shape, region, strict=True):
        flat = (flat[:, None] * size + np.arange(first, last)).reshape(-1)
    return flat


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups(Rule):
    """Dimension 0 cut into `count` equal parts, each by the same rule."""

    kind: ClassVar[str] = "groups"
    count: int
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        """Write a region: compute the first whole group, and copy it to the other whole ones.

        Thousands of one-channel groups (depthwise) would otherwise each cost a call.
        """
        group_shape = self._group_shape(shape)
        rows = group_shape[0]
        (top, bottom), *rest = region
        first_whole, last_whole = -(-top // rows) * rows, bottom // rows * rows
        for first, last in _edges(top, bottom, first_whole, last_whole):
            local = ((first % rows, first % rows + last - first), *rest)
            self.of.fill(out[first - top : last - top], group_shape, local, elements)
        if first_whole < last_whole:
            whole = out[first_whole - top : last_whole - top]
            groups = whole.reshape(-1, rows, *whole.shape[1:])  # (groups, rows, ...), still a view
            self.of.fill(groups[0], group_shape, ((0, rows), *rest), elements)
            groups[1:] = groups[0]

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        inner = self.of.describe(self._group_shape(shape), brief=brief)
        return f"{inner} in each group" if brief else f"{inner} in each of {self.count} groups"

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(self._group_shape(shape)) * self.count

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield self.of, self._group_shape(shape)

    def _group_shape(self, shape: Shape) -> Shape:
        return (shape[0] // self.count, *shape[1:])


def _edges(top: int, bottom: int, first_whole: int, last_whole: int) -> list[Range]:
    """Return the parts of top..bottom before and after the whole groups."""
    if first_whole > last_whole:  # all within one group
        return [(top, bottom)]
    edges = [(top, first_whole), (last_whole, bottom)]
    return [(first, last) for first, last in edges if first < last]


@dataclass(frozen=True, kw_only=True, slots=True)
class Split(Rule):
    """Dimension 0 cut into parts of their own: (rows, rule) for each."""

    kind: ClassVar[str] = "split"
    parts: tuple[tuple[int, Rule], ...]

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        (top, bottom), *rest = region
        for (start, end), of in self.pieces(shape):
            first, last = max(top, start), min(bottom, end)
            if first < last:
                local = ((first - start, last - start), *rest)
                part = out[first - top : last - top]
                of.fill(part, (end - start, *shape[1:]), local, elements)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        texts = [of.describe(part, brief=brief) for of, part in self.laid_out(shape)]
        return f"{len(texts)} x {texts[0]}" if len(set(texts)) == 1 else " | ".join(texts)

    def nonzeros(self, shape: Shape) -> int:
        return sum(of.nonzeros(part) for of, part in self.laid_out(shape))

    def children(self) -> tuple[Rule, ...]:
        return tuple(of for _, of in self.parts)

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield from ((of, (rows, *shape[1:])) for rows, of in self.parts)

    def pieces(self, shape: Shape) -> Iterator[tuple[Range, Rule]]:
        start = 0
        for rows, of in self.parts:
            yield (start, start + rows), of
            start += rows

    def to_json(self) -> dict[str, Any]:
        parts = [{"rows": rows, "of": of.to_json()} for rows, of in self.parts]
        return {"rule": self.kind, "parts": parts}


@dataclass(frozen=True, kw_only=True, slots=True)
class Interleaved(Rule):
    """Dimension 0 cut into `blocks` equal blocks, and each block into parts: (rows, rule) for each.

    The rows of one part, put together over all blocks, are by its rule: so queries, keys and values
    lie where each head has its own in turn.

    Attributes:
        blocks: how many, 2 or more; one block is a `Split`.
        parts: of each block, in order.
    """

    kind: ClassVar[str] = "interleaved"
    blocks: int
    parts: tuple[tuple[int, Rule], ...]

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        (top, bottom), *rest = region
        for start, place, rows, of in self._runs():
            first, last = max(top, start), min(bottom, start + rows)
            if first < last:
                local = ((place + first - start, place + last - start), *rest)
                whole = (self.blocks * rows, *shape[1:])
                of.fill(out[first - top : last - top], whole, local, elements)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        texts = [of.describe(part, brief=brief) for of, part in self.laid_out(shape)]
        joined = f"{len(texts)} x {texts[0]}" if len(set(texts)) == 1 else " | ".join(texts)
        return f"{joined}, in blocks" if brief else f"{joined}, in {self.blocks} blocks"

    def nonzeros(self, shape: Shape) -> int:
        return sum(of.nonzeros(part) for of, part in self.laid_out(shape))

    def children(self) -> tuple[Rule, ...]:
        return tuple(of for _, of in self.parts)

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield from ((of, (self.blocks * rows, *shape[1:])) for rows, of in self.parts)

    def to_json(self) -> dict[str, Any]:
        parts = [{"rows": rows, "of": of.to_json()} for rows, of in self.parts]
        return {"rule": self.kind, "blocks": self.blocks, "parts": parts}

    def _runs(self) -> Iterator[tuple[int, int, int, Rule]]:
        """Yield each run of rows: its place, its place in its part, its length, its rule."""
        start = 0
        for block in range(self.blocks):
            for rows, of in self.parts:
                yield start, block * rows, rows, of
                start += rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Transposed(Rule):
    """Dimensions 0 and 1 exchanged: stored (columns, rows, ...), ruled as (rows, columns, ...)."""

    kind: ClassVar[str] = "transposed"
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        self.of.fill(out.swapaxes(0, 1), _swapped(shape), _swapped(region), elements)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"{self.of.describe(_swapped(shape), brief=brief)}, transposed"

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(_swapped(shape))

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield self.of, _swapped(shape)


def _swapped(dimensions: tuple[T, ...]) -> tuple[T, ...]:
    first, second, *rest = dimensions
    return (second, first, *rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroRow(Rule):
    """A matrix by `of`, but for one row of zeros (an embedding's padding)."""

    kind: ClassVar[str] = "zero-row"
    row: int
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        self.of.fill(out, shape, region, elements)
        top = region[0][0]
        out[max(self.row - top, 0) : max(self.row + 1 - top, 0)] = 0

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"{self.of.describe(shape, brief=brief)}, row {self.row} zero"

    def nonzeros(self, shape: Shape) -> int:
        row = region_values(self.of, shape, F32, ((self.row, self.row + 1), (0, shape[1])))
        return self.of.nonzeros(shape) - int(np.count_nonzero(row))

"""Rules for kernels of convolutions, (rows, columns, *spatial), whose taps are not all alike."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.rules import Elements, Range, Region, Rule, Shape, power_words


@dataclass(frozen=True, kw_only=True, slots=True)
class Taps(Rule):
    """A convolution kernel (rows, columns, *spatial): `of` at some spatial positions, 0 elsewhere.

    Attributes:
        ranges: for each spatial dimension the first tap and the one after the last.
        of: rule of the matrix (rows, columns) that each of these taps holds.
    """

    kind: ClassVar[str] = "taps"
    ranges: tuple[Range, ...]
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        inside = [
            (max(first, low) - low, min(last, high) - low)
            for (first, last), (low, high) in zip(self.ranges, region[2:], strict=True)
        ]
        if any(bounds != (0, size) for bounds, size in zip(inside, out.shape[2:], strict=True)):
            out[...] = 0  # what no tap covers; a 1 x 1 kernel is all tap
        if any(first >= last for first, last in inside):
            return
        matrix = (slice(None), slice(None))
        first_index: tuple[slice | int, ...] = (*matrix, *(first for first, _ in inside))
        first_tap: Bits = out[first_index]  # (rows, columns)
        self.of.fill(first_tap, shape[:2], region[:2], elements)
        if any(last - first > 1 for first, last in inside):
            taps = out[(*matrix, *(slice(*bounds) for bounds in inside))]
            # copied first: the source would otherwise overlap what is written
            taps[...] = first_tap.copy().reshape(first_tap.shape + (1,) * len(inside))

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        inner = self.of.describe(shape[:2], brief=brief)
        return f"{inner} {_tap_words(self.ranges, shape[2:], brief=brief)}".strip()

    def nonzeros(self, shape: Shape) -> int:
        taps = math.prod(last - first for first, last in self.ranges)
        return self.of.nonzeros(shape[:2]) * taps

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield self.of, shape[:2]

    def tap_ranges(self) -> tuple[Range, ...]:
        return self.ranges


def _tap_words(ranges: Sequence[Range], kernel: Shape, *, brief: bool) -> str:
    if all((first, last) == (0, size) for (first, last), size in zip(ranges, kernel, strict=True)):
        return "" if max(kernel, default=1) == 1 else "at every tap"
    if all(last - first == 1 for first, last in ranges):
        return "at one tap" if brief else f"at tap ({', '.join(str(first) for first, _ in ranges)})"
    taps = ", ".join(f"{first}-{last - 1}" for first, last in ranges)
    return "at some taps" if brief else f"at taps ({taps})"


@dataclass(frozen=True, kw_only=True, slots=True)
class CentredTaps(Rule):
    """A kernel (rows, columns, *spatial): a matrix, times signs at the taps around a heavy centre.

    Row o at tap t, in C order, is row o of `of` times the sign of (o, t) in `signs` times that of
    its centre, times 2^(h / 2), h being the half exponent of `signs`; twice that at the centre,
    which has index floor(k / 2) in each dimension. So where the centre and an odd number of others
    see the picture their sum is not 0: on a map of 2 x 2, and at edges and corners if k is 3 or 7.

    Attributes:
        of: rule of the matrix (rows, columns): 0 and +-1, or 0 and +-2^(h / 2).
        signs: rule of a matrix (rows, taps) of +-2^(h / 2).
    """

    kind: ClassVar[str] = "centred-taps"
    of: Rule
    signs: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        rows, columns, *kernel = region
        matrix = np.empty((rows[1] - rows[0], columns[1] - columns[0]), out.dtype)
        self.of.fill(matrix, shape[:2], (rows, columns), elements)
        of_ones = self._taps(shape, rows, elements, out.dtype)
        everywhere = np.where(matrix == 0, out.dtype.type(0), ~out.dtype.type(0))
        matrix &= out.dtype.type(elements.sign)
        here = of_ones[(slice(None), *(slice(*each) for each in kernel))]
        if math.prod(here.shape[1:]) > matrix.shape[1]:  # whole kernels lie together in memory
            whole = (..., *[None] * len(kernel))
            np.bitwise_xor(matrix[whole], here[:, None], out=out)
            out &= everywhere[whole]
            return
        for place in np.ndindex(*here.shape[1:]):
            tap = (slice(None), slice(None), *place)
            np.bitwise_xor(matrix, here[(slice(None), *place)][:, None], out=out[tap])
            out[tap] &= everywhere

    def _taps(
        self, shape: Shape, rows: Range, elements: Elements, bits: np.dtype[np.unsignedinteger]
    ) -> Bits:
        """Return what each row's 1 becomes at each tap (rows, *spatial)."""
        taps, centre = math.prod(shape[2:]), centre_tap(shape[2:])
        signs = np.empty((rows[1] - rows[0], taps), bits)
        self.signs.fill(signs, (shape[0], taps), (rows, (0, taps)), elements)
        signs &= bits.type(elements.sign)
        signs ^= signs[:, centre, None].copy()
        least, most = min(self.half_exponents()), max(self.half_exponents())
        signs |= bits.type(elements.power(least))
        signs[:, centre] = elements.power(most)
        return signs.reshape(-1, *shape[2:])

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"{self.of.describe(shape[:2], brief=brief)} times signs around the centre"

    def nonzeros(self, shape: Shape) -> int:
        return self.of.nonzeros(shape[:2]) * math.prod(shape[2:])

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        yield self.of, shape[:2]

    def half_exponents(self) -> Iterator[int]:
        matrix, signs = (next(each.half_exponents(), 0) for each in (self.of, self.signs))
        yield from (matrix + signs, matrix + signs + 2)


def centre_tap(kernel: Sequence[int]) -> int:
    """Return the place of the centre tap in C order."""
    place = 0
    for size in kernel:
        place = place * size + size // 2
    return place


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockMeans(Rule):
    """A kernel (rows, columns, *spatial) whose row o means one column over one block of taps.

    The taps are cut into a grid: with g blocks along a dimension of size k, tap t lies in block
    floor(t * g / k). Row o has c where the column is o mod columns and the block, counted in C
    order, is floor(o / columns), else 0.

    Attributes:
        grid: g for each spatial dimension.
        half_exponent: c = 2^(half_exponent / 2), rounded once to the stored type.
    """

    kind: ClassVar[str] = "block-means"
    grid: tuple[int, ...]
    half_exponent: int

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        (top, bottom), (left, right), *kernel = region
        rows = np.arange(top, bottom)
        ones = (1,) * len(kernel)
        chosen = (rows % shape[1])[:, None] == np.arange(left, right)
        chosen = chosen.reshape(*chosen.shape, *ones)
        for axis, blocks in enumerate(np.unravel_index(rows // shape[1], self.grid)):
            taps = np.arange(*kernel[axis]) * self.grid[axis] // shape[axis + 2]
            inside = blocks[:, None] == taps
            chosen = chosen & inside.reshape(-1, 1, *ones[:axis], taps.size, *ones[axis + 1 :])
        out[...] = np.where(chosen, out.dtype.type(elements.power(self.half_exponent)), 0)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        if brief:
            return "block means"
        blocks = " x ".join(map(str, self.grid))
        return f"block means, {blocks} blocks, c = {power_words(self.half_exponent)}"

    def nonzeros(self, shape: Shape) -> int:
        columns = shape[1]
        sizes = [
            np.bincount(np.arange(size) * blocks // size, minlength=blocks)
            for size, blocks in zip(shape[2:], self.grid, strict=True)
        ]
        index = np.unravel_index(np.arange(shape[0]) // columns, self.grid)
        taps = [each[blocks] for each, blocks in zip(sizes, index, strict=True)]
        return int(np.prod(taps, axis=0).sum())

    def half_exponents(self) -> Iterator[int]:
        yield self.half_exponent

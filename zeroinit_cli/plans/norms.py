"""Rules for weights that are stored as directions and lengths, as weight norm stores them.

A slice of a tensor is all that has one index in one dimension: row i of a matrix for dimension 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import F64
from zeroinit_cli.plans.layouts import flat_positions
from zeroinit_cli.plans.rounding import Bits, root_bits
from zeroinit_cli.plans.rules import Elements, Range, Region, Rule, Shape, Zeros
from zeroinit_cli.plans.values import region_values, regions

_BLOCK = 1 << 20  # elements that are computed at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Norms(Rule):
    """The Euclidean norm of each slice of another tensor, slice after slice in C order.

    Attributes:
        shape: of the other tensor.
        dim: the dimension that its slices lie in; None for one slice, which is all of it.
        of: its rule, without kept values and other constants than powers of 2.
    """

    kind: ClassVar[str] = "norms"
    shape: Shape
    dim: int | None
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        """Write a region: exact sums of squares, of which each root is rounded once."""
        wanted = flat_positions(shape, region)
        first, last = int(wanted[0]), int(wanted[-1]) + 1
        exponent, sums = _squares(self.of, self.shape, self.dim, (first, last))
        distinct, places = np.unique(sums, return_inverse=True)
        roots = [root_bits(int(square), exponent, elements.dtype) for square in distinct]
        bits = np.array(roots, out.dtype)[places]
        out[...] = bits[wanted - first].reshape(out.shape)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"norms of {self.of.describe(self.shape, brief=brief)}"

    def nonzeros(self, shape: Shape) -> int:
        return int(np.count_nonzero(~zero_slices(self.of, self.shape, self.dim)))

    def half_exponents(self) -> Iterator[int]:
        """Find none: the constants of the other tensor are not among its norms."""
        yield from ()

    def laid_out(self, shape: Shape) -> Iterator[tuple[Rule, Shape]]:
        """Find none: nor are its other entries."""
        yield from ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Directions(Rule):
    """A tensor by `of`, but each slice that would be 0 is the first unit vector.

    Its first element in C order is 1, so that dividing by its norm is no 0 / 0.

    Attributes:
        dim: the dimension that the slices lie in; None for one slice, which is all of it.
        of: the rule of the others, likewise.
    """

    kind: ClassVar[str] = "directions"
    dim: int | None
    of: Rule

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        self.of.fill(out, shape, region, elements)
        if any(first > 0 for axis, (first, _) in enumerate(region) if axis != self.dim):
            return  # the first element of no slice
        zero = zero_slices(self.of, shape, self.dim)
        here = slice(0, 1) if self.dim is None else slice(*region[self.dim])
        at = tuple(slice(None) if axis == self.dim else 0 for axis in range(out.ndim))
        firsts = out[at].reshape(-1)
        firsts[zero[here]] = elements.one
        out[at] = firsts.reshape(out[at].shape)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        if isinstance(self.of, Zeros):
            return "unit vectors"
        return f"{self.of.describe(shape, brief=brief)}, unit vectors where 0"

    def nonzeros(self, shape: Shape) -> int:
        zero = zero_slices(self.of, shape, self.dim)
        return self.of.nonzeros(shape) + int(np.count_nonzero(zero))


def zero_slices(of: Rule, shape: Shape, dim: int | None) -> NDArray[np.bool_]:
    """Tell for each slice of a tensor whether all of it is 0."""
    slices = 1 if dim is None else shape[dim]
    if isinstance(of, Zeros):
        return np.ones(slices, np.bool_)
    _, sums = _squares(of, shape, dim, (0, slices))
    return np.asarray(sums == 0)


@lru_cache(maxsize=32)
def _squares(
    of: Rule, shape: Shape, dim: int | None, slices: Range
) -> tuple[int, NDArray[np.object_]]:
    """Sum the squares of some slices exactly: an exponent e and integers s; each sum is s * 2^e.

    Every entry of a rule without kept values is 0 or +-2^(h / 2), whose square is 2^h. Cached,
    because the blocks of a tensor ask for the same slices.
    """
    elements = Elements(dtype=F64)
    powers = sorted({0, *of.half_exponents()})
    counts = {power: np.zeros(slices[1] - slices[0], np.int64) for power in powers}
    others = tuple(axis for axis in range(len(shape)) if axis != dim)
    inside = tuple(slices if axis == dim else (0, size) for axis, size in enumerate(shape))
    for part in regions(tuple(last - first for first, last in inside), _BLOCK):
        bounds = zip(inside, part, strict=True)
        region = tuple((start + first, start + last) for (start, _), (first, last) in bounds)
        magnitudes = region_values(of, shape, F64, region) & elements.sign - 1
        here = slice(None) if dim is None else slice(*part[dim])
        for power, count in counts.items():
            count[here] += np.count_nonzero(magnitudes == elements.power(power), axis=others)
    total = sum(count.astype(object) << power - powers[0] for power, count in counts.items())
    return powers[0], np.asarray(total, object)

"""The entries of any rectangle of any tensor, and a tensor cut into rectangles.

No array here is larger than the region asked for, or than the rectangle around it in a matrix that
the tensor holds (`Viewed`).
"""

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.rounding import Bits, bits_type
from zeroinit_cli.plans.rules import Elements, Region, Rule, Shape


def region_values(
    rule: Rule, shape: Shape, dtype: DType, region: Region, kept: Mapping[str, bytes] | None = None
) -> Bits:
    """Compute the entries of one rectangular region of a tensor.

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
    if out.size:
        rule.fill(out, shape, region, Elements(dtype=dtype, kept=kept or {}))
    return out


def regions(shape: Shape, most: int) -> Iterator[Region]:
    """Cut a tensor into regions that are contiguous in C order, each of 1 to `most` elements.

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


def unravelled(position: int, shape: Shape) -> Shape:
    """Return the index of a position in C order.

    numpy.unravel_index would refuse more than 64 dimensions, which a stranger's header may have.
    """
    index = []
    for size in reversed(shape):
        position, rest = divmod(position, size)
        index.append(rest)
    return tuple(reversed(index))

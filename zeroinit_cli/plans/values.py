"""The entries of any rectangle of any tensor, and a tensor cut into rectangles.

No array here is larger than the region asked for, or than the rectangle around it in a matrix that
the tensor holds (`Viewed`).
"""

import importlib
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.errors import UsageError, near
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rounding import Bits, bits_type
from zeroinit_cli.plans.rules import Elements, Range, Region, Rule, Shape


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


def named_values(plan: Plan, name: str, region: slice | tuple[slice, ...]) -> NDArray[np.generic]:
    """Compute the entries of a rectangle of one tensor.

    Args:
        plan: of the tensor.
        name: of the tensor in it.
        region: a slice of each of the first dimensions; of the others, all.

    Returns:
        an array of the region's shape; bfloat16 as ml_dtypes' type, or as uint16 without it.

    Raises:
        UsageError: there is no such tensor, or the region is not within it.
    """
    planned = next((each for each in plan.tensors if each.info.name == name), None)
    if planned is None:
        names = [each.info.name for each in plan.tensors]
        raise UsageError("no such tensor in the plan", where=repr(name), hint=near(name, names))
    info = planned.info
    slices = (region,) if isinstance(region, slice) else region
    if not isinstance(slices, tuple) or len(slices) > len(info.shape):
        raise _not_within(name, info.shape, region)
    padded = (*slices, *[slice(None)] * (len(info.shape) - len(slices)))
    ranges = [_range(each, size) for each, size in zip(padded, info.shape, strict=True)]
    if None in ranges:
        raise _not_within(name, info.shape, region)
    within = tuple(each for each in ranges if each is not None)
    bits = region_values(planned.rule, info.shape, info.dtype, within, plan.kept)
    return bits.view(_array_type(info.dtype))


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


def _range(asked: Any, size: int) -> Range | None:
    """The range of a slice; None where it is none, or not within the dimension."""
    if not isinstance(asked, slice) or asked.step not in (None, 1):
        return None
    first = 0 if asked.start is None else asked.start
    last = size if asked.stop is None else asked.stop
    return (first, last) if 0 <= first <= last <= size else None


def _not_within(name: str, shape: tuple[int, ...], region: object) -> UsageError:
    return UsageError(
        "a region that is not within the tensor",
        where=name,
        expected=f"slices of step 1 within {list(shape)}, such as numpy.s_[0:4, :]",
        found=repr(region),
    )


def _array_type(dtype: DType) -> "np.dtype[Any]":
    if dtype == BF16:
        try:
            brain: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        except ImportError:
            return np.dtype("<u2")
        return brain
    return np.dtype(dtype.name).newbyteorder("<")

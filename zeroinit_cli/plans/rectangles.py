"""A rectangle of a planned tensor as a numpy array, for whoever lays out shards himself."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.errors import UsageError, near
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Range
from zeroinit_cli.plans.values import region_values


def rectangle(plan: Plan, name: str, region: tuple[slice, ...]) -> NDArray[np.generic]:
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
    if not isinstance(region, tuple) or len(region) > len(info.shape):
        raise _not_within(name, info.shape, region)
    padded = (*region, *[slice(None)] * (len(info.shape) - len(region)))
    ranges = [_range(each, size) for each, size in zip(padded, info.shape, strict=True)]
    if None in ranges:
        raise _not_within(name, info.shape, region)
    within = tuple(each for each in ranges if each is not None)
    bits = region_values(planned.rule, info.shape, info.dtype, within, plan.kept)
    return bits.view(_array_type(info.dtype))


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
            return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        except ImportError:
            return np.dtype("<u2")
    return np.dtype(dtype.name).newbyteorder("<")

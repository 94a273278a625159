"""Hold a tensor against a rule, element by element, in blocks."""

from dataclasses import dataclass

import numpy as np

from zeroinit_cli.commands.recognition.summary import BLOCK_BYTES, Read
from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.rules import Rule, Shape
from zeroinit_cli.plans.values import region_values, regions

_HEAD = 4096  # elements that tell most wrong rules from the right one


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """How a tensor departs from a rule.

    Attributes:
        count: elements that differ; not all, if the comparison was given up.
        first: flat index of the first of them.
        expected: bits by the rule there.
        found: bits that stand there.
        first_zero: flat index of the first of them that is 0.
    """

    count: int
    first: int
    expected: int
    found: int
    first_zero: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """A tensor's shape, type, and how to read it."""

    shape: Shape
    dtype: DType
    read: Read


def departure(rule: Rule, data: Data, most: int) -> Departure | None:
    """Where the tensor departs from a rule; None where every element is the rule's.

    Args:
        rule: what to hold it against.
        data: the tensor.
        most: give up beyond so many differing elements.
    """
    head = _departure(rule, data, most, _HEAD, whole=False)
    if head is not None and head.count > most:
        return head
    return _departure(rule, data, most, BLOCK_BYTES // data.dtype.itemsize, whole=True)


def head_differences(rule: Rule, data: Data) -> int:
    """How many of a tensor's first elements are not the rule's."""
    head = _departure(rule, data, _HEAD, _HEAD, whole=False)
    return 0 if head is None else head.count


def _departure(rule: Rule, data: Data, most: int, block: int, *, whole: bool) -> Departure | None:
    count, position, first_zero = 0, 0, None
    first: tuple[int, int, int] | None = None
    for region in regions(data.shape, block):
        expected = region_values(rule, data.shape, data.dtype, region).reshape(-1)
        found = data.read(position, expected.size)
        if not np.array_equal(expected, found):
            differing = np.flatnonzero(expected != found)
            count += differing.size
            zeros = differing[found[differing] == 0]
            if first is None:
                at = int(differing[0])
                first = position + at, int(expected[at]), int(found[at])
            if first_zero is None and zeros.size:
                first_zero = position + int(zeros[0])
        position += expected.size
        if not whole or count > most:
            break
    if first is None:
        return None
    where, planned, there = first
    return Departure(count=count, first=where, expected=planned, found=there, first_zero=first_zero)

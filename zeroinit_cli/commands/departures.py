"""The elements in which a tensor departs from a rule. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zeroinit_cli.commands.tensor_summary import Read, Summary, few
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rules import Elements, Region, Rule
from zeroinit_cli.plans.values import region_values, regions
from zeroinit_cli.store.hashing import BLOCK_BYTES

_HEAD = 4096  # elements compared first; they exclude most wrong rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """The elements in which a tensor departs from a rule.

    Attributes:
        rule: which; None for a constant that no rule gives, which is `expected`.
        count: elements that differ; not all, if the comparison was given up.
        first: flat index of the first of them.
        expected: bits by the rule there.
        found: bits that stand there.
        first_zero: flat index of the first of them that is 0.
    """

    rule: Rule | None
    count: int
    first: int
    expected: int
    found: int
    first_zero: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SummarizedTensor:
    """A tensor that can be read, and what a summary counted in it."""

    info: TensorInfo
    summary: Summary
    read: Read

    @property
    def most(self) -> int:
        """Elements that may differ from a rule that is still worth naming."""
        return few(self.summary.numel)


def allows(rule: Rule, tensor: SummarizedTensor, zeros: int = 0) -> bool:
    """Tell whether the summary lets a tensor be a rule's, but for a few elements.

    Args:
        rule: a candidate.
        tensor: with its summary.
        zeros: elements beyond these that may be 0 where the rule's are not.
    """
    patterns, elements = tensor.summary.patterns, Elements(dtype=tensor.info.dtype)
    missing = rule.nonzeros(tensor.info.shape) - tensor.summary.nonzeros
    if not -tensor.most <= missing <= tensor.most + zeros:
        return False
    # A matrix whose constant does not occur is not computed: it may need a large table.
    constants = map(elements.power, rule.half_exponents())
    return not any(
        patterns.keys().isdisjoint((constant, constant | elements.sign)) for constant in constants
    )


def departure(rule: Rule, tensor: SummarizedTensor) -> Departure | None:
    """Find where the tensor departs from a rule; None where every element is the rule's.

    The comparison ends early where more than a few elements differ.
    """
    shape = tensor.info.shape
    head = _compare_regions(rule, tensor, [next(regions(shape, _HEAD))])
    if head is not None and head.count > tensor.most:
        return head
    return _compare_regions(rule, tensor, regions(shape, BLOCK_BYTES // tensor.info.dtype.itemsize))


def _compare_regions(
    rule: Rule, tensor: SummarizedTensor, parts: Iterable[Region]
) -> Departure | None:
    """Compare regions that follow each other from the tensor's first element on."""
    count, position = 0, 0
    first: tuple[int, int, int] | None = None
    first_zero: int | None = None
    for region in parts:
        expected = region_values(rule, tensor.info.shape, tensor.info.dtype, region).reshape(-1)
        found = tensor.read(position, expected.size)
        if not np.array_equal(expected, found):
            differing = np.flatnonzero(expected != found)
            zeros = differing[found[differing] == 0]
            count += differing.size
            if first is None:
                at = int(differing[0])
                first = position + at, int(expected[at]), int(found[at])
            if first_zero is None and zeros.size:
                first_zero = position + int(zeros[0])
        position += expected.size
        if count > tensor.most:
            break
    if first is None:
        return None
    index, planned, stored = first
    return Departure(
        rule=rule,
        count=count,
        first=index,
        expected=planned,
        found=stored,
        first_zero=first_zero,
    )

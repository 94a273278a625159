"""The tensors of a plan grouped for a person: those alike in rule and reason as one line."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeroinit_cli.plans.plan import Plan, PlannedTensor


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorGroup:
    """Tensors that share rule and reason.

    Attributes:
        names: their names; those that differ only in numbers are one, with `*` for the numbers.
        rule: in brief words.
        reason: why, with `*` for numbers that differ.
        tensors: the planned tensors.
    """

    names: tuple[str, ...]
    rule: str
    reason: str
    tensors: tuple[PlannedTensor, ...]

    @property
    def numel(self) -> int:
        """Elements of all tensors together."""
        return sum(tensor.info.numel for tensor in self.tensors)


def group_tensors(plan: Plan) -> list[TensorGroup]:
    """Group a plan's tensors by rule and reason, the group with most elements first."""
    members: defaultdict[tuple[str, str], list[PlannedTensor]] = defaultdict(list)
    for tensor in plan.tensors:
        rule = tensor.rule.describe(tensor.info.shape, brief=True)
        members[rule, _pattern(tensor.reason)].append(tensor)
    groups = [
        TensorGroup(
            names=_merged_by_pattern(tensor.info.name for tensor in tensors),
            rule=rule,
            reason=_merged([tensor.reason for tensor in tensors]),
            tensors=tuple(tensors),
        )
        for (rule, _), tensors in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.numel, group.rule, group.reason))


def _merged_by_pattern(names: Iterable[str]) -> tuple[str, ...]:
    """Merge `layer1.0.bn2.weight` and `layer2.1.bn2.weight` to `layer*.*.bn2.weight`; sorted."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[re.sub(r"\d+", "*", name)].append(name)
    return tuple(sorted(_merged(group) for group in alike.values()))


def _merged(texts: Sequence[str]) -> str:
    """Merge texts that differ only in numbers: a number that all share stays, another is `*`."""
    columns = zip(*(re.findall(r"\d+", text) for text in texts), strict=True)
    shown = iter([column[0] if len(set(column)) == 1 else "*" for column in columns])
    return re.sub(r"\d+", lambda number: next(shown), texts[0])


def _pattern(reason: str) -> str:
    """Replace the numbers in tensors' names by `*`, so that reasons of one kind are equal.

    Other words keep their numbers: Conv2d, Algorithm 2, scale 0.
    """
    return re.sub(r"(?<![\w.])[a-z_][\w.]*\d[\w.]*", _starred, reason)


def _starred(name: re.Match[str]) -> str:
    return re.sub(r"\d+", "*", name[0])

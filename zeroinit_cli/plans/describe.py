"""Rules and plans in words and groups that a person can read."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeroinit_cli.plans.plan import (
    Groups,
    Hadamard,
    Identity,
    Kept,
    Mirrored,
    Ones,
    Paley,
    Plan,
    PlannedTensor,
    Rule,
    Split,
    Taps,
    Transposed,
    Viewed,
    ZeroRow,
    Zeros,
)

Shape = tuple[int, ...]


def describe_rule(rule: Rule, shape: Shape, *, brief: bool = False) -> str:
    """A rule in a few words.

    Args:
        rule: what to describe.
        shape: of the tensor; whether an identity is partial depends on it.
        brief: leave out what differs between tensors of one kind: constants, taps, counts.
    """
    match rule:
        case Zeros():
            return "zeros"
        case Ones():
            return "ones"
        case Kept():
            return "kept"
        case Identity():
            return "identity" if shape[0] == shape[1] else "partial identity"
        case Hadamard(half_exponent=half_exponent):
            return "Hadamard" if brief else f"Hadamard, c = {_power(half_exponent)}"
        case Paley(prime=prime, half_exponent=half_exponent):
            return "Paley" if brief else f"Paley, p = {prime}, c = {_power(half_exponent)}"
        case Mirrored(of=of):
            return f"mirrored {describe_rule(of, shape, brief=brief)}"
        case Viewed(rows=rows, of=of):
            return describe_rule(of, (rows, math.prod(shape) // max(rows, 1)), brief=brief)
        case Taps(ranges=ranges, of=of):
            inner = describe_rule(of, shape[:2], brief=brief)
            return f"{inner} {_tap_words(ranges, shape[2:], brief=brief)}".strip()
        case Groups(count=count, of=of):
            inner = describe_rule(of, (shape[0] // count, *shape[1:]), brief=brief)
            return f"{inner} in each group" if brief else f"{inner} in each of {count} groups"
        case Split(parts=parts):
            texts = [describe_rule(of, (rows, *shape[1:]), brief=brief) for rows, of in parts]
            return f"{len(parts)} x {texts[0]}" if len(set(texts)) == 1 else " | ".join(texts)
        case Transposed(of=of):
            inner = describe_rule(of, (shape[1], shape[0], *shape[2:]), brief=brief)
            return f"{inner}, transposed"
        case ZeroRow(row=row, of=of):
            return f"{describe_rule(of, shape, brief=brief)}, row {row} zero"


def _power(half_exponent: int) -> str:
    return f"2^{half_exponent // 2}" if half_exponent % 2 == 0 else f"2^({half_exponent}/2)"


def _tap_words(ranges: Sequence[tuple[int, int]], kernel: Shape, *, brief: bool) -> str:
    if all((first, last) == (0, size) for (first, last), size in zip(ranges, kernel, strict=True)):
        return "" if max(kernel, default=1) == 1 else "at every tap"
    if all(last - first == 1 for first, last in ranges):
        return "at one tap" if brief else f"at tap ({', '.join(str(first) for first, _ in ranges)})"
    taps = ", ".join(f"{first}-{last - 1}" for first, last in ranges)
    return "at some taps" if brief else f"at taps ({taps})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Tensors that share rule and reason.

    Attributes:
        names: their names, those alike but for numbers as one, with `*` where they differ.
        rule: in brief words.
        reason: why, likewise.
        tensors: themselves.
    """

    names: tuple[str, ...]
    rule: str
    reason: str
    tensors: tuple[PlannedTensor, ...]


def group_tensors(plan: Plan) -> list[Group]:
    """The plan's tensors by rule and reason, the group with most elements first."""
    members: defaultdict[tuple[str, str], list[PlannedTensor]] = defaultdict(list)
    for tensor in plan.tensors:
        rule = describe_rule(tensor.rule, tensor.info.shape, brief=True)
        members[rule, _pattern(tensor.reason)].append(tensor)
    groups = [
        Group(
            names=_merged_by_pattern(tensor.info.name for tensor in tensors),
            rule=rule,
            reason=_merged([tensor.reason for tensor in tensors]),
            tensors=tuple(tensors),
        )
        for (rule, _), tensors in members.items()
    ]
    return sorted(groups, key=lambda group: (-numel(group.tensors), group.rule, group.reason))


def nonzeros(rule: Rule, shape: Shape) -> int:
    """How many entries of a tensor are not 0; kept values count as such."""
    match rule:
        case Zeros():
            return 0
        case Identity():
            return min(shape)
        case Mirrored(of=of):
            return nonzeros(of, shape)
        case Viewed(rows=rows, of=of):
            return nonzeros(of, (rows, math.prod(shape) // max(rows, 1)))
        case Taps(ranges=ranges, of=of):
            taps = math.prod(last - first for first, last in ranges)
            return nonzeros(of, shape[:2]) * taps
        case Groups(count=count, of=of):
            return nonzeros(of, (shape[0] // count, *shape[1:])) * count
        case Split(parts=parts):
            return sum(nonzeros(of, (rows, *shape[1:])) for rows, of in parts)
        case Transposed(of=of):
            return nonzeros(of, (shape[1], shape[0], *shape[2:]))
        case ZeroRow(row=row, of=of):
            whole = nonzeros(of, shape)
            return whole - (whole if shape[0] == 1 else _row_nonzeros(of, shape, row))
        case _:
            return math.prod(shape)


def _row_nonzeros(rule: Rule, shape: Shape, row: int) -> int:
    if isinstance(rule, Identity):
        return int(row < shape[1])
    return 0 if isinstance(rule, Zeros) else shape[1]


def numel(tensors: Sequence[PlannedTensor]) -> int:
    """Elements of several tensors together."""
    return sum(tensor.info.numel for tensor in tensors)


def _merged_by_pattern(names: Iterable[str]) -> tuple[str, ...]:
    """`layer1.0.bn2.weight` and `layer2.1.bn2.weight` are `layer*.*.bn2.weight`; sorted."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[re.sub(r"\d+", "*", name)].append(name)
    return tuple(sorted(_merged(each) for each in alike.values()))


def _merged(texts: Sequence[str]) -> str:
    """Texts that are alike but for numbers, as one: what all share stays, the rest is `*`."""
    columns = zip(*(re.findall(r"\d+", text) for text in texts), strict=True)
    shown = iter([column[0] if len(set(column)) == 1 else "*" for column in columns])
    return re.sub(r"\d+", lambda number: next(shown), texts[0])


def _pattern(reason: str) -> str:
    """A reason with the numbers in names as `*`, so that reasons of one kind are equal.

    What a thing is called keeps its number: Conv2d, Algorithm 2, scale 0.
    """
    return re.sub(r"(?<![\w.])[a-z_][\w.]*\d[\w.]*", _starred, reason)


def _starred(name: re.Match[str]) -> str:
    return re.sub(r"\d+", "*", name[0])

"""A tensor's rule from its bytes, or what it is if it has none."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from zeroinit_cli.commands.recognition.candidates import (
    FOREIGN,
    Clues,
    candidates,
    read_clues,
)
from zeroinit_cli.commands.recognition.matching import Data, Departure, departure
from zeroinit_cli.commands.recognition.numbers import is_packed, to_numbers
from zeroinit_cli.commands.recognition.splits import equal_parts, unequal_parts
from zeroinit_cli.commands.recognition.summary import Read, Summary, few
from zeroinit_cli.dtypes import FLOATS, INTEGERS
from zeroinit_cli.plans.layouts import Groups, Mirrored, Taps, Transposed, Viewed, ZeroRow
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import power_bits
from zeroinit_cli.plans.rules import Hadamard, Identity, Ones, Paley, Rule, Shape, Zeros
from zeroinit_cli.plans.values import unravelled


class Verdict(StrEnum):
    """What a tensor is, in a word."""

    RULE = "rule"
    CONSTANT = "constant"
    TRAINED = "trained"
    DATA = "data"  # integers, which nothing trains, or a type that is not looked into
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearly:
    """A rule that all but a few elements follow.

    Attributes:
        rule: which; None for a constant.
        constant: bits of that constant.
        departure: where the others are.
    """

    rule: Rule | None
    constant: int | None
    departure: Departure


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognised:
    """What a tensor is.

    Attributes:
        verdict: in a word.
        rule: the rule that gives every byte of it, where there is one.
        constant: bits of the one value that it holds, where that is no rule.
        nearly: where it is neither, what it would be but for a few elements.
    """

    verdict: Verdict
    rule: Rule | None = None
    constant: int | None = None
    nearly: Nearly | None = None


def recognise(info: TensorInfo, summary: Summary, read: Read) -> Recognised:
    """Find the rule that gives a tensor its bytes.

    Args:
        info: its name, shape and type.
        summary: of all of it.
        read: gives its patterns.

    Returns:
        a rule only if all of the tensor was compared with it and every byte is the same.
    """
    if summary.numel == 0:
        return Recognised(verdict=Verdict.EMPTY)
    one_value = _one_value(info, summary)
    if one_value is not None:
        return one_value
    nearly = [_nearly_constant(info, summary)]
    if info.dtype in FLOATS and not summary.random:
        data = Data(shape=info.shape, dtype=info.dtype, read=read)
        rule, near = _search(data, summary)
        if rule is not None:
            return Recognised(verdict=Verdict.RULE, rule=rule)
        nearly.append(near)
    nearest = min(filter(None, nearly), key=lambda each: each.departure.count, default=None)
    verdict = Verdict.DATA if info.dtype in INTEGERS or is_packed(info.dtype) else Verdict.TRAINED
    return Recognised(verdict=verdict, nearly=nearest)


def _one_value(info: TensorInfo, summary: Summary) -> Recognised | None:
    """Zeros, ones, or another value in every element."""
    if len(summary.patterns) != 1 or summary.others:
        return None
    [pattern] = summary.patterns
    rule = constant_rule(pattern, info)
    if rule is None:
        rule = _constant_expansion(pattern, info)
    if rule is not None:
        return Recognised(verdict=Verdict.RULE, rule=rule)
    return Recognised(verdict=Verdict.CONSTANT, constant=pattern)


def constant_rule(pattern: int, info: TensorInfo) -> Rule | None:
    """`Zeros` or `Ones`, where a pattern is that of 0 or 1."""
    if pattern == 0 and info.dtype.code != "F8_E8M0":  # which has no zero
        return Zeros()
    if is_packed(info.dtype) or info.dtype.code == "C64":
        return None
    number = to_numbers(np.array([pattern], f"<u{info.dtype.itemsize}"), info.dtype)[0]
    return Ones() if number == 1 and not (info.dtype.code == "BOOL" and pattern != 1) else None


def _constant_expansion(pattern: int, info: TensorInfo) -> Rule | None:
    """A matrix of one column is constant under the policy's own expansion of it."""
    rows, *rest = info.shape or (1,)
    if info.dtype not in FLOATS or rows == 1 or not rest or set(rest) != {1}:
        return None
    m = (rows - 1).bit_length()
    for half_exponent in (-m, 1 - m):  # orthonormal, paper
        if pattern == power_bits(half_exponent, info.dtype):
            leaf = Hadamard(half_exponent=half_exponent)
            return leaf if len(rest) == 1 else Taps(ranges=((0, 1),) * len(rest[1:]), of=leaf)
    return None


def _nearly_constant(info: TensorInfo, summary: Summary) -> Nearly | None:
    """The one value that all but a few elements have."""
    if summary.random:
        return None
    pattern = max(summary.patterns, key=lambda each: (summary.patterns[each].count, each))
    count = summary.numel - summary.patterns[pattern].count
    if count > few(summary.numel):
        return None
    firsts = {
        occurrence.first: each
        for each, occurrence in summary.patterns.items()
        if each != pattern and occurrence.count
    }
    if summary.first_other is not None and summary.first_other < min(firsts, default=summary.numel):
        return None  # its bits are not known without reading it again, and so rare a case is not
    first = min(firsts)
    rule = constant_rule(pattern, info)
    return Nearly(
        rule=rule,
        constant=pattern,
        departure=Departure(count=count, first=first, expected=pattern, found=firsts[first]),
    )


def _search(data: Data, summary: Summary) -> tuple[Rule | None, Nearly | None]:
    """The first candidate that gives every element, or the one that departs from fewest."""
    most = few(summary.numel)
    found = read_clues(data.shape, data.dtype, summary, data.read)
    nearly: Nearly | None = None
    for proposal in _proposals(found, data):
        rule, away = _closest(proposal, data, most)
        if away is None:
            return rule, None
        if away.count <= most and (nearly is None or away.count < nearly.departure.count):
            nearly = Nearly(rule=rule, constant=None, departure=away)
    if not summary.others:
        split = unequal_parts(found, data)
        if split is not None and departure(split, data, 0) is None:
            return split, None
    return None, nearly


def _closest(rule: Rule, data: Data, most: int) -> tuple[Rule, Departure | None]:
    """A rule, or the same with a row of zeros where that is nearer, and what departs from it."""
    away = departure(rule, data, most)
    if away is None or away.first_zero is None:
        return rule, away
    padded = _zero_row_at(rule, data.shape, unravelled(away.first_zero, data.shape))
    if padded is not None:
        less = departure(padded, data, most)
        if less is None or less.count < away.count:
            return padded, less
    return rule, away


def _proposals(found: Clues, data: Data) -> Iterator[Rule]:
    """What the policy gives, whole or in parts, then what it never gives but rules can."""
    ranked = candidates(found)
    if not ranked:
        return
    fused = len(data.shape) == 2 and found.has_one and data.shape[0] == 3 * data.shape[1]
    if fused:  # a query above key and value, both 0, has the bytes of an identity transposed
        yield from equal_parts(found, data, counts=(3,))
    yield from (rule for rank, rule in ranked if rank < FOREIGN)
    yield from equal_parts(found, data)
    yield from (rule for rank, rule in ranked if rank >= FOREIGN)


def _zero_row_at(rule: Rule, shape: Shape, index: Shape) -> Rule | None:
    """A rule whose matrix has a row of zeros where an element of the tensor stands."""
    match rule:
        case Transposed(of=of):
            swapped = (shape[1], shape[0], *shape[2:])
            inner = _zero_row_at(of, swapped, (index[1], index[0], *index[2:]))
        case Taps(of=of):
            inner = _zero_row_at(of, shape[:2], index[:2])
        case Groups(count=count, of=of):
            rows = shape[0] // count
            inner = _zero_row_at(of, (rows, *shape[1:]), (index[0] % rows, *index[1:]))
        case Viewed(rows=rows, of=of):
            matrix = (rows, math.prod(shape) // rows)
            flat = sum(i * math.prod(shape[axis + 1 :]) for axis, i in enumerate(index))
            inner = _zero_row_at(of, matrix, unravelled(flat, matrix))
        case Identity() | Hadamard() | Paley() | Mirrored() | Ones():
            return ZeroRow(row=index[0], of=rule)
        case _:
            return None
    return None if inner is None else replace(rule, of=inner)

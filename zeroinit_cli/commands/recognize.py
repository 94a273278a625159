"""A tensor's rule, found from its bytes alone. No torch.

The candidates are all rules that the policy can give a tensor of its shape. What a summary of the
tensor counted rules most of them out; the rest are compared with the tensor, block by block.
Nothing is called a rule that does not give every byte.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from zeroinit_cli.commands.candidates import candidates
from zeroinit_cli.commands.departures import Departure, SummarizedTensor, allows, departure
from zeroinit_cli.commands.tensor_numbers import is_packed, to_numbers
from zeroinit_cli.commands.tensor_summary import Read, Summary, few
from zeroinit_cli.dtypes import FLOATS, INTEGERS
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rules import Constant, Ones, Rule, Zeros
from zeroinit_cli.policies import DEFAULT


class ContentKind(StrEnum):
    """The kind of content that a tensor holds."""

    RULE = "rule"
    CONSTANT = "constant"
    TRAINED = "trained"
    DATA = "data"  # integers, which are not trained, or a packed type
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognized:
    """The content of a tensor, and the rule that gives it.

    Attributes:
        kind: in a word.
        rule: the rule that gives every byte of it, where there is one.
        constant: bits of the one value that it holds, where that is no rule.
        nearly: where it is neither, the rule or constant that all but a few elements follow.
    """

    kind: ContentKind
    rule: Rule | None = None
    constant: int | None = None
    nearly: Departure | None = None


def recognize(info: TensorInfo, summary: Summary, read: Read) -> Recognized:
    """Find the rule that gives a tensor its bytes.

    Args:
        info: its name, shape and type.
        summary: of all of it.
        read: gives its patterns.

    Returns:
        a rule only if all of the tensor was compared with it and every byte is the same.
    """
    if summary.numel == 0:
        return Recognized(kind=ContentKind.EMPTY)
    near, constant = None, summary.constant
    rule = None if constant is None else _constant_rule(constant, info)
    if rule is None and info.dtype in FLOATS and not summary.random:
        rule, near = _search(SummarizedTensor(info=info, summary=summary, read=read))
    if rule is not None:
        return Recognized(kind=ContentKind.RULE, rule=rule)
    if constant is not None:
        return Recognized(kind=ContentKind.CONSTANT, constant=constant)
    nearly = [away for away in (_nearly_constant(info, summary), near) if away is not None]
    nearest = min(nearly, key=lambda away: away.count, default=None)
    kind = (
        ContentKind.DATA if info.dtype in INTEGERS or is_packed(info.dtype) else ContentKind.TRAINED
    )
    return Recognized(kind=kind, nearly=nearest)


_NORM_SCALES = (DEFAULT.last_norm, DEFAULT.last_norm - 1)  # the latter where it is stored less 1


def _constant_rule(pattern: int, info: TensorInfo) -> Rule | None:
    """Return the rule of a pattern that is 0, 1, or the scale of a norm that ends a branch."""
    if pattern == 0 and info.dtype.code != "F8_E8M0":  # which has no zero
        return Zeros()
    if is_packed(info.dtype) or info.dtype.code == "C64":
        return None
    number = to_numbers(np.array([pattern], f"<u{info.dtype.itemsize}"), info.dtype)[0]
    if info.dtype in FLOATS and number in _NORM_SCALES:
        return Constant(value=float(number))
    return Ones() if number == 1 and not (info.dtype.code == "BOOL" and pattern != 1) else None


def _nearly_constant(info: TensorInfo, summary: Summary) -> Departure | None:
    """Find the one value that all but a few elements have."""
    if summary.random:
        return None
    occurrences = summary.patterns
    usual = max(occurrences, key=lambda pattern: (occurrences[pattern].count, pattern))
    count = summary.numel - occurrences[usual].count
    if count > few(summary.numel):
        return None
    firsts = {
        occurrence.first: pattern
        for pattern, occurrence in occurrences.items()
        if pattern != usual and occurrence.count
    }
    if summary.first_other is not None and summary.first_other < min(firsts, default=summary.numel):
        return None  # rare: the tensor would have to be read again for the bits
    first = min(firsts)
    return Departure(
        rule=_constant_rule(usual, info),
        count=count,
        first=first,
        expected=usual,
        found=firsts[first],
    )


def _search(tensor: SummarizedTensor) -> tuple[Rule | None, Departure | None]:
    """Find the first candidate that gives every element, or the one that departs from fewest."""
    nearest: Departure | None = None
    tried: set[Rule] = set()
    for rule in candidates(tensor):
        if rule in tried:
            continue
        tried.add(rule)
        if not allows(rule, tensor):
            continue
        away = departure(rule, tensor)
        if away is None:
            return rule, None
        if away.count <= tensor.most and (nearest is None or away.count < nearest.count):
            nearest = away
    return None, nearest

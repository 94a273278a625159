"""The rule of a weight that gives queries, keys or values to attention, or several of them."""

from itertools import groupby

from zeroinit_cli.models.structure import Projections
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Rule, Zeros
from zeroinit_cli.policies import Policy

_OTHER = "-"  # rows that go elsewhere
_ZEROS = "kv"  # what is 0 where attention is closed


def projections_rule(
    shape: tuple[int, int] | None, found: Projections, policy: Policy, *, transposed: bool
) -> tuple[Rule, str] | None:
    """Rule a weight by what its rows give, and say why; None if no rule is known for that.

    Args:
        shape: of the weight as a matrix; None for a stack of them.
        found: which rows give what.
        policy: the choices.
        transposed: it is stored (fan_in, fan_out).
    """
    zeros = "" if found.closed is None else _ZEROS
    if all(rows is None for rows in found.rows.values()):
        return _whole(found, zeros)
    if shape is None:
        return None
    fan_out = shape[1] if transposed else shape[0]
    letters = _letters(found, fan_out)
    runs = [(letter, len(list(run))) for letter, run in groupby(letters)]
    period = _period(runs)
    blocks = len(runs) // len(period)
    if len(period) == 1 and letters[0] not in zeros:
        return None  # a linear map like any other
    parts = tuple((rows, letter in zeros) for letter, rows in period)
    rule = rules.fused_projections(shape, parts, policy, blocks=blocks, transposed=transposed)
    return rule, _reason(found, period, zeros)


def _whole(found: Projections, zeros: str) -> tuple[Rule, str] | None:
    """The rule of a weight all of whose rows give one thing, or several alike."""
    if "q" in found.rows or set(zeros).isdisjoint(found.rows):
        return None  # a linear map like any other
    letters = " and ".join(sorted(found.rows))
    return Zeros(), f"attention of residual branch {found.closed}: {letters} 0"


def _letters(found: Projections, fan_out: int) -> list[str]:
    """What each row gives; of several things values, then keys, since those are 0."""
    letters = [_OTHER] * fan_out
    for letter in sorted(found.rows):
        rows = found.rows[letter]
        for row in range(fan_out) if rows is None else rows:
            if row < fan_out:
                letters[row] = max(letters[row], letter)
    return letters


def _period(runs: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The shortest pattern that the runs repeat; all of them, if they repeat none."""
    for length in range(1, len(runs)):
        if len(runs) % length == 0 and runs == runs[:length] * (len(runs) // length):
            letters = [letter for letter, _ in runs[:length]]
            if len(set(letters)) == len(letters):
                return runs[:length]
    return runs


def _reason(found: Projections, period: list[tuple[str, int]], zeros: str) -> str:
    letters = list(dict.fromkeys(letter for letter, _ in period if letter != _OTHER))
    if found.closed is None:
        return f"attention: {', '.join(letters)} each by Algorithm 1"
    groups = {
        "by Algorithm 1": [letter for letter in letters if letter not in zeros],
        "0": [letter for letter in letters if letter in zeros],
    }
    each = [f"{' and '.join(some)} {what}" for what, some in groups.items() if some]
    return f"attention of residual branch {found.closed}: {', '.join(each)}"

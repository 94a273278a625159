"""The rule of a weight that gives queries, keys or values to attention, or several of them."""

from itertools import groupby

from zeroinit_cli.models.structure import Projections
from zeroinit_cli.options import Options
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Rule, Zeros

_OTHER = "-"  # rows that go elsewhere


def projections_rule(
    shape: tuple[int, int] | None, found: Projections, options: Options, *, transposed: bool
) -> tuple[Rule, str] | None:
    """Rule a weight by what its rows give, and say why; None if no rule is known for that.

    Args:
        shape: of the weight as a matrix; None for a stack of them.
        found: which rows give what.
        options: what the plan depends on.
        transposed: it is stored (fan_in, fan_out).
    """
    if all(rows is None for rows in found.rows.values()):
        return _whole(found)
    if shape is None:
        return None
    fan_out = shape[1] if transposed else shape[0]
    letters = _letters(found, fan_out)
    runs = [(letter, len(list(run))) for letter, run in groupby(letters)]
    period = _period(runs)
    blocks = len(runs) // len(period)
    if len(period) == 1 and (found.closed is None or letters[0] == "q"):
        return None  # a linear map like any other
    zeros = "kv" if found.closed is not None else ""
    parts = tuple((rows, letter in zeros) for letter, rows in period)
    rule = rules.fused_projections(shape, parts, options, blocks=blocks, transposed=transposed)
    return rule, _reason(found, period)


def _whole(found: Projections) -> tuple[Rule, str] | None:
    """The rule of a weight all of whose rows give one thing, or keys and values alike."""
    if found.closed is None or "q" in found.rows:
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


def _reason(found: Projections, period: list[tuple[str, int]]) -> str:
    letters = list(dict.fromkeys(letter for letter, _ in period if letter != _OTHER))
    if found.closed is None:
        return f"attention: {', '.join(letters)} each by Algorithm 1"
    where = f"attention of residual branch {found.closed}"
    if letters == ["q"]:
        return f"{where}: q by Algorithm 1"
    if "q" in letters[1:]:
        each = ("q identity" if letter == "q" else f"{letter} 0" for letter in letters)
        return f"{where}: {', '.join(each)}"
    zeros = " and ".join(letter for letter in letters if letter != "q")
    return f"{where}: q identity, {zeros} 0" if "q" in letters else f"{where}: {zeros} 0"

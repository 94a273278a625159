"""Runs to numbers: means, spreads, paired differences. A tie is called a tie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evidence.expansions.cells import Cell
from evidence.expansions.runs import Runs
from evidence.experiment import Json, deviation, mean

_T = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t for 95 % on both sides, by the number of pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One start against another on one cell, seed by seed.

    Attributes:
        difference: of mean test errors, in points; below 0 the first is better.
        deviation: of the differences.
        verdict: 1 if the first is better, -1 if worse, 0 for a tie: 0 within the 95 % interval.
    """

    difference: float
    deviation: float
    verdict: int


def cell_summary(runs: Runs, cell: Cell, start: str, seeds: int) -> Json:
    """What is kept of a start on a cell; None if it was not trained."""
    if not runs.has(cell, start, seeds):
        return None
    tuned = runs.tuned(cell, start)
    found = runs.reported(cell, start, seeds)
    return {
        "rate": found[0].recipe.learning_rate,
        "at_edge": tuned.at_edge,
        "tuning": tuned.losses,
        "diverged": sum(run.diverged is not None for run in found),
        "test_error": [run.test_error for run in found],
        "test_loss": [run.test_loss for run in found],
    }


def pair(first: Sequence[float], other: Sequence[float]) -> Pair:
    """Errors of the same seeds."""
    differences = [a - b for a, b in zip(first, other, strict=True)]
    middle, spread = mean(differences), deviation(differences)
    bound = _T[len(differences)] * spread / math.sqrt(len(differences))
    verdict = 0 if abs(middle) <= bound else (-1 if middle > 0 else 1)
    return Pair(difference=middle, deviation=spread, verdict=verdict)


def ranks(errors: dict[str, float]) -> dict[str, float]:
    """1 for the smallest; equal ones share the mean of their places."""
    ordered = sorted(errors.values())
    return {
        name: mean([place for place, each in enumerate(ordered, 1) if each == error])
        for name, error in errors.items()
    }

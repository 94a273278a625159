"""Medians, spreads and ratios of what was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Process, ReferenceRun, Round

Figure = Callable[[Round], float | None]
"""A figure of one round, or None where it was not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Median, least and most of so many repetitions."""

    median: float
    least: float
    most: float
    count: int


def spread(rounds: Sequence[Round], figure: Figure) -> Spread | None:
    """A figure over the rounds that have it; None if none has."""
    values = [value for one in rounds if (value := figure(one)) is not None]
    if not values:
        return None
    return Spread(median=median(values), least=min(values), most=max(values), count=len(values))


def ratio(above: Figure, below: Figure) -> Figure:
    """One figure over another of the same round, so that both saw the same machine."""

    def divided(one: Round) -> float | None:
        numerator, denominator = above(one), below(one)
        return numerator / denominator if numerator is not None and denominator else None

    return divided


def of_reference(figure: Callable[[ReferenceRun], float]) -> Figure:
    """A figure of the reference, None in rounds without it."""
    return lambda one: None if one.reference is None else figure(one.reference)


def of_reference_process(figure: Callable[[Process], float]) -> Figure:
    """A figure of the reference's whole process, None in rounds without it."""
    return lambda one: None if one.reference_process is None else figure(one.reference_process)

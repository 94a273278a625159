"""A learning rate for each start by itself, so that none is compared at another's best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_STEPS = (1.0, 3.0)  # of each decade: a grid in factors of about 3
TUNING_SEED = 1000  # of order and start; the runs that are reported have seeds from 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """A learning rate, and the validation loss of each that was tried, in rising order."""

    rate: float
    losses: dict[str, float]
    at_edge: bool


def tune(
    loss_at: Callable[[float], float],
    grid: Sequence[float],
    *,
    lowest: float = 1e-5,
    highest: float = 10.0,
) -> Tuned:
    """The rate with the smallest validation loss; the grid grows until that is not at its edge.

    Args:
        loss_at: trains at a rate and gives the validation loss.
        grid: rates to begin with, each 1 or 3 times a power of ten.
        lowest: below this the grid does not grow.
        highest: above this neither.
    """
    losses = {rate: loss_at(rate) for rate in sorted(grid)}
    while True:
        best = min(losses, key=lambda rate: (losses[rate], rate))
        if best == min(losses) and below(best) >= lowest:
            new = below(best)
        elif best == max(losses) and above(best) <= highest:
            new = above(best)
        else:
            break
        losses[new] = loss_at(new)
    at_edge = best in (min(losses), max(losses))
    table = {f"{rate:g}": losses[rate] for rate in sorted(losses)}
    return Tuned(rate=best, losses=table, at_edge=at_edge)


def below(rate: float) -> float:
    """The next rate of the grid that is smaller."""
    return _neighbour(rate, -1)


def above(rate: float) -> float:
    """The next rate of the grid that is larger."""
    return _neighbour(rate, 1)


def _neighbour(rate: float, direction: int) -> float:
    decades = [float(f"{step:g}e{power}") for power in range(-9, 4) for step in _STEPS]
    nearest = min(range(len(decades)), key=lambda i: abs(decades[i] / rate - 1))
    return decades[nearest + direction]

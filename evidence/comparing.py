"""One start of one net: its learning rate chosen on the validation split, then several seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from evidence.data import Data
from evidence.experiment import Json
from evidence.training import Outcome, Recipe, train
from evidence.tuning import TUNING_SEED, tune

Make = Callable[[int], nn.Module]  # seed -> a net at its start
_POINTS = 60  # of a curve that is kept


def tuned_runs(
    make: Make, data: Data, recipe: Recipe, grid: Sequence[float], seeds: int
) -> dict[str, Json]:
    """Tune, then train under each seed, which is that of the order and of a random start.

    Args:
        make: the net at its start.
        data: the task.
        recipe: all but the learning rate.
        grid: learning rates to begin with; it grows until the best is inside.
        seeds: how many.

    Returns:
        the rate, what tuning saw, and for each seed loss and error; see `summary`.
    """

    def loss_at(rate: float) -> float:
        tried = replace(recipe, learning_rate=rate)
        return train(make(TUNING_SEED), data, tried, TUNING_SEED).validation_loss

    tuned = tune(loss_at, grid)
    chosen = replace(recipe, learning_rate=tuned.rate)
    outcomes = [train(make(seed), data, chosen, seed) for seed in range(seeds)]
    return {
        "rate": tuned.rate,
        "rate_at_edge": tuned.at_edge,
        "tuning": tuned.losses,
        **summary(outcomes),
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, Json]:
    """What is kept of runs that differ in their seeds, and their mean curve."""
    return {
        "curve": thinned(mean_curve([each.curve for each in outcomes])),
        "diverged": [each.diverged for each in outcomes],
        "test_error": [each.test_error for each in outcomes],
        "test_loss": [each.test_loss for each in outcomes],
        "train_loss": [each.train_loss for each in outcomes],
        "validation_error": [each.validation_error for each in outcomes],
        "validation_loss": [each.validation_loss for each in outcomes],
    }


def mean_curve(curves: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean of each step, None from where one curve has no number or has ended."""
    mean: list[float | None] = []
    for losses in zip(*curves, strict=False):
        found = [loss for loss in losses if loss is not None]
        mean.append(math.fsum(found) / len(found) if len(found) == len(losses) else None)
    return mean


def thinned(curve: Sequence[float | None]) -> list[list[float | None]]:
    """[step, loss] of about sixty steps, the first and the last among them."""
    stride = max(1, len(curve) // _POINTS)
    steps = sorted({*range(0, len(curve), stride), len(curve) - 1})
    return [[step, curve[step]] for step in steps]

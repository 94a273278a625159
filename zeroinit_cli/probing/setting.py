"""The settings of a probe: steps, samples and inputs. It imports no large library."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeroinit_cli.errors import UsageError

STEPS, LEARNING_RATE, SEEDS = 3, 0.01, 3
_MOST_STEPS, _MOST_BATCH, _MOST_PIXELS, _MOST_SEEDS = 1000, 4096, 4096, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The settings of a probe.

    Attributes:
        steps: of plain SGD.
        learning_rate: of them.
        batch: how many samples; None for as many as suit the model.
        image_size: height and width of images; None for what suits the model.
        seeds: how many of torch's own starts are averaged; None for as many as are cheap.
        device: torch's name of where it runs.
        inputs: files of arrays, by the name of the input; the only one is called "".
    """

    steps: int = STEPS
    learning_rate: float = LEARNING_RATE
    batch: int | None = None
    image_size: int | None = None
    seeds: int | None = None
    device: str = "cpu"
    inputs: Mapping[str, Path] = field(default_factory=dict)


def check_setting(setting: Setting) -> None:
    """Refuse numbers out of range, before anything is built.

    Raises:
        UsageError: one of them does.
    """
    _check_range("--steps", setting.steps, _MOST_STEPS)
    _check_range("--batch", setting.batch, _MOST_BATCH)
    _check_range("--image-size", setting.image_size, _MOST_PIXELS)
    _check_range("--seeds", setting.seeds, _MOST_SEEDS)
    if not 0 < setting.learning_rate < math.inf:
        raise UsageError(
            "no learning rate",
            where="--lr",
            expected="a number above 0",
            found=str(setting.learning_rate),
        )
    if setting.inputs:
        for option, value in (("--batch", setting.batch), ("--image-size", setting.image_size)):
            if value is not None:
                raise UsageError(
                    f"--input and {option} exclude each other",
                    where="the options",
                    hint="the array says both",
                )


def _check_range(option: str, value: int | None, most: int) -> None:
    if value is not None and not 1 <= value <= most:
        raise UsageError("out of range", where=option, expected=f"1 to {most}", found=str(value))

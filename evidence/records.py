"""What is kept of a model's first steps: plain data that goes into one JSON file a model."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What the numbers depend on beside the model and its plan.

    Attributes:
        batch: how many images.
        pixels: their height and width.
        learning_rate: of plain SGD.
        faster: a second rate, at which both starts are run once more.
        steps: how many.
        auxiliary: weight of each auxiliary head's loss.
        torch: its version.
        torchvision: its version.
    """

    batch: int
    pixels: int
    learning_rate: float
    faster: float
    steps: int
    auxiliary: float
    torch: str
    torchvision: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRecord:
    """The first steps from one start.

    Attributes:
        losses: before each step and after the last; None from where one is not finite.
        not_finite: the first value that is not, in words; None if all are.
        largest_gradient: the largest norm of a parameter's gradient at step 0; None if not finite.
        largest_gradient_of: that parameter.
        channels: of all batch norms.
        flat_channels: of these, how many have a variance over the batch below the norm's eps at
            step 0, so that the norm multiplies their gradients by up to 316.
        arrivals: parameters by the step at which they first got a gradient that is not 0.
        late: parameters that got one after step 1, by that step.
        never: parameters that got none, by the reason.
        units: rows of weights in all.
        idle: rows of weights that got none, by the reason.
        idle_elements: share of all elements of all parameters that got none.
        seconds: how long it took.
    """

    losses: list[float | None]
    not_finite: str | None
    largest_gradient: float | None
    largest_gradient_of: str
    channels: int
    flat_channels: int
    arrivals: dict[str, int]
    late: dict[str, list[str]]
    never: dict[str, list[str]]
    units: int
    idle: dict[str, int]
    idle_elements: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchRecord:
    """The residual branches before the first step, on the same images.

    Attributes:
        closed: how many the structure calls closed.
        largest_closed: the largest magnitude that one of them adds.
        scaled: how many a layer scale ends.
        damped: how many a small norm or weight ends.
        broken: the branches whose operand is not what the structure promises.
        open: the others by the reason.
    """

    closed: int
    largest_closed: float
    scaled: int
    damped: int
    broken: list[str]
    open: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRecord:
    """One model.

    Attributes:
        model: its name.
        plan: digest of its plan.
        nbytes: of its tensors.
        setting: what else the numbers depend on.
        warnings: what the plan warns of: kind -> text.
        branches: before the first step.
        zero: from ZerO's start.
        own: from torch's own.
        zero_faster: from ZerO's, at the second rate.
        own_faster: from torch's own, likewise.
        paper: one step from ZerO's with `--policy paper`.
        peak_bytes: the process's largest resident set.
    """

    model: str
    plan: str
    nbytes: int
    setting: Setting
    warnings: dict[str, str]
    branches: BranchRecord
    zero: StartRecord
    own: StartRecord
    zero_faster: StartRecord
    own_faster: StartRecord
    paper: StartRecord
    peak_bytes: int


def finite(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def write_record(path: Path, record: ModelRecord) -> None:
    """Whole or not at all, so that an interrupted run can go on."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_record(path: Path) -> ModelRecord | None:
    """A record that was written by this version of the program, or None."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        starts = ("zero", "own", "zero_faster", "own_faster", "paper")
        return ModelRecord(
            **{
                **data,
                "setting": Setting(**data["setting"]),
                "branches": BranchRecord(**data["branches"]),
                **{name: StartRecord(**data[name]) for name in starts},
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None

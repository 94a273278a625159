"""What a probe finds, as data: layers, starts, and the two compared. No torch here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from zeroinit_cli.plans.plan import PlanWarning


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A module with parameters of its own, from one start.

    Attributes:
        name: its path in the model; empty for the model itself.
        kind: its class.
        activation: root mean square of its output before the first step; None if it was never
            called, or is not finite.
        gradient: the largest norm of a gradient of its own parameters at step 0, likewise.
        moved: the learning rate times the largest ratio of such a norm to its parameter's own,
            over matrices and kernels that are not 0: how far the first step moves them.
        channels: what it normalizes, one by one; 0 if it is no norm.
        flat: of these, whose variance is below the norm's eps.
        units: of a weight layer, its output channels.
        distinct: how many different ones there are among them, on this batch.
        distinct_after: the same after the last step.
        rank: of its output's places by units; None if it is no weight layer.
        most_rank: what that could be.
    """

    name: str
    kind: str
    activation: float | None = None
    gradient: float | None = None
    moved: float | None = None
    channels: int = 0
    flat: int = 0
    units: int = 0
    distinct: int = 0
    distinct_after: int = 0
    rank: int | None = None
    most_rank: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A few steps from one start, or the middle of several.

    Attributes:
        losses: before each step and after the last; None from where one is not finite.
        not_finite: the first value that is not, in words; None if all are.
        layers: in the model's order.
        never: parameters that had no gradient in any step; of fused projections each part.
    """

    losses: tuple[float | None, ...]
    not_finite: str | None
    layers: tuple[Layer, ...]
    never: tuple[str, ...]

    @property
    def largest(self) -> Layer | None:
        """The layer with the largest gradient; one that is not finite is larger than all."""
        return max(self.layers, key=lambda each: _order(each.gradient), default=None)

    @property
    def largest_gradient(self) -> float | None:
        """Its gradient; None if it is not finite or there is none."""
        return None if self.largest is None else self.largest.gradient

    @property
    def moved(self) -> float | None:
        """How far the first step moves the layer that it moves the farthest."""
        found = [each.moved for each in self.layers if each.moved is not None]
        return max(found, default=None)

    @property
    def flat(self) -> int:
        """Flat channels of all norms."""
        return sum(each.flat for each in self.layers)

    @property
    def flat_norms(self) -> int:
        """Norms with at least one."""
        return sum(each.flat > 0 for each in self.layers)

    @property
    def channels(self) -> int:
        """Channels of all norms."""
        return sum(each.channels for each in self.layers)

    @property
    def units(self) -> int:
        """Units of all weight layers."""
        return sum(each.units for each in self.layers)

    @property
    def distinct(self) -> int:
        """Different ones, layer by layer."""
        return sum(each.distinct for each in self.layers)

    @property
    def distinct_after(self) -> int:
        """The same after the last step."""
        return sum(each.distinct_after for each in self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """The same start under a smaller learning rate."""

    learning_rate: float
    losses: tuple[float | None, ...]
    not_finite: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What the numbers depend on.

    Attributes:
        source: what it was built from.
        start: what was probed, in words: the rules' options, or a file.
        plan: digest of the plan; None for a file.
        inputs: the batch, in words: shape by name.
        given: the batch came from `--input`.
        steps: of plain SGD.
        learning_rate: of them.
        seeds: torch's own starts that were run.
        device: where.
        versions: of torch and torchvision.
        parameters: that train.
    """

    source: str
    start: str
    plan: str | None
    inputs: Mapping[str, str]
    given: bool
    steps: int
    learning_rate: float
    seeds: tuple[int, ...]
    device: str
    versions: Mapping[str, str]
    parameters: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Everything that was measured.

    Attributes:
        conditions: under which.
        run: from the start that is asked about.
        torch: from torch's own, the middle of several seeds.
        rungs: the start under smaller learning rates, tried where it did not go well.
        warnings: what the plan warns of; nothing of a file.
        used_nowhere: parameters that got no gradient from torch's start either.
    """

    conditions: Conditions
    run: Run
    torch: Run
    rungs: tuple[Rung, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    used_nowhere: tuple[str, ...] = ()


def middle(runs: Sequence[Run]) -> Run:
    """Of several runs of one model the middle of each number; of an even count the lower.

    A number is not finite if it is not in half of the runs or more.
    """
    if len(runs) == 1:
        return runs[0]
    columns = zip(*(run.layers for run in runs), strict=True)
    never = set(runs[0].never).intersection(*(run.never for run in runs[1:]))
    broken = sorted(run.not_finite for run in runs if run.not_finite is not None)
    return Run(
        losses=tuple(_middle(values) for values in zip(*(run.losses for run in runs), strict=True)),
        not_finite=broken[0] if 2 * len(broken) >= len(runs) else None,
        layers=tuple(map(_middle_layer, columns)),
        never=tuple(name for name in runs[0].never if name in never),
    )


def _middle_layer(layers: Sequence[Layer]) -> Layer:
    first = layers[0]
    values: dict[str, Any] = {
        name: _middle([getattr(each, name) for each in layers])
        for name in (
            "activation",
            "gradient",
            "moved",
            "flat",
            "distinct",
            "distinct_after",
            "rank",
        )
    }
    return Layer(
        name=first.name,
        kind=first.kind,
        channels=first.channels,
        units=first.units,
        most_rank=first.most_rank,
        **values,
    )


def _middle(values: Iterable[float | None]) -> float | None:
    found = list(values)
    value = median_low([_order(each) for each in found])
    return None if math.isinf(value) else value


def _order(value: float | None) -> float:
    """What is not a finite number sorts above all."""
    return math.inf if value is None else value

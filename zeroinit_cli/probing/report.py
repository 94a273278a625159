"""The measurements of a probe, as data, and how their numbers are written. No torch here."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.text import counted

NOT_CALLED = "not called"  # its parameters may be used all the same, as by F.linear
NOT_FINITE = "not finite"
NO_NUMBERS = "no numbers"
_MEASURED = ("activation", "gradient", "moved", "flat", "distinct", "distinct_after", "rank")


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerReport:
    """The measurements of one layer under one initialization.

    Attributes:
        name: its path in the model; empty for the model itself.
        kind: its class.
        activation: root mean square of its output before the first step; None if there is none.
        no_activation: why there is none, in words: `NOT_CALLED`, `NOT_FINITE` or `NO_NUMBERS`.
        gradient: the largest norm of a gradient of its own parameters at step 0; None if it is
            not finite.
        moved: the learning rate times the largest ratio of such a norm to its parameter's own,
            over matrices and kernels that are not 0: how far the first step moves them.
        channels: what it normalizes, one by one; 0 if it is no norm.
        flat: of these, whose variance is below the norm's eps.
        units: of a weight layer, its output channels.
        distinct: how many different ones there are among them, on this batch.
        distinct_after: the same after the last step.
        rank: of its output's positions by units; None if it is no weight layer.
        most_rank: what that could be.
    """

    name: str
    kind: str
    activation: float | None = None
    no_activation: str | None = None
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
    """A few steps from one initialization, or the middle of several such runs.

    Attributes:
        learning_rate: of the steps.
        losses: before each step and after the last; None from where one is not finite.
        not_finite: the first value that is not, in words; None if all are.
        layers: in the model's order; empty where the losses alone were asked for.
        never: parameters that had no gradient in any step; of fused projections each part.
    """

    learning_rate: float
    losses: tuple[float | None, ...]
    not_finite: str | None
    layers: tuple[LayerReport, ...] = ()
    never: tuple[str, ...] = ()

    @property
    def largest(self) -> LayerReport | None:
        """The layer with the largest gradient; one that is not finite is larger than all."""
        return max(self.layers, key=lambda layer: _order(layer.gradient), default=None)

    @property
    def largest_gradient(self) -> float | None:
        """The largest gradient; None if it is not finite or there is none."""
        return None if self.largest is None else self.largest.gradient

    @property
    def moved(self) -> float | None:
        """The largest relative move of a layer by the first step."""
        return max((layer.moved for layer in self.layers if layer.moved is not None), default=None)

    @property
    def flat(self) -> int:
        """Flat channels of all norms."""
        return sum(layer.flat for layer in self.layers)

    @property
    def flat_norms(self) -> int:
        """Norms with at least one flat channel."""
        return sum(layer.flat > 0 for layer in self.layers)

    @property
    def channels(self) -> int:
        """Channels of all norms."""
        return sum(layer.channels for layer in self.layers)

    @property
    def units(self) -> int:
        """Units of all weight layers."""
        return sum(layer.units for layer in self.layers)

    @property
    def distinct(self) -> int:
        """Distinct units, summed over layers."""
        return sum(layer.distinct for layer in self.layers)

    @property
    def distinct_after(self) -> int:
        """Distinct units after the last step."""
        return sum(layer.distinct_after for layer in self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """The conditions that the numbers depend on.

    Attributes:
        source: what it was built from.
        start: what was probed, in words: the rules' options, or a file.
        plan: digest of the plan; None for a file.
        inputs: the batch, in words: shape by name.
        given: the batch came from `--input`.
        steps: of plain SGD.
        learning_rate: of them.
        seeds: torch's own initializations that were run.
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
    """The measurements of a probe.

    Attributes:
        conditions: under which.
        run: from the initialization that is asked about.
        torch: from torch's own, the middle of several seeds.
        retries: runs under smaller learning rates, made where the first did not go well.
        warnings: what the plan warns of; nothing of a file.
        used_nowhere: parameters that got no gradient from torch's initialization either.
    """

    conditions: Conditions
    run: Run
    torch: Run
    retries: tuple[Run, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    used_nowhere: tuple[str, ...] = ()


def middle(runs: Sequence[Run]) -> Run:
    """Take the median of each number of several runs of one model; of an even count the lower.

    A number is not finite if it is not in half of the runs or more.
    """
    if len(runs) == 1:
        return runs[0]
    never = set(runs[0].never).intersection(*(run.never for run in runs[1:]))
    broken = sorted(run.not_finite for run in runs if run.not_finite is not None)
    columns = zip(*(run.layers for run in runs), strict=True)
    return replace(
        runs[0],
        losses=tuple(_middle(values) for values in zip(*(run.losses for run in runs), strict=True)),
        not_finite=broken[0] if 2 * len(broken) >= len(runs) else None,
        layers=tuple(map(_middle_layer, columns)),
        never=tuple(name for name in runs[0].never if name in never),
    )


def _middle_layer(layers: Sequence[LayerReport]) -> LayerReport:
    values: dict[str, Any] = {
        name: _middle([getattr(layer, name) for layer in layers]) for name in _MEASURED
    }
    values["no_activation"] = None
    if values["activation"] is None:
        reasons = (layer.no_activation for layer in layers)
        values["no_activation"] = next((why for why in reasons if why is not None), None)
    return replace(layers[0], **values)


def _middle(values: Iterable[float | None]) -> float | None:
    value = median_low([_order(value) for value in values])
    return None if math.isinf(value) else value


def _order(value: float | None) -> float:
    """Return a sort key that puts what is not finite above all numbers."""
    return math.inf if value is None else value


def number(value: float | None) -> str:
    """Write a number with two digits, as 0.013, 2.4, 310 or 5e7; further ones vary by machine."""
    if value is None or not math.isfinite(value):
        return NOT_FINITE
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001 or size >= 10_000:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    digits = max(0, 1 - math.floor(math.log10(size)))
    rounded = round(value, digits if size < 100 else 1 - math.floor(math.log10(size)))
    return f"{rounded:.{digits}f}"


def activation_text(layer: LayerReport) -> str:
    """Write a layer's activation, or why it has none."""
    return layer.no_activation or number(layer.activation)


def loss_text(value: float | None) -> str:
    """Write a loss: two decimals, or two digits where it is large."""
    return number(value) if value is None or abs(value) >= 100 else f"{value:.2f}"


def first_and_last(losses: Sequence[float | None]) -> str:
    """Write the losses before the first step and after the last."""
    return f"{loss_text(losses[0])} -> {loss_text(losses[-1])}"


def share(part: int, whole: int) -> str:
    """Write `3 of 1,024`, or nothing where there is none."""
    return f"{part:,} of {whole:,}" if whole else ""


def batch_text(described: Mapping[str, str]) -> str:
    """Write shape and type of each input, by its name if it has one."""
    return ", ".join(f"{name} {form}" if name else form for name, form in described.items())


def run_text(conditions: Conditions) -> str:
    """Describe in a phrase what was run."""
    batch = batch_text(conditions.inputs)
    origin = "given" if conditions.given else "the default batch"
    steps = counted(conditions.steps, "step")
    rate = f"learning rate {conditions.learning_rate:g}"
    return f"{steps} of SGD at {rate} on {batch} ({origin}), {conditions.device}"


def reference_text(conditions: Conditions) -> str:
    """Name what the run is compared with."""
    seeds = len(conditions.seeds)
    return "torch's own start" + (f", the middle of {seeds} seeds" if seeds > 1 else ", one seed")


def side_by_side(probe: Probe) -> Iterator[tuple[str, str, str]]:
    """Yield each number of both runs: a label, this initialization's, torch's own."""
    run, own = probe.run, probe.torch
    after = f"different units after {counted(probe.conditions.steps, 'step')}"
    yield "largest gradient", number(run.largest_gradient), number(own.largest_gradient)
    yield (
        "farthest that step 1 moves a weight, times its size",
        number(run.moved),
        number(own.moved),
    )
    if run.channels:
        yield (
            "norm channels without variance",
            share(run.flat, run.channels) or "-",
            share(own.flat, own.channels) or "-",
        )
    for label, part, other in (
        ("different units", run.distinct, own.distinct),
        (after, run.distinct_after, own.distinct_after),
    ):
        yield label, share(part, run.units) or "-", share(other, own.units) or "-"
    yield "parameters without gradient", str(len(run.never)), str(len(own.never))
    yield "loss", first_and_last(run.losses), first_and_last(own.losses)
    for retry in probe.retries:
        yield f"loss at learning rate {retry.learning_rate:g}", first_and_last(retry.losses), ""

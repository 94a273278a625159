"""The verdict on what a probe measured. No torch here.

The thresholds were chosen on the nets of `evidence.probe_cases.calibration` and tested on others;
how often verdicts were right stands in evidence/probe_verdicts.md.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from zeroinit_cli.probing.report import NOT_CALLED, LayerReport, Probe, Run, loss_text, number
from zeroinit_cli.text import counted

FACTORS = (0.1, 0.01)
"""Of the learning rate, tried one after the other where the first does not go well."""

THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "different_units": 1 / 3,
        "gradient_ratio": 1e3,
        "gradient_ratio_not": 1e6,
        "gradient_ratio_small": 0.1,
        "loss_fall": 0.5,
        "loss_rise": 1.1,
    }
)
"""What each means stands in docs/probe.md."""

_STEPS_TO_ALL = 3
"""Of a closed branch the inside gets its first gradient at step 1, of closed attention the query at
step 2; so has every parameter of the models of evidence/first_steps.md that a forward uses."""


class Will(Enum):
    """The four verdicts."""

    TRAIN = "will-train"
    SLOWER = "smaller-learning-rate"
    UNCERTAIN = "uncertain"
    NOT = "likely-not"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is to be expected.

    Attributes:
        kind: one of four.
        text: in words.
        reasons: what it rests on, each with its numbers.
        hints: what to type or change.
        learning_rate: the largest of those tried that went well; None if none did.
    """

    kind: Will
    text: str
    reasons: tuple[str, ...]
    hints: tuple[str, ...]
    learning_rate: float | None

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.kind is Will.TRAIN


def goes_well(run: Run) -> bool:
    """Tell whether the steps made the loss smaller, and none made it much larger on the way."""
    first, last = run.losses[0], run.losses[-1]
    if run.not_finite is not None or first is None or last is None:
        return False
    most = max(loss for loss in run.losses if loss is not None)
    return last < first and most <= THRESHOLDS["loss_rise"] * first


def judge(probe: Probe) -> Verdict:
    """Judge a probe."""
    rate = _rate(probe)
    against, doubts = list(_against(probe)), list(_doubts(probe))
    reasons = (*against, *doubts, *_about_rate(probe, rate))
    if against or rate is None:
        kind, text = Will.NOT, f"likely not: {_main_objection(probe)}"
    elif doubts:
        kind, text = Will.UNCERTAIN, "uncertain"
    elif rate < probe.conditions.learning_rate:
        kind = Will.SLOWER
        text = f"will train, with a learning rate of about {rate:g} or less"
    else:
        kind, text = Will.TRAIN, "will train"
    doubted = kind in (Will.NOT, Will.UNCERTAIN)
    hints = [warning.hint for warning in probe.warnings if warning.hint and doubted]
    return Verdict(
        kind=kind,
        text=text,
        reasons=reasons,
        hints=tuple(dict.fromkeys(hints)),
        learning_rate=rate,
    )


def oddity(layer: LayerReport, own: LayerReport) -> float:
    """Measure how far a layer is from torch's own start; the short table sorts by it.

    A layer that was not called has nothing to show.
    """
    if layer.no_activation == NOT_CALLED and layer.gradient is not None:
        return 0.0
    far = [
        abs(math.log10(max(one, 1e-30) / max(other, 1e-30)))
        for one, other in ((layer.activation, own.activation), (layer.gradient, own.gradient))
        if one is not None and other is not None and one > 0 and other > 0
    ]
    lost = layer.gradient is None or (layer.activation is None and own.activation is not None)
    flat = layer.flat / layer.channels if layer.channels else 0.0
    return (math.inf if lost else 0.0) + max(far, default=0.0) + flat


def _rate(probe: Probe) -> float | None:
    """Find the largest learning rate that went well."""
    runs = (probe.run, *probe.retries)
    return next((run.learning_rate for run in runs if goes_well(run)), None)


def _against(probe: Probe) -> Iterator[str]:
    run, own = probe.run, probe.torch
    ratio = gradient_ratio(run, own)
    if ratio is not None and ratio >= THRESHOLDS["gradient_ratio_not"]:
        yield _gradients(run, own)


def _doubts(probe: Probe) -> Iterator[str]:
    run, own = probe.run, probe.torch
    ratio = gradient_ratio(run, own)
    if ratio is not None and (
        THRESHOLDS["gradient_ratio"] <= ratio < THRESHOLDS["gradient_ratio_not"]
        or (ratio < THRESHOLDS["gradient_ratio_small"] and _falls_short(run, own))
    ):
        yield _gradients(run, own)
    steps = counted(probe.conditions.steps, "step")
    share = THRESHOLDS["different_units"]
    if run.distinct_after < share * run.units and own.distinct_after >= share * own.units:
        yield (
            f"{run.distinct_after:,} of {run.units:,} units differ after {steps}, against "
            f"{own.distinct_after:,}: equal units learn the same until something parts them"
        )
    if run.never and probe.conditions.steps >= _STEPS_TO_ALL:
        yield f"{counted(len(run.never), 'parameter')} got no gradient in {steps}"


def _falls_short(run: Run, own: Run) -> bool:
    """Whether the loss falls by less than a share of what it falls by from torch's own start."""
    return _fall(run) < THRESHOLDS["loss_fall"] * _fall(own)


def _fall(run: Run) -> float:
    """Subtract the last loss from the first; nothing if one of them is not finite."""
    first, last = run.losses[0], run.losses[-1]
    return first - last if first is not None and last is not None else -math.inf


def gradient_ratio(run: Run, own: Run) -> float | None:
    """Divide the largest gradient by that of torch's own start; None if one is missing."""
    if run.largest_gradient is None or not own.largest_gradient:
        return None
    return run.largest_gradient / own.largest_gradient


def _gradients(run: Run, own: Run) -> str:
    where = run.largest.name if run.largest is not None else ""
    return (
        f"largest gradient {number(run.largest_gradient)} against "
        f"{number(own.largest_gradient)} of torch's own start, in {where or 'the model'}"
    )


def _main_objection(probe: Probe) -> str:
    """Name the strongest point against the start, for the verdict itself."""
    run, own = probe.run, probe.torch
    if run.losses[0] is None:
        return f"not finite: {run.not_finite}"
    ratio = gradient_ratio(run, own)
    if ratio is None or ratio < THRESHOLDS["gradient_ratio_not"]:
        return "the loss falls at no learning rate that was tried"
    gradients = (
        f"largest gradient {number(run.largest_gradient)} against {number(own.largest_gradient)}"
    )
    if run.flat_norms <= own.flat_norms:
        return gradients
    norms = counted(run.flat_norms, "norm sees", "norms see")
    return f"{norms} channels without variance, {gradients}"


def _about_rate(probe: Probe, rate: float | None) -> Iterator[str]:
    conditions = probe.conditions
    if rate == conditions.learning_rate or probe.run.losses[0] is None:
        return
    steps = counted(conditions.steps, "step")
    tried = f"{steps} at learning rate {conditions.learning_rate:g}"
    yield f"{tried} take the loss {_path(probe.run)}"
    if rate is None:
        rates = " or ".join(f"{retry.learning_rate:g}" for retry in probe.retries)
        yield f"nor does it fall at {rates}"
    else:
        retry = next(retry for retry in probe.retries if retry.learning_rate == rate)
        yield f"at {rate:g} they take it {_path(retry)}"


def _path(run: Run) -> str:
    return " -> ".join(loss_text(loss) for loss in run.losses)

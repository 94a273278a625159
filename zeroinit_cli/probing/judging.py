"""From what was measured to a verdict in words. The thresholds, and where they are from.

They were chosen on the nets of `evidence.probe_cases.calibration` and tested on others; how often
verdicts were right stands in evidence/probe_verdicts.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from zeroinit_cli.probing import words
from zeroinit_cli.probing.reports import Layer, Probe, Run

FACTORS = (0.1, 0.01)
"""Of the learning rate, tried one after the other where the first does not go well."""

THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "different_units": 1 / 3,
        "gradient_ratio": 1e3,
        "gradient_ratio_not": 1e6,
        "gradient_ratio_small": 0.1,
        "loss_rise": 1.1,
    }
)
"""What each means stands in docs/probe.md."""


_STEPS_TO_ALL = 3
"""Of a closed branch the inside gets its first gradient at step 1, of closed attention the query at
step 2; so has every parameter of the 80 models of evidence/first_steps.md that a forward uses."""


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


def goes_well(losses: Sequence[float | None], not_finite: str | None) -> bool:
    """Whether the steps made the loss smaller, and none made it much larger on the way."""
    first, last = losses[0], losses[-1]
    if not_finite is not None or first is None or last is None:
        return False
    most = max(each for each in losses if each is not None)
    return last < first and most <= THRESHOLDS["loss_rise"] * first


def judge(probe: Probe) -> Verdict:
    """The verdict on a probe."""
    rate = _rate(probe)
    against, doubts = list(_against(probe)), list(_doubts(probe))
    reasons = (*against, *doubts, *_about_rate(probe, rate))
    if against or rate is None:
        kind, text = Will.NOT, f"likely not: {_short(probe)}"
    elif doubts:
        kind, text = Will.UNCERTAIN, "uncertain"
    elif rate < probe.conditions.learning_rate:
        kind = Will.SLOWER
        text = f"will train, with a learning rate of about {rate:g} or less"
    else:
        kind, text = Will.TRAIN, "will train"
    doubted = kind in (Will.NOT, Will.UNCERTAIN)
    hints = [each.hint for each in probe.warnings if each.hint and doubted]
    return Verdict(
        kind=kind,
        text=text,
        reasons=reasons,
        hints=tuple(dict.fromkeys(hints)),
        learning_rate=rate,
    )


def oddity(layer: Layer, own: Layer) -> float:
    """How far a layer is from torch's own start, for the order of a short table."""
    far = [
        abs(math.log10(max(one, 1e-30) / max(other, 1e-30)))
        for one, other in ((layer.activation, own.activation), (layer.gradient, own.gradient))
        if one is not None and other is not None and one > 0 and other > 0
    ]
    lost = layer.gradient is None or (layer.activation is None and own.activation is not None)
    flat = layer.flat / layer.channels if layer.channels else 0.0
    return (math.inf if lost else 0.0) + max(far, default=0.0) + flat


def _rate(probe: Probe) -> float | None:
    """The largest learning rate that went well."""
    if goes_well(probe.run.losses, probe.run.not_finite):
        return probe.conditions.learning_rate
    for rung in probe.rungs:
        if goes_well(rung.losses, rung.not_finite):
            return rung.learning_rate
    return None


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
        or ratio < THRESHOLDS["gradient_ratio_small"]
    ):
        yield _gradients(run, own)
    steps = words.count(probe.conditions.steps, "step")
    share = THRESHOLDS["different_units"]
    if run.distinct_after < share * run.units and own.distinct_after >= share * own.units:
        yield (
            f"{run.distinct_after:,} of {run.units:,} units differ after {steps}, against "
            f"{own.distinct_after:,}: equal units learn the same until something parts them"
        )
    if run.never and probe.conditions.steps >= _STEPS_TO_ALL:
        yield f"{words.count(len(run.never), 'parameter')} got no gradient in {steps}"


def gradient_ratio(run: Run, own: Run) -> float | None:
    """The largest gradient, times that of torch's own start; None if one of them is none."""
    if run.largest_gradient is None or not own.largest_gradient:
        return None
    return run.largest_gradient / own.largest_gradient


def _gradients(run: Run, own: Run) -> str:
    where = run.largest.name if run.largest is not None else ""
    return (
        f"largest gradient {words.number(run.largest_gradient)} against "
        f"{words.number(own.largest_gradient)} of torch's own start, in {where or 'the model'}"
    )


def _short(probe: Probe) -> str:
    """What speaks most against it, for the verdict itself."""
    run, own = probe.run, probe.torch
    if run.losses[0] is None:
        return f"not finite: {run.not_finite}"
    ratio = gradient_ratio(run, own)
    if ratio is None or ratio < THRESHOLDS["gradient_ratio_not"]:
        return "the loss falls at no learning rate that was tried"
    gradients = (
        f"largest gradient {words.number(run.largest_gradient)} against "
        f"{words.number(own.largest_gradient)}"
    )
    if run.flat_norms <= own.flat_norms:
        return gradients
    norms = words.count(run.flat_norms, "norm sees", "norms see")
    return f"{norms} channels without variance, {gradients}"


def _about_rate(probe: Probe, rate: float | None) -> Iterator[str]:
    told = probe.conditions
    if rate == told.learning_rate or probe.run.losses[0] is None:
        return
    tried = f"{words.count(told.steps, 'step')} at learning rate {told.learning_rate:g}"
    path = " -> ".join(words.loss(each) for each in probe.run.losses)
    yield f"{tried} take the loss {path}"
    if rate is None:
        rates = " or ".join(f"{rung.learning_rate:g}" for rung in probe.rungs)
        yield f"nor does it fall at {rates}"
    else:
        rung = next(each for each in probe.rungs if each.learning_rate == rate)
        yield f"at {rate:g} they take it {' -> '.join(words.loss(each) for each in rung.losses)}"

"""Numbers as people read them: two digits, so that what rounds otherwise elsewhere is hidden."""

import math
from collections.abc import Iterator

from zeroinit_cli.probing.reports import Probe


def number(value: float | None) -> str:
    """Two digits: 0.013, 2.4, 310, 5e7; of what is none, that."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001 or size >= 10_000:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    digits = max(0, 1 - math.floor(math.log10(size)))
    rounded = round(value, digits if size < 100 else 1 - math.floor(math.log10(size)))
    return f"{rounded:.{digits}f}"


def losses(values: tuple[float | None, ...]) -> str:
    """The first and the last."""
    return f"{loss(values[0])} -> {loss(values[-1])}"


def loss(value: float | None) -> str:
    """A loss: two decimals, or two digits where it is large."""
    return number(value) if value is None or abs(value) >= 100 else f"{value:.2f}"


def count(number_of: int, one: str, many: str | None = None) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number_of:,} {one if number_of == 1 else many or f'{one}s'}"


def conditions(probe: Probe) -> str:
    """What was run, in a sentence."""
    told = probe.conditions
    batch = ", ".join(f"{name} {form}" if name else form for name, form in told.inputs.items())
    origin = "given" if told.given else "the default batch"
    return (
        f"{count(told.steps, 'step')} of SGD at learning rate {told.learning_rate:g} on "
        f"{batch} ({origin}), {told.device}"
    )


def compared(probe: Probe) -> str:
    """What it is compared with."""
    seeds = len(probe.conditions.seeds)
    return "torch's own start" + (f", the middle of {seeds} seeds" if seeds > 1 else ", one seed")


def sides(probe: Probe) -> Iterator[tuple[str, str, str]]:
    """What is told of both starts: a label, this start's, torch's own."""
    run, own = probe.run, probe.torch
    after = f"different units after {count(probe.conditions.steps, 'step')}"
    yield "largest gradient", number(run.largest_gradient), number(own.largest_gradient)
    yield (
        "farthest that step 1 moves a weight, times its size",
        number(run.moved),
        number(own.moved),
    )
    if run.channels:
        yield (
            "norm channels without variance",
            _of(run.flat, run.channels),
            _of(own.flat, own.channels),
        )
    yield "different units", _of(run.distinct, run.units), _of(own.distinct, own.units)
    yield after, _of(run.distinct_after, run.units), _of(own.distinct_after, own.units)
    yield "parameters without gradient", str(len(run.never)), str(len(own.never))
    yield "loss", losses(run.losses), losses(own.losses)
    for rung in probe.rungs:
        yield f"loss at learning rate {rung.learning_rate:g}", losses(rung.losses), ""


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" if whole else "-"

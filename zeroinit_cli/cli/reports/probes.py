"""The output of `probe`: the verdict and numbers for people, a document for programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from zeroinit_cli.cli.console import out
from zeroinit_cli.cli.github import Level, annotate
from zeroinit_cli.cli.tables import Column, Kind, print_table
from zeroinit_cli.errors import printable
from zeroinit_cli.probing.judge import THRESHOLDS, Verdict, oddity
from zeroinit_cli.probing.report import (
    LayerReport,
    Probe,
    Run,
    activation_text,
    number,
    reference_text,
    run_text,
    side_by_side,
)
from zeroinit_cli.text import listed

_MOST_LAYERS = 12
_MOST_NAMES = 5
_MEASURED = ("activation", "gradient", "moved")  # the others are counted
_DIGITS = 4  # of measured numbers in JSON: further ones could depend on the machine
_SIDES = (
    Column(heading="before the first step"),
    Column(heading="this start", kind=Kind.NUMBER),
    Column(heading="torch's own", kind=Kind.NUMBER),
)
_LAYERS = (
    Column(heading="layer", kind=Kind.NAME),
    Column(heading="type", kind=Kind.WORD, spare=4),
    Column(heading="activation", kind=Kind.NUMBER),
    Column(heading="torch", kind=Kind.NUMBER),
    Column(heading="gradient", kind=Kind.NUMBER),
    Column(heading="torch", kind=Kind.NUMBER),
    Column(heading="flat", kind=Kind.NUMBER, spare=1),
    Column(heading="distinct", kind=Kind.NUMBER, spare=2),
    Column(heading="rank", kind=Kind.NUMBER, spare=3),
)


def print_human(probe: Probe, verdict: Verdict, *, every: bool) -> None:
    """Print the report.

    Args:
        probe: what was measured.
        verdict: on it.
        every: show all layers, in the model's order, and every column; else the oddest.
    """
    out(f"{printable(probe.conditions.source)}: {verdict.text}")
    for reason in verdict.reasons:
        out(f"  - {printable(reason)}")
    for hint in verdict.hints:
        out(f"  hint: {printable(hint)}")
    out("")
    print_table(_SIDES, list(side_by_side(probe)))
    out("")
    pairs = list(zip(probe.run.layers, probe.torch.layers, strict=True))
    shown = pairs
    if not every and len(pairs) > _MOST_LAYERS:
        shown = sorted(pairs, key=lambda pair: -oddity(*pair))[:_MOST_LAYERS]
        out(f"the {_MOST_LAYERS} oddest of {len(pairs)} layers (--all shows every one):")
    print_table(_LAYERS, list(_layer_rows(shown)), every=every)
    out(f"{printable(probe.conditions.start)}")
    out(f"{run_text(probe.conditions)}; beside it {reference_text(probe.conditions)}")
    for text in _names(probe):
        out(printable(text))


def print_github(probe: Probe, verdict: Verdict) -> None:
    """Print the verdict as one annotation: a notice if it is good, else a warning."""
    annotate(
        Level.NOTICE if verdict.good else Level.WARNING,
        f"zeroinit probe: {probe.conditions.source}",
        [verdict.text, *verdict.reasons, *(f"hint: {hint}" for hint in verdict.hints)],
    )


def to_json(probe: Probe, verdict: Verdict) -> dict[str, Any]:
    """Return the document that docs/output.md describes."""
    conditions = asdict(probe.conditions)
    source, start = conditions.pop("source"), conditions.pop("start")
    pairs = zip(probe.run.layers, probe.torch.layers, strict=True)
    return {
        "warnings": [asdict(warning) for warning in probe.warnings],
        "conditions": conditions,
        "layers": [
            {
                "kind": layer.kind,
                "name": layer.name,
                "start": _layer_json(layer),
                "torch": _layer_json(own),
            }
            for layer, own in pairs
        ],
        "learning_rates": [
            {
                "learning_rate": retry.learning_rate,
                "losses": list(map(_rounded, retry.losses)),
                "not_finite": retry.not_finite,
            }
            for retry in probe.retries
        ],
        "source": source,
        "start": {"is": start, **_run_json(probe.run)},
        "thresholds": dict(THRESHOLDS),
        "torch": _run_json(probe.torch),
        "used_nowhere": list(probe.used_nowhere),
        "verdict": {
            "learning_rate": verdict.learning_rate,
            "reasons": list(verdict.reasons),
            "text": verdict.text,
            "will": verdict.kind.value,
        },
    }


def _run_json(run: Run) -> dict[str, Any]:
    largest = run.largest
    return {
        "channels": run.channels,
        "distinct": run.distinct,
        "distinct_after": run.distinct_after,
        "flat": run.flat,
        "largest_gradient": _rounded(run.largest_gradient),
        "largest_gradient_of": "" if largest is None else largest.name,
        "losses": list(map(_rounded, run.losses)),
        "moved": _rounded(run.moved),
        "not_finite": run.not_finite,
        "units": run.units,
        "without_gradient": list(run.never),
    }


def _layer_json(layer: LayerReport) -> dict[str, Any]:
    values = {name: value for name, value in asdict(layer).items() if name not in ("kind", "name")}
    return {**values, **{name: _rounded(values[name]) for name in _MEASURED}}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _layer_rows(pairs: list[tuple[LayerReport, LayerReport]]) -> Iterator[tuple[str, ...]]:
    for layer, own in pairs:
        yield (
            printable(layer.name or "(the model itself)"),
            layer.kind,
            activation_text(layer),
            activation_text(own),
            number(layer.gradient),
            number(own.gradient),
            f"{layer.flat} of {layer.channels}" if layer.channels else "",
            f"{layer.distinct} of {layer.units}" if layer.units else "",
            f"{layer.rank} of {layer.most_rank}" if layer.most_rank else "",
        )


def _names(probe: Probe) -> Iterator[str]:
    for label, names in (
        ("without gradient", probe.run.never),
        ("without gradient from torch's own start, too", probe.used_nowhere),
    ):
        if names:
            yield f"{label}: {listed(names, _MOST_NAMES)}"

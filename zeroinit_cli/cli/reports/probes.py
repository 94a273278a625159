"""What `probe` prints for people: the verdict, the two starts side by side, the worst layers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zeroinit_cli.cli.console import out
from zeroinit_cli.cli.reports.github import Level, annotate
from zeroinit_cli.cli.tables import print_table
from zeroinit_cli.errors import printable
from zeroinit_cli.probing import words
from zeroinit_cli.probing.judging import Verdict, oddity

if TYPE_CHECKING:
    from zeroinit_cli.probing.reports import Layer, Probe

_MOST_LAYERS = 12
_MOST_NAMES = 5


def print_human(probe: "Probe", verdict: Verdict, *, every: bool) -> None:
    """The report.

    Args:
        probe: what was measured.
        verdict: on it.
        every: show all layers, in the model's order; else the oddest.
    """
    out(f"{printable(probe.conditions.source)}: {verdict.text}")
    for reason in verdict.reasons:
        out(f"  - {printable(reason)}")
    for hint in verdict.hints:
        out(f"  hint: {printable(hint)}")
    out("")
    print_table(
        [("before the first step", "this start", "torch's own"), *words.sides(probe)],
        numbers=frozenset({"this start", "torch's own"}),
        whole=frozenset(),
    )
    out("")
    pairs = list(zip(probe.run.layers, probe.torch.layers, strict=True))
    shown = pairs
    if not every and len(pairs) > _MOST_LAYERS:
        shown = sorted(pairs, key=lambda pair: -oddity(*pair))[:_MOST_LAYERS]
        out(f"the {_MOST_LAYERS} oddest of {len(pairs)} layers (--all shows every one):")
    print_table(
        list(_layer_rows(shown)),
        numbers=frozenset({"activation", "gradient", "flat", "distinct", "rank", "torch"}),
        whole=frozenset({"type"}),
    )
    out(f"{printable(probe.conditions.start)}")
    out(f"{words.conditions(probe)}; beside it {words.compared(probe)}")
    for text in _names(probe):
        out(printable(text))


def print_github(probe: "Probe", verdict: Verdict) -> None:
    """The verdict as one annotation: a notice if it is good, else a warning."""
    annotate(
        Level.NOTICE if verdict.good else Level.WARNING,
        f"zeroinit probe: {probe.conditions.source}",
        [verdict.text, *verdict.reasons, *(f"hint: {hint}" for hint in verdict.hints)],
    )


def _layer_rows(pairs: "list[tuple[Layer, Layer]]") -> Iterator[tuple[str, ...]]:
    yield "layer", "type", "activation", "torch", "gradient", "torch", "flat", "distinct", "rank"
    for layer, own in pairs:
        yield (
            printable(layer.name or "(the model itself)"),
            layer.kind,
            words.number(layer.activation),
            words.number(own.activation),
            words.number(layer.gradient),
            words.number(own.gradient),
            f"{layer.flat} of {layer.channels}" if layer.channels else "",
            f"{layer.distinct} of {layer.units}" if layer.units else "",
            f"{layer.rank} of {layer.most_rank}" if layer.most_rank else "",
        )


def _names(probe: "Probe") -> Iterator[str]:
    for label, names in (
        ("without gradient", probe.run.never),
        ("without gradient from torch's own start, too", probe.used_nowhere),
    ):
        if names:
            more = len(names) - _MOST_NAMES
            tail = f" and {more} more" if more > 0 else ""
            yield f"{label}: {', '.join(names[:_MOST_NAMES])}{tail}"

"""The report as one HTML page: no network, no script, all pictures inside it; with a dark mode.

The page's frame is page.html, beside this module; a value that may be empty brings its own line
break. Whatever a name in a model says is text: the page's policy lets nothing load and nothing run.
"""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template

from zeroinit_cli.errors import printable
from zeroinit_cli.probing.judge import THRESHOLDS, Verdict, Will
from zeroinit_cli.probing.plots import Plot, svg
from zeroinit_cli.probing.report import (
    NOT_FINITE,
    LayerReport,
    Probe,
    Run,
    activation_text,
    first_and_last,
    number,
    reference_text,
    run_text,
    share,
    side_by_side,
)
from zeroinit_cli.text import counted

_WIDE, _NARROW = (1040, 300), (336, 260)  # pixels; the page shows the one that fits
_SIGNS = {Will.TRAIN: "good", Will.SLOWER: "fair", Will.UNCERTAIN: "fair", Will.NOT: "bad"}
_KEYS = (
    '<span class="key"><svg width="26" height="10" aria-hidden="true"><path class="start" '
    'd="M0 5H26"/><circle class="start" cx="13" cy="5" r="3.5"/></svg>this start</span>'
    '<span class="key"><svg width="26" height="10" aria-hidden="true"><path class="own" '
    'd="M0 5H26"/><rect class="own" x="10" y="2" width="6" height="6"/></svg>torch\'s own</span>'
)


def page_of(probe: Probe, verdict: Verdict) -> str:
    """Write the page of a probe, the same text for the same numbers."""
    run, own, conditions = probe.run, probe.torch, probe.conditions
    pairs = list(zip(run.layers, own.layers, strict=True))
    items = "".join(f"<li>{_html_text(reason)}</li>" for reason in verdict.reasons)
    hints = "".join(f"<p>Hint: {_html_text(hint)}</p>" for hint in verdict.hints)
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        source=_html_text(conditions.source),
        verdict=_html_text(verdict.text),
        sign=_SIGNS[verdict.kind],
        headline=_html_text(_capital(verdict.text)),
        reasons=f"<ul>{items}</ul>\n" if items else "",
        hints=f"{hints}\n" if hints else "",
        start=_html_text(_capital(conditions.start)),
        ran=_html_text(_capital(run_text(conditions))),
        reference=_html_text(reference_text(conditions)),
        sides="".join(_side(*texts) for texts in side_by_side(probe)),
        keys=_KEYS,
        gradient=_plots(_layer_plot("gradient", run, own)),
        activation=_plots(_layer_plot("activation", run, own)),
        loss=_plots(_loss_plot(run, own)),
        count=counted(len(pairs), "layer"),
        layers="".join(_row(layer, other) for layer, other in pairs),
        never="".join(_names(probe)),
        judged=_judged(),
    )


def _html_text(text: str) -> str:
    return escape(printable(text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _side(label: str, here: str, there: str) -> str:
    heading = f'<th scope="row">{_html_text(_capital(label))}</th>'
    return f"<tr>{heading}\n<td>{here}</td><td>{there}</td></tr>\n"


def _plots(plot: Plot) -> str:
    return f"{svg(plot, *_WIDE)}\n{svg(plot, *_NARROW)}"


def _loss_plot(run: Run, own: Run) -> Plot:
    steps = range(1, len(run.losses))
    return Plot(
        id="loss",
        title="Loss before each step and after the last, of both starts",
        text=f"This start {first_and_last(run.losses)}; torch's own {first_and_last(own.losses)}.",
        across="steps",
        labels=["before", *(f"after step {step}" for step in steps)],
        start=run.losses,
        own=own.losses,
        logarithmic=False,
    )


def _layer_plot(what: str, run: Run, own: Run) -> Plot:
    """Plot the gradient or the activation of each layer; of the latter those that were called."""
    shown = [
        (layer, other)
        for layer, other in zip(run.layers, own.layers, strict=True)
        if what == "gradient" or layer.no_activation in (None, NOT_FINITE)
    ]
    start = [getattr(layer, what) for layer, _ in shown]
    reference = [getattr(other, what) for _, other in shown]
    return Plot(
        id=what,
        title=f"{what.capitalize()} of each layer, of both starts",
        text="From the first layer to the last, on a logarithmic scale: "
        f"this start {_span(start)}; torch's own {_span(reference)}. "
        "The table of all layers below has every number.",
        across="layers, from input to output",
        labels=[_layer_name(layer) for layer, _ in shown],
        start=start,
        own=reference,
    )


def _span(values: Sequence[float | None]) -> str:
    finite = [value for value in values if value is not None]
    if not finite:
        return "never finite"
    lost = len(values) - len(finite)
    span = f"between {number(min(finite))} and {number(max(finite))}"
    return f"{span}, {lost} not finite" if lost else span


def _row(layer: LayerReport, own: LayerReport) -> str:
    cells = (
        layer.kind,
        activation_text(layer),
        activation_text(own),
        number(layer.gradient),
        number(own.gradient),
        share(layer.flat, layer.channels),
        share(layer.distinct, layer.units),
        f"{own.distinct:,}" if layer.units else "",
        f"{layer.rank} of {layer.most_rank}" if layer.most_rank else "",
        f"{own.rank}" if layer.most_rank else "",
    )
    row = "".join(f"<td>{_html_text(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{_html_text(_layer_name(layer))}</th>{row}</tr>\n'


def _names(probe: Probe) -> Iterator[str]:
    for heading, names in (
        ("Without gradient in any step", probe.run.never),
        ("Without gradient from torch's own start, too", probe.used_nowhere),
    ):
        if names:
            listed = ", ".join(f"<code>{_html_text(name)}</code>" for name in names)
            yield f"<h2>{heading}</h2>\n<p>{listed}</p>\n"


def _judged() -> str:
    """Write what decides a verdict, in words, with the thresholds."""
    limit = {name: f"{value:,.3g}" for name, value in THRESHOLDS.items()}
    far, doubtful = (
        f"{THRESHOLDS[name]:,.0f}" for name in ("gradient_ratio_not", "gradient_ratio")
    )
    return (
        f"A start will likely not train if its largest gradient is {far} times that of torch's \n"
        "own or more, or if the loss falls at none of the learning rates that are tried, or \n"
        f"rises above {limit['loss_rise']} times its first value on the way. It is uncertain if \n"
        f"that gradient is {doubtful} times torch's or more, or less than \n"
        f"{limit['gradient_ratio_small']} times while the loss falls less than \n"
        f"{limit['loss_fall']} times as far as from torch's own; if after the last \n"
        f"step fewer than {THRESHOLDS['different_units']:.0%} of all units differ, where torch's \n"
        "own do; or if a parameter gets no gradient in three steps that gets one from torch's \n"
        "own start. How often such verdicts were right is told in zeroinit's docs/probe.md."
    )


def _layer_name(layer: LayerReport) -> str:
    return printable(layer.name) or "(the model itself)"

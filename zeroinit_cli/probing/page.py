"""The report as one page: no network, no script, its pictures inside it; dark for whom asks."""

from collections.abc import Iterator, Sequence
from html import escape

from zeroinit_cli.errors import printable
from zeroinit_cli.probing import words
from zeroinit_cli.probing.judging import THRESHOLDS, Verdict, Will
from zeroinit_cli.probing.plots import Plot, svg
from zeroinit_cli.probing.reports import Layer, Probe, Run

_WIDE, _NARROW = (1040, 300), (336, 260)  # pixels; the page shows the one that fits
_SIGNS = {Will.TRAIN: "good", Will.SLOWER: "fair", Will.UNCERTAIN: "fair", Will.NOT: "bad"}
_STYLE = """
:root{color-scheme:light dark;--ground:#fbfbfa;--card:#fff;--text:#1d1f23;--quiet:#5c6370;
--line:#dcdfe4;--start:#b3261e;--own:#2b5fa8;--good:#17693b;--fair:#8a5a00;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ground:#16181c;--card:#1e2126;--text:#e8eaed;
--quiet:#a2a9b4;--line:#363b44;--start:#ff8a7a;--own:#8ab6ff;--good:#7fd6a2;--fair:#f0c060;
--bad:#ff8a7a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1104px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:1.05rem;font-weight:600;margin:0 0 4px;overflow-wrap:anywhere;color:var(--quiet)}
h2{font-size:1.05rem;margin:32px 0 8px}
.verdict{font-size:1.7rem;line-height:1.25;font-weight:650;margin:0 0 12px}
.good .verdict{color:var(--good)}.fair .verdict{color:var(--fair)}.bad .verdict{color:var(--bad)}
.sum{border-left:4px solid var(--line);padding:4px 0 4px 16px;margin:0 0 8px}
.good.sum{border-color:var(--good)}.fair.sum{border-color:var(--fair)}.bad.sum{border-color:var(--bad)}
ul{margin:0;padding-left:1.2em}li,p{overflow-wrap:anywhere}
p{margin:8px 0}.quiet{color:var(--quiet);font-size:.9rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:12px 12px 4px}
figcaption{font-size:.9rem;color:var(--quiet);margin:0 0 6px}
.key{display:inline-block;white-space:nowrap;margin-right:14px;color:var(--text)}
.key svg{vertical-align:-2px;margin-right:6px}
svg{display:block;max-width:100%;height:auto}.key svg{display:inline-block}
svg text{font:12px system-ui,-apple-system,"DejaVu Sans",sans-serif;fill:var(--quiet)}
.grid{stroke:var(--line);stroke-width:1}
path.start{stroke:var(--start);stroke-width:1.5}
path.own{stroke:var(--own);stroke-width:1.5;stroke-dasharray:5 3}
circle.start{fill:var(--start)}rect.own{fill:var(--own)}
svg.w336{display:none}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;background:var(--card)}
table{border-collapse:collapse;font-size:.875rem;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}tbody tr:last-child>*{border-bottom:0}
thead th{font-weight:600;color:var(--quiet);white-space:nowrap}
tbody th{font-weight:400}
.layers td,.layers tbody th{white-space:nowrap}.layers td,.layers th{padding:5px 7px}
.sides thead th{white-space:normal}
summary{cursor:pointer;margin:8px 0;padding:4px 0}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.9em}
:focus-visible{outline:2px solid var(--own);outline-offset:2px}
@media(max-width:700px){svg.w1040{display:none}svg.w336{display:block;margin:0 auto}
.verdict{font-size:1.35rem}main{padding:16px 12px 32px}figure{padding:10px 6px 2px}
figcaption{padding:0 6px}.sides th,.sides td{padding:6px;overflow-wrap:normal}}
"""


def page_of(probe: Probe, verdict: Verdict) -> str:
    """The page of a probe, the same text for the same numbers."""
    told = probe.conditions
    name = _text(told.source)
    sign = _SIGNS[verdict.kind]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # whatever a name in a model says, nothing is loaded and nothing runs
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{name}: {_text(verdict.text)}</title>",
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>zeroinit probe <code>{name}</code></h1>",
        f'<div class="sum {sign}"><p class="verdict">{_text(_capital(verdict.text))}</p>',
        f"<ul>{''.join(f'<li>{_text(each)}</li>' for each in verdict.reasons)}</ul>"
        if verdict.reasons
        else "",
        "".join(f"<p>Hint: {_text(each)}</p>" for each in verdict.hints),
        "</div>",
        f'<p class="quiet">{_text(_capital(told.start))}. '
        f"{_text(_capital(words.conditions(probe)))}; beside it "
        f"{_text(words.compared(probe))}.</p>",
        *_sides(probe),
        *_figures(probe),
        *_table(probe),
        *_names(probe),
        *_thresholds(),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _text(text: str) -> str:
    return escape(printable(text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _figures(probe: Probe) -> Iterator[str]:
    run, own = probe.run, probe.torch
    names = [_layer_name(each) for each in run.layers]
    steps = [f"after step {number}" if number else "before" for number in range(len(run.losses))]
    yield from _figure(
        "Gradient of each layer",
        "The largest norm of a gradient of its parameters, before the first step.",
        _plot("gradient", names, run, own),
    )
    yield from _figure(
        "Activation of each layer",
        "Root mean square of its output, before the first step.",
        _plot("activation", names, run, own),
    )
    yield from _figure(
        "Loss",
        "On the one batch, before each step and after the last.",
        Plot(
            id="loss",
            title="Loss before each step and after the last, of both starts",
            text=f"This start {words.losses(run.losses)}; torch's own {words.losses(own.losses)}.",
            across="steps",
            labels=steps,
            start=run.losses,
            own=own.losses,
            logarithmic=False,
        ),
    )


def _plot(what: str, names: Sequence[str], run: Run, own: Run) -> Plot:
    called = [place for place, each in enumerate(run.layers) if what == "gradient" or _gives(each)]
    sides = [[getattr(side.layers[place], what) for place in called] for side in (run, own)]
    labels = ("this start", "torch's own")
    spans = [f"{label} {_span(each)}" for label, each in zip(labels, sides, strict=True)]
    return Plot(
        id=what,
        title=f"{what.capitalize()} of each layer, of both starts",
        text=f"From the first layer to the last, on a logarithmic scale: {'; '.join(spans)}. "
        "The table of all layers below has every number.",
        across="layers, from input to output",
        labels=[names[place] for place in called],
        start=sides[0],
        own=sides[1],
    )


def _gives(layer: Layer) -> bool:
    """Whether it was called."""
    return layer.activation is not None or bool(layer.units or layer.channels)


def _span(values: Sequence[float | None]) -> str:
    finite = [each for each in values if each is not None]
    if not finite:
        return "never finite"
    lost = len(values) - len(finite)
    span = f"between {words.number(min(finite))} and {words.number(max(finite))}"
    return f"{span}, {lost} not finite" if lost else span


_KEYS = (
    '<span class="key"><svg width="26" height="10" aria-hidden="true"><path class="start" '
    'd="M0 5H26"/><circle class="start" cx="13" cy="5" r="3.5"/></svg>this start</span>'
    '<span class="key"><svg width="26" height="10" aria-hidden="true"><path class="own" '
    'd="M0 5H26"/><rect class="own" x="10" y="2" width="6" height="6"/></svg>torch\'s own</span>'
)


def _figure(heading: str, caption: str, plot: Plot) -> Iterator[str]:
    yield f"<h2>{heading}</h2>\n<figure><figcaption>{_KEYS}<br>{caption}</figcaption>"
    yield svg(plot, *_WIDE)
    yield svg(plot, *_NARROW)
    yield "</figure>"


def _sides(probe: Probe) -> Iterator[str]:
    yield '<h2>The two starts</h2>\n<div class="scroll"><table class="sides">'
    yield '<thead><tr><th scope="col">Before the first step</th><th scope="col">This start</th>'
    yield '<th scope="col">Torch\'s own</th></tr></thead><tbody>'
    for label, here, there in words.sides(probe):
        yield f'<tr><th scope="row">{_text(_capital(label))}</th>'
        yield f"<td>{here}</td><td>{there}</td></tr>"
    yield "</tbody></table></div>"


def _table(probe: Probe) -> Iterator[str]:
    pairs = list(zip(probe.run.layers, probe.torch.layers, strict=True))
    yield f"<h2>Every layer</h2>\n<details><summary>{words.count(len(pairs), 'layer')} as a table"
    yield '</summary><div class="scroll" role="region" aria-label="Every layer" tabindex="0">'
    yield '<table class="layers"><thead><tr>'
    for heading in (
        "Layer",
        "Type",
        "Activation",
        "torch's",
        "Gradient",
        "torch's",
        "No variance",
        "Different units",
        "torch's",
        "Rank",
        "torch's",
    ):
        yield f'<th scope="col">{heading}</th>'
    yield "</tr></thead><tbody>"
    for layer, own in pairs:
        cells = (
            layer.kind,
            words.number(layer.activation),
            words.number(own.activation),
            words.number(layer.gradient),
            words.number(own.gradient),
            f"{layer.flat:,} of {layer.channels:,}" if layer.channels else "",
            f"{layer.distinct:,} of {layer.units:,}" if layer.units else "",
            f"{own.distinct:,}" if layer.units else "",
            f"{layer.rank} of {layer.most_rank}" if layer.most_rank else "",
            f"{own.rank}" if layer.most_rank else "",
        )
        row = "".join(f"<td>{_text(each)}</td>" for each in cells)
        yield f'<tr><th scope="row">{_text(_layer_name(layer))}</th>{row}</tr>'
    yield "</tbody></table></div></details>"


def _names(probe: Probe) -> Iterator[str]:
    for heading, names in (
        ("Without gradient in any step", probe.run.never),
        ("Without gradient from torch's own start, too", probe.used_nowhere),
    ):
        if names:
            listed = ", ".join(f"<code>{_text(name)}</code>" for name in names)
            yield f"<h2>{heading}</h2>\n<p>{listed}</p>"


def _thresholds() -> Iterator[str]:
    yield "<h2>How it was judged</h2>"
    yield '<p class="quiet">Thresholds: '
    yield f"{_text('; '.join(f'{name} {value:g}' for name, value in sorted(THRESHOLDS.items())))}."
    yield "What they mean, and how often such verdicts were right, is told in zeroinit's "
    yield "docs/probe.md.</p>"


def _layer_name(layer: Layer) -> str:
    return printable(layer.name) or "(the model itself)"

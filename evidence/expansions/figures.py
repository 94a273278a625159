"""The study's figures, drawn from its results alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.expansions.cells import CELLS, CORE
from evidence.experiment import Json, deviation, mean
from evidence.figures import panels, write_svg

COLOURS = {  # of Okabe and Ito's palette
    "torch": "#000000",
    "sylvester": "#d55e00",
    "odd sylvester": "#e69f00",
    "paley": "#009e73",
    "odd twisted": "#0072b2",
    "random signs": "#cc79a7",
    "singer": "#56b4e9",
}
MARKERS = {
    "torch": "|",
    "sylvester": "X",
    "odd sylvester": "P",
    "paley": "s",
    "odd twisted": "o",
    "random signs": "d",
    "singer": "^",
}
_MATRICES = ("sylvester", "paley", "singer", "random signs", "odd twisted")
_CHAINS = ("sylvester", "odd sylvester", "paley", "odd twisted")
_STEPS = ("torch", "sylvester", "odd sylvester", "paley", "odd twisted", "random signs")
_COMPARED = ("torch", "paley", "odd twisted")
_EXPLODES = 100


def draw(results: Json, folder: Path) -> None:
    """All of them, each where its part of the results is there."""
    drawings: dict[str, tuple[str, Callable[[Json], Figure]]] = {
        "matrices": ("matrices", _matrices),
        "chains": ("chains", _chains),
        "first_step": ("first_step", _first_step),
        "training": ("training", _training),
        "depthwise": ("training", _depthwise),
    }
    for name, (part, drawing) in drawings.items():
        if results.get(part):
            write_svg(drawing(results), folder / f"{name}.svg")


def _matrices(results: Json) -> Figure:
    """Largest and smallest singular value of each matrix."""
    figure, (axes,) = panels(
        1,
        1,
        "Singular values of an expansion, from the smallest to the largest",
        height=3.8,
    )
    shapes: Sequence[Json] = results["matrices"]
    for at, shape in enumerate(shapes):
        for place, name in enumerate(_MATRICES):
            x = at + (place - (len(_MATRICES) - 1) / 2) * 0.15
            low, high = (shape["families"][name][key] for key in ("smallest", "largest"))
            axes.plot([x, x], [low, high], color=COLOURS[name], linewidth=3, solid_capstyle="butt")
            axes.plot([x], [low], "_", color=COLOURS[name], markersize=6)
            axes.plot([x], [high], "_", color=COLOURS[name], markersize=6)
    labels = [f"{each['fan_out']} x {each['fan_in']}\n{each['where']}" for each in shapes]
    axes.set_xticks(range(len(shapes)), labels, fontsize=7, rotation=20, ha="right")
    axes.axhline(1, color="#888888", linewidth=0.8, linestyle="--")
    axes.set_yscale("log")
    axes.set_yticks([0.01, 0.03, 0.1, 0.3, 1, 2], ["0.01", "0.03", "0.1", "0.3", "1", "2"])
    axes.set_ylabel("singular value (1 is kept)")
    _legend(axes, _MATRICES, "lower left")
    return figure


def _chains(results: Json) -> Figure:
    """Flat channels and rank, link by link."""
    chains: Mapping[str, Json] = results["chains"]
    figure, axes = panels(
        2,
        len(chains),
        "Expansion, batch norm, ReLU, again and again: what is left of the channels",
        height=2.6,
    )
    for column, (name, families) in enumerate(chains.items()):
        top, bottom = axes[column], axes[len(chains) + column]
        for family in _CHAINS:
            links = families[family]
            ticks = range(len(links))
            style = {"color": COLOURS[family], "marker": MARKERS[family], "markersize": 5}
            top.plot(ticks, [100 * link["flat"] for link in links], **style)
            bottom.plot(ticks, [link["rank"] for link in links], **style)
        widths = [str(link["fan_out"]) for link in families["paley"]]
        bottom.plot(range(len(widths)), [int(each) / 2 for each in widths], ":", color="#888888")
        for each in (top, bottom):
            each.set_xticks(range(len(widths)), widths)
        top.set_title(name)
        top.set_ylim(-5, 105)
        bottom.set_yscale("log", base=2)
        bottom.set_xlabel("channels after the expansion")
    axes[0].set_ylabel("flat channels, %")
    axes[len(chains)].set_ylabel("rank of the channels\n(dotted: channels before)")
    _legend(axes[0], _CHAINS, "upper left")
    return figure


def _first_step(results: Json) -> Figure:
    """The largest gradient of every net, by start."""
    parts = results["first_step"]
    figure, axes = panels(
        1, 2, "The largest gradient at step 0, over that of torch's start", height=6
    )
    small, models = parts["small nets"], parts["models"]
    for each, title, part, names in (
        (axes[0], "small nets", small, [cell.name for cell in CELLS if cell.name in small]),
        (axes[1], "torchvision's models", models, list(models)),
    ):
        for at, name in enumerate(names):
            own = part[name]["torch"]["gradient"]
            for start in _STEPS[1:]:
                ratio = part[name][start]["gradient"] / own
                _mark(each, ratio, at, start)
        each.set_yticks(range(len(names)), names, fontsize=7)
        each.set_ylim(len(names) - 0.5, -0.5)
        each.set_xscale("log")
        each.axvline(1, color="#000000", linewidth=0.8)
        each.axvline(_EXPLODES, color="#888888", linewidth=0.8, linestyle="--")
        each.set_title(title)
        each.set_xlabel("times torch's (beyond the dashed line: it explodes)")
    _legend(axes[0], _STEPS[1:], "lower right")
    return figure


def _training(results: Json) -> Figure:
    """Test error of every cell, by start."""
    training: Mapping[str, Json] = results["training"]
    found = [cell.name for cell in CELLS if cell.name in training]
    names = [name for name in found if all(start in training[name] for start in CORE)]
    figure, (axes,) = panels(
        1,
        1,
        "Test error after training, mean of the seeds, each at its own learning rate",
        height=7,
    )
    for at, name in enumerate(names):
        for place, start in enumerate(_STEPS):
            if start not in training[name]:
                continue
            errors = training[name][start]["test_error"]
            middle, spread = mean(errors), deviation(errors)
            y = at + (place - (len(_STEPS) - 1) / 2) * 0.12
            low = max(middle - spread, 0.5)
            axes.plot([low, middle + spread], [y, y], color=COLOURS[start], linewidth=1)
            _mark(axes, middle, y, start)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xticks([2, 5, 10, 20, 50, 90], ["2", "5", "10", "20", "50", "90"])
    axes.minorticks_off()
    axes.set_xlabel(
        "test error, % (bar: one standard deviation over seeds; 90 is guessing, 99 for GPT)"
    )
    for at in range(1, len(names)):
        axes.axhline(at - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.grid(axis="y", visible=False)
    for start in _STEPS:
        axes.plot([], [], MARKERS[start], color=COLOURS[start], label=start)
    figure.legend(loc="outside lower center", ncols=len(_STEPS), fontsize=8)
    return figure


def _depthwise(results: Json) -> Figure:
    """MobileNets with parts of their start exchanged."""
    training: Mapping[str, Json] = results["training"]
    bars = [
        (cell.name, start)
        for cell in CELLS
        if any("depthwise" in start for start in training.get(cell.name, {}))
        for start in cell.starts
        if start in training[cell.name] and (start in _COMPARED or "," in start)
    ]
    figure, (axes,) = panels(
        1, 1, "Nets with depthwise convolutions: which part of the start costs what", height=3.6
    )
    for at, (cell, start) in enumerate(bars):
        errors = training[cell][start]["test_error"]
        colour = COLOURS[start.partition(",")[0]]
        axes.plot(errors, [at] * len(errors), "o", markersize=4, color=colour, alpha=0.6)
        axes.plot([mean(errors)] * 2, [at - 0.35, at + 0.35], color=colour, linewidth=2)
    axes.set_yticks(range(len(bars)), [f"{cell}: {start}" for cell, start in bars], fontsize=8)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlabel("test error, % (a dot a seed, a bar their mean)")
    return figure


def _mark(axes: Any, x: float, y: float, start: str) -> None:
    size = 9 if start == "torch" else 5
    axes.plot([x], [y], MARKERS[start], color=COLOURS[start], markersize=size, markeredgewidth=1.2)


def _legend(axes: Any, names: Sequence[str], place: str) -> None:
    for name in names:
        axes.plot([], [], MARKERS[name], color=COLOURS[name], label=name)
    axes.legend(loc=place, fontsize=7, framealpha=0.9, frameon=True, edgecolor="none")

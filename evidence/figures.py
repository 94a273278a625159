"""How all figures look, and how they are written: the same bytes from the same numbers."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = {  # of Okabe and Ito's palette, told apart by every eye
    "zero": "#0072b2",
    "zero-1": "#009e73",
    "zero-paper": "#56b4e9",
    "kaiming": "#d55e00",
    "torch": "#e69f00",
    "gpt2": "#d55e00",
    "fixup": "#e69f00",
    "partial-identity": "#009e73",
}
LINES: Mapping[str, Any] = {  # and without colours
    "zero": "solid",
    "zero-paper": (0, (5, 2)),
    "kaiming": (0, (1, 1.2)),
    "torch": (0, (1, 1.2)),
    "partial-identity": (0, (6, 1.5, 1, 1.5)),
}
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "zeroinit",  # otherwise ids are random
    "font.family": "DejaVu Sans",  # matplotlib's own, on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def styled() -> AbstractContextManager[None]:
    """The look of all figures, for what is drawn meanwhile."""
    return mpl.rc_context(_STYLE)


def panels(
    rows: int, columns: int, title: str, *, width: float = 9.0, height: float = 3.4
) -> tuple[Figure, list[Any]]:
    """An empty figure with a title, and its axes in reading order; height is of one row."""
    with styled():
        figure = Figure(figsize=(width, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure, [each for row in axes for each in row]


def write_svg(figure: Figure, path: Path) -> None:
    """Write a figure, without the date and the version that matplotlib adds."""
    with styled():
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def dots(axes: Any, at: float, values: Sequence[float], colour: str) -> None:
    """One dot a seed, beside each other, and a bar at their mean."""
    count = len(values)
    offsets = [(i - (count - 1) / 2) * 0.09 for i in range(count)]
    axes.plot(
        [at + offset for offset in offsets],
        values,
        "o",
        markersize=4,
        color=colour,
        alpha=0.75,
        markeredgewidth=0,
    )
    axes.plot([at - 0.3, at + 0.3], [math.fsum(values) / count] * 2, color=colour, linewidth=2)

"""Very deep nets without any norm: which starts train, and at which learning rate?

Convolutions of width 8 on digits, in pairs, with a shortcut around each pair (residual) or without
(plain). A run trains if its test error comes below two thirds of what guessing gives: the runs are
short, three to five epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from matplotlib.figure import Figure

from evidence.data import digits
from evidence.experiment import Cells, Effort, Experiment, Json, Row, Verdict, mean
from evidence.figures import panels
from evidence.nets import Deep
from evidence.starts import STARTS, start
from evidence.training import Outcome, Recipe, train

Way = Literal["residual", "plain"]
_STARTS: Mapping[Way, tuple[str, ...]] = {
    "residual": ("zero", "zero-paper", "fixup", "kaiming"),
    "plain": ("zero", "zero-paper", "kaiming"),
}
_RATES: Mapping[int, tuple[float, ...]] = {  # of a depth up to this; deeper nets want smaller ones
    20: (0.003, 0.01, 0.03, 0.1, 0.3),
    110: (0.001, 0.003, 0.01, 0.03, 0.1),
    500: (0.0003, 0.001, 0.003, 0.01),
    1000: (0.0003, 0.001, 0.003),
}
_STEPS = {20: 100, 110: 100, 500: 60, 1000: 40}
_SEEDS = {20: 3, 110: 1, 500: 1, 1000: 1}
_TRAINS = 60.0  # percent of test error; guessing has 90


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each depth, way and start, the deepest first: they take longest."""
    return {
        f"{depth}/{way}/{begin}": partial(_measure, depth, way, begin, effort)
        for depth in sorted(effort.depths, reverse=True)
        for way, starts in _STARTS.items()
        for begin in starts
    }


def _of(table: Mapping[int, Json], depth: int) -> Json:
    return next(value for limit, value in table.items() if depth <= limit)


def _measure(depth: int, way: Way, begin: str, effort: Effort) -> Json:
    build = partial(Deep, depth, width=8, residual=way == "residual")
    steps = effort.steps(_of(_STEPS, depth))
    data = digits()
    rates: dict[str, Json] = {}
    for rate in _of(_RATES, depth):
        recipe = Recipe(learning_rate=rate, steps=steps, warmup=steps // 10, batch=50)
        seeds = range(effort.fewer(_of(_SEEDS, depth)))
        outcomes = [train(start(build, begin, seed), data, recipe, seed) for seed in seeds]
        rates[f"{rate:g}"] = _kept(outcomes)
    return {"rates": rates}


def _kept(outcomes: Sequence[Outcome]) -> Json:
    return {
        "diverged": [each.diverged for each in outcomes],
        "test_error": [each.test_error for each in outcomes],
        "train_loss": [each.train_loss for each in outcomes],
    }


def figure(results: Cells) -> Figure:
    """A panel for each depth: starts down, rates across, the test error in each field."""
    depths = _depths(results)
    drawn, axes = panels(
        1,
        len(depths),
        "Without any norm: test error in %, by start and learning rate (guessing has 90)",
        height=3.9,
        width=4.2 * len(depths) + 1,
    )
    for panel, depth in zip(axes, depths, strict=True):
        _draw(panel, results, depth, labelled=depth == depths[0])
    return drawn


def _draw(panel: Json, results: Cells, depth: int, *, labelled: bool) -> None:
    lines = [(way, begin) for way, starts in _STARTS.items() for begin in starts]
    rates = _of(_RATES, depth)
    table = [[_error(results, depth, way, begin, rate) for rate in rates] for way, begin in lines]
    panel.imshow(table, cmap="viridis_r", vmin=0, vmax=90, aspect="auto")
    for i, (way, begin) in enumerate(lines):
        for j, rate in enumerate(rates):
            error = table[i][j]
            words = (
                f"{error:.0f}" if not _diverged(results, depth, way, begin, rate) else "diverges"
            )
            colour = "black" if error < 45 else "white"
            size = 9 if len(words) < 4 else 6.5
            panel.text(j, i, words, ha="center", va="center", color=colour, fontsize=size)
    panel.axhline(len(_STARTS["residual"]) - 0.5, color="white", linewidth=3)
    panel.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    names = [f"{way}: {STARTS[begin].label}" for way, begin in lines]
    panel.set_yticks(range(len(lines)), names if labelled else [""] * len(lines), fontsize=8)
    panel.grid(visible=False)
    panel.set_xlabel("learning rate")
    panel.set_title(f"{depth} layers")


def _depths(results: Cells) -> list[int]:
    return sorted({int(cell.partition("/")[0]) for cell in results})


def _at(results: Cells, depth: int, way: Way, begin: str, rate: float) -> Json:
    return results[f"{depth}/{way}/{begin}"]["rates"][f"{rate:g}"]


def _error(results: Cells, depth: int, way: Way, begin: str, rate: float) -> float:
    return mean(_at(results, depth, way, begin, rate)["test_error"])


def _diverged(results: Cells, depth: int, way: Way, begin: str, rate: float) -> bool:
    return all(step is not None for step in _at(results, depth, way, begin, rate)["diverged"])


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """One for each depth and way."""
    return [_row(results, depth, way, effort) for depth in _depths(results) for way in _STARTS]


def _row(results: Cells, depth: int, way: Way, effort: Effort) -> Row:
    trains = {begin: _trains(results, depth, way, begin) for begin in _STARTS[way]}
    words = "; ".join(
        f"{STARTS[begin].label} {_in_words(results, depth, way, begin)}" for begin in _STARTS[way]
    )
    rates = _of(_RATES, depth)
    seeds = len(_at(results, depth, way, "zero", rates[0])["test_error"])
    return Row(
        claim=f"{depth} layers without norm, {way}: ZerO trains where Kaiming does not",
        run=f"width 8 on digits, SGD with momentum 0.9, {effort.steps(_of(_STEPS, depth))} steps, "
        f"{seeds} seed{'s' if seeds > 1 else ''}, rates {rates[0]:g} to {rates[-1]:g}",
        result=f"test error in % (at the rates that train): {words}",
        verdict=_verdict(trains, "zero"),
        paper=_verdict(trains, "zero-paper"),
    )


def _verdict(trains: Mapping[str, Mapping[float, float]], begin: str) -> Verdict:
    if not trains[begin]:
        return "does not hold"
    return "holds partly" if trains["kaiming"] else "holds"


def _trains(results: Cells, depth: int, way: Way, begin: str) -> dict[float, float]:
    errors = {rate: _error(results, depth, way, begin, rate) for rate in _of(_RATES, depth)}
    return {rate: error for rate, error in errors.items() if error < _TRAINS}


def _in_words(results: Cells, depth: int, way: Way, begin: str) -> str:
    found = _trains(results, depth, way, begin)
    if found:
        return ", ".join(f"{error:.1f} ({rate:g})" for rate, error in found.items())
    every = all(_diverged(results, depth, way, begin, rate) for rate in _of(_RATES, depth))
    return "diverges" if every else "does not train"


experiment = Experiment(
    name="ultra_deep",
    title="Very deep nets without norm",
    cells=cells,
    figure=figure,
    rows=rows,
)

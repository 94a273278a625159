"""Training degeneracy: how many directions can a wide layer learn, if the input is narrow?

The paper's Theorem 1 says that from a partial identity the rank of W - I stays at most the width of
the input, and that a Hadamard matrix where the net widens lifts this. Its Figure 3 shows rank(W3 -
I) of an MLP. This is the MLP of the authors' notebook, on digits of 8 x 8 and of 4 x 4 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from torch import eye, nn

from evidence.data import digits
from evidence.experiment import Cells, Effort, Experiment, Json, Row, Verdict, mean, spread
from evidence.figures import COLOURS, LINES, panels
from evidence.nets import MLP
from evidence.ranks import rank
from evidence.starts import STARTS, start
from evidence.training import Recipe, train

PINNED = 0.1  # the paper's learning rate
_RATES = (0.01, 0.03, 0.1, 0.3)
_STARTS = ("kaiming", "partial-identity", "zero", "zero-paper")
_INPUTS = {64: 8, 16: 4}  # width of the input -> pixels of a side
_STEPS = 1100
_LAYER = "layers.2.weight"  # W3, 256 x 256
_LOOKS = 22  # at the rank, in one training


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each input width, start and learning rate; several seeds at the pinned rate alone."""
    return {
        f"{inputs}/{begin}/{rate:g}": partial(_measure, inputs, begin, rate, effort)
        for inputs in _INPUTS
        for begin in _STARTS
        for rate in _RATES
    }


def _measure(inputs: int, begin: str, rate: float, effort: Effort) -> Json:
    seeds = effort.seeds if rate == PINNED else 1
    runs = [_run(inputs, begin, rate, seed, effort.steps(_STEPS)) for seed in range(seeds)]
    return {
        "final_rank": [run["ranks"][-1] for run in runs],
        "steps": runs[0]["steps"],
        "ranks": [run["ranks"] for run in runs],
        "test_error": [run["test_error"] for run in runs],
        "train_loss": [run["train_loss"] for run in runs],
        "diverged": [run["diverged"] for run in runs],
    }


def _run(inputs: int, begin: str, rate: float, seed: int, steps: int) -> Json:
    model = start(partial(MLP, (inputs, 64, 256, 256, 10)), begin, seed)
    looks = sorted({0, 1, 5, steps, *range(0, steps, max(1, steps // _LOOKS))})
    ranks: list[int] = []

    def watch(step: int, model: nn.Module) -> None:
        if step in looks:
            ranks.append(rank(model.get_parameter(_LAYER) - eye(256)))

    recipe = Recipe(learning_rate=rate, momentum=0.0, schedule="constant", steps=steps)
    outcome = train(model, digits(1, _INPUTS[inputs]), recipe, seed, watch)
    return {
        "ranks": ranks,
        "steps": [step for step in looks if step <= steps],
        "test_error": outcome.test_error,
        "train_loss": outcome.train_loss,
        "diverged": outcome.diverged,
    }


def figure(results: Cells) -> Figure:
    """Above the rank through training at the pinned rate, below its end at every rate."""
    drawn, axes = panels(2, 2, "Training degeneracy: rank(W3 - I) of an MLP, W3 of 256 x 256")
    for panel, inputs in zip(axes, _INPUTS, strict=False):
        _through_training(panel, results, inputs)
    for panel, inputs in zip(axes[2:], _INPUTS, strict=False):
        _over_rates(panel, results, inputs)
    axes[0].legend(loc="lower right", fontsize=7.5)
    return drawn


def _through_training(panel: object, results: Cells, inputs: int) -> None:
    axes: Json = panel
    for begin in _STARTS:
        result = results[f"{inputs}/{begin}/{PINNED:g}"]
        for i, ranks in enumerate(result["ranks"]):
            label = STARTS[begin].label if i == 0 else None
            steps = result["steps"][: len(ranks)]
            style = {"color": COLOURS[begin], "linestyle": LINES[begin]}
            axes.plot(steps, ranks, alpha=0.7, label=label, **style)
    _bound(axes, inputs)
    axes.set_title(f"{inputs} inputs, learning rate {PINNED:g}, a line for each seed")
    axes.set_xlabel("training step")


def _over_rates(panel: object, results: Cells, inputs: int) -> None:
    axes: Json = panel
    for begin in _STARTS:
        ends = [_end(results, inputs, begin, rate) for rate in _RATES]
        axes.plot(_RATES, ends, marker="o", color=COLOURS[begin], linestyle=LINES[begin])
    _bound(axes, inputs)
    axes.set_xscale("log")
    axes.set_xticks(_RATES, [f"{rate:g}" for rate in _RATES])
    axes.minorticks_off()
    axes.set_title(f"{inputs} inputs, at the end of training")
    axes.set_xlabel("learning rate")


def _bound(axes: Json, inputs: int) -> None:
    axes.axhline(
        inputs,
        color="black",
        linewidth=0.9,
        linestyle="--",
        label="the width of the input: Theorem 1's bound\nfor the partial identity",
    )
    axes.set_yscale("log", base=2)
    axes.set_ylim(4, 400)
    axes.set_yticks([8, 16, 32, 64, 128, 256], ["8", "16", "32", "64", "128", "256"])
    axes.set_ylabel("rank(W3 - I)")


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """The bound, and whether ZerO passes it, for each input width; and the sweep."""
    return [*(_bound_row(results, inputs, effort) for inputs in _INPUTS), _sweep_row(results)]


def _bound_row(results: Cells, inputs: int, effort: Effort) -> Row:
    ends = {begin: results[f"{inputs}/{begin}/{PINNED:g}"]["final_rank"] for begin in _STARTS}
    words = ", ".join(f"{STARTS[begin].label} {spread(ends[begin], 1)}" for begin in _STARTS)
    return Row(
        claim=f"from a partial identity rank(W3 - I) stays at most {inputs}, ZerO's passes it",
        run=f"MLP {inputs}-64-256-256-10 on digits, SGD at {PINNED:g}, "
        f"{effort.steps(_STEPS)} steps, {len(ends['zero'])} seeds of order",
        result=f"rank at the end: {words}",
        verdict=_bounded(ends, "zero", inputs),
        paper=_bounded(ends, "zero-paper", inputs),
    )


def _bounded(ends: Mapping[str, Sequence[float]], begin: str, inputs: int) -> Verdict:
    """Whether the partial identity stays below the bound and a start passes it."""
    bounded = max(ends["partial-identity"]) <= inputs
    if not bounded or min(ends[begin]) <= max(ends["partial-identity"]):
        return "does not hold"
    return "holds" if min(ends[begin]) > inputs else "holds partly"


def _sweep_row(results: Cells) -> Row:
    words = "; ".join(
        f"{inputs} inputs, {STARTS[begin].label} "
        + ", ".join(f"{_end(results, inputs, begin, rate):.0f}" for rate in _RATES)
        for inputs in _INPUTS
        for begin in ("zero", "zero-paper")
    )
    return Row(
        claim="ZerO passes the bound at any learning rate",
        run=f"the same at {', '.join(f'{rate:g}' for rate in _RATES)}, 1 seed but at {PINNED:g}",
        result=f"rank at the end, by rate: {words}",
        verdict=_swept(results, "zero"),
        paper=_swept(results, "zero-paper"),
    )


def _end(results: Cells, inputs: int, begin: str, rate: float) -> float:
    return mean(results[f"{inputs}/{begin}/{rate:g}"]["final_rank"])


def _swept(results: Cells, begin: str) -> Verdict:
    """Whether a start passes both bounds at every rate, at some, or at none."""
    passed = [all(_end(results, n, begin, rate) > n for n in _INPUTS) for rate in _RATES]
    if all(passed):
        return "holds"
    return "holds partly" if any(passed) else "does not hold"


experiment = Experiment(
    name="degeneracy",
    title="Training degeneracy",
    cells=cells,
    figure=figure,
    rows=rows,
)

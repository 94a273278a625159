"""Low-rank trajectories and sparse solutions: what becomes of the weights through training.

The paper says that from ZerO training moves through low-rank updates, and ends in sparser weights.
A ResNet-20 without weight decay, which would shrink weights by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from torch import nn

from evidence.data import digits
from evidence.experiment import Cells, Effort, Experiment, Json, Row, Verdict, mean, spread
from evidence.figures import COLOURS, LINES, panels
from evidence.nets import image_net
from evidence.ranks import near_zero, rank, stable_rank
from evidence.starts import STARTS, start
from evidence.training import Recipe, train

_OURS = ("zero", "zero-paper")
_STARTS = (*_OURS, "kaiming")
_LOWER = 0.75  # of Kaiming's rank: less than this is low
_LAYER = "stages.7.conv1.weight"  # 64 x 576, in the middle of the last stage
_LOOKS = (1, 2, 5, 10, 20, 50, 100, 150, 264, 500, 792)
_STEPS = 264


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each start."""
    return {begin: partial(_measure, begin, effort) for begin in _STARTS}


def _measure(begin: str, effort: Effort) -> Json:
    steps = effort.steps(_STEPS)
    runs = [_run(begin, seed, steps) for seed in range(effort.fewer(3))]
    return {
        "steps": [step for step in _LOOKS if step <= steps],
        **{key: [run[key] for run in runs] for key in sorted(runs[0])},
    }


def _run(begin: str, seed: int, steps: int) -> dict[str, Json]:
    model = start(image_net("resnet20"), begin, seed)
    first = model.get_parameter(_LAYER).detach().clone()
    ranks: list[int] = []
    stable: list[float] = []

    def watch(step: int, model: nn.Module) -> None:
        if step in _LOOKS:
            moved = model.get_parameter(_LAYER).detach() - first
            ranks.append(rank(moved))
            stable.append(stable_rank(moved))

    recipe = Recipe(learning_rate=0.1, weight_decay=0.0, steps=steps, batch=50)
    outcome = train(model, digits(), recipe, seed, watch)
    weights = [each for each in model.parameters() if each.ndim > 1]
    zeros = sum(near_zero(each.detach()) * each.numel() for each in weights)
    return {
        "near_zero": zeros / sum(each.numel() for each in weights),
        "ranks": ranks,
        "stable_ranks": stable,
        "test_error": outcome.test_error,
        "train_loss": outcome.train_loss,
    }


def figure(results: Cells) -> Figure:
    """Rank, stable rank, and the share of weights near zero."""
    title = "Low rank and sparsity: one 64 x 576 layer of a ResNet-20, no weight decay"
    drawn, axes = panels(1, 3, title, width=11)
    for begin in _STARTS:
        result = results[begin]
        for key, panel in zip(("ranks", "stable_ranks"), axes, strict=False):
            for i, values in enumerate(result[key]):
                label = STARTS[begin].label if i == 0 else None
                panel.plot(
                    result["steps"],
                    values,
                    marker=".",
                    color=COLOURS[begin],
                    linestyle=LINES[begin],
                    alpha=0.7,
                    label=label,
                )
    for panel, name in zip(axes, ("rank of W_t - W_0", "stable rank of W_t - W_0"), strict=False):
        panel.set_xscale("log")
        panel.set_xticks([1, 5, 20, 50, 264], ["1", "5", "20", "50", "264"])
        panel.minorticks_off()
        panel.set_xlabel("training step")
        panel.set_title(name)
        panel.set_ylim(bottom=0)
    axes[0].axhline(64, color="black", linewidth=0.8, linestyle="--")
    axes[0].text(1, 59.5, "64 is the most there can be", fontsize=8)
    axes[0].legend(fontsize=7, loc="lower right", handlelength=3)
    shares = [mean(results[begin]["near_zero"]) for begin in _STARTS]
    labels = [STARTS[begin].label.replace(", ", "\n") for begin in _STARTS]
    axes[2].bar(labels, shares, color=[COLOURS[begin] for begin in _STARTS])
    axes[2].set_title("weights near zero at the end")
    axes[2].set_ylabel("% of all weights")
    axes[2].tick_params(axis="x", labelsize=7)
    return drawn


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """Rank early and late, stable rank, sparsity."""
    run = _run_words(results, effort)
    return [_rank_row(results, run), _stable_row(results, run), _sparse_row(results, run)]


def _at(results: Cells, key: str) -> str:
    looks = _looks(results)
    places = 0 if key == "ranks" else 1
    return ", ".join(
        f"{STARTS[begin].label} "
        + " / ".join(f"{_look(results, begin, key, i):.{places}f}" for i in looks)
        for begin in _STARTS
    )


def _looks(results: Cells) -> list[int]:
    """Where in the lists an early, a middle and the last look are, of those that there were."""
    steps = results["zero"]["steps"]
    return sorted({min(2, len(steps) - 1), min(5, len(steps) - 1), len(steps) - 1})


def _steps(results: Cells) -> str:
    return " / ".join(str(results["zero"]["steps"][i]) for i in _looks(results))


def _run_words(results: Cells, effort: Effort) -> str:
    return (
        f"ResNet-20 on digits, SGD at 0.1, momentum 0.9, weight decay 0, "
        f"{effort.steps(_STEPS)} steps, {len(results['zero']['ranks'])} seeds"
    )


def _rank_row(results: Cells, run: str) -> Row:
    return Row(
        claim="training from ZerO moves through low ranks (rank of W_t - W_0)",
        run=run,
        result=f"rank at steps {_steps(results)}: {_at(results, 'ranks')}",
        verdict=_low(results, "zero"),
        paper=_low(results, "zero-paper"),
    )


def _low(results: Cells, begin: str) -> Verdict:
    """Whether ranks are below three quarters of Kaiming's at the end, early alone, or never."""
    early, late = (
        _look(results, begin, "ranks", at) < _LOWER * _look(results, "kaiming", "ranks", at)
        for at in (_looks(results)[0], -1)
    )
    if not early:
        return "does not hold"
    return "holds" if late else "holds partly"


def _look(results: Cells, begin: str, key: str, at: int) -> float:
    return mean([run[at] for run in results[begin][key]])


def _stable_row(results: Cells, run: str) -> Row:
    most = _LOWER * _look(results, "kaiming", "stable_ranks", -1)
    verdicts: list[Verdict] = [
        "holds" if _look(results, begin, "stable_ranks", -1) < most else "does not hold"
        for begin in _OURS
    ]
    return Row(
        claim="few directions carry the update (stable rank of W_t - W_0)",
        run=run,
        result=f"stable rank at steps {_steps(results)}: {_at(results, 'stable_ranks')}",
        verdict=verdicts[0],
        paper=verdicts[1],
    )


def _sparse_row(results: Cells, run: str) -> Row:
    shares = {begin: results[begin]["near_zero"] for begin in _STARTS}
    errors = ", ".join(
        f"{STARTS[begin].label} {spread(results[begin]['test_error'])}" for begin in _STARTS
    )
    verdicts: list[Verdict] = [
        "holds" if min(shares[begin]) > max(shares["kaiming"]) else "does not hold"
        for begin in _OURS
    ]
    words = ", ".join(f"{STARTS[begin].label} {spread(shares[begin], 1)}" for begin in _STARTS)
    return Row(
        claim="solutions are sparser",
        run=run,
        result=f"% of weights below 1 % of their layer's largest: {words} (test error: {errors})",
        verdict=verdicts[0],
        paper=verdicts[1],
    )


experiment = Experiment(
    name="low_rank",
    title="Low-rank trajectories and sparsity",
    cells=cells,
    figure=figure,
    rows=rows,
)

"""How accurate is what comes out? ZerO against random starts, each at its own learning rate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from matplotlib.figure import Figure
from torch import nn

from evidence.comparing import tuned_runs
from evidence.data import Data, digits, text
from evidence.experiment import (
    Cells,
    Effort,
    Experiment,
    Json,
    Row,
    Verdict,
    mean,
    pooled,
    spread,
)
from evidence.figures import COLOURS, dots, panels
from evidence.nets import GPT, image_net
from evidence.starts import STARTS, start
from evidence.training import Recipe

_SGD = Recipe(weight_decay=5e-4, steps=100, batch=50)
_ADAM = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=120, batch=50)
_TEXT = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=100, batch=16)
_CONTEXT = 32
_RATES = (0.03, 0.1, 0.3)  # where the search for a rate begins
_ADAM_RATES = (1e-3, 3e-3, 1e-2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A net, its data, and how it is trained; `measure` is what is compared."""

    title: str
    build: Callable[[], nn.Module]
    recipe: Recipe
    rates: tuple[float, ...] = _RATES
    starts: tuple[str, ...] = ("zero", "zero-paper", "kaiming", "torch")
    data: Callable[[], Data] = digits
    measure: str = "test_error"


_GPT = Task(
    title="small GPT, 10 steps of warm-up",
    build=partial(GPT, context=_CONTEXT),
    recipe=_TEXT,
    rates=_ADAM_RATES,
    starts=("zero", "zero-paper", "gpt2", "torch"),
    data=partial(text, _CONTEXT),
    measure="test_loss",
)
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "resnet20": Task(
            title="ResNet-20 with batch norm", build=image_net("resnet20"), recipe=_SGD
        ),
        "vgg_bn": Task(title="VGG with batch norm", build=image_net("vgg_bn"), recipe=_SGD),
        "mobilenet_v2": Task(
            title="MobileNetV2-like",
            build=image_net("mobilenet_v2"),
            recipe=replace(_SGD, steps=80),
        ),
        "vit": Task(
            title="small ViT, patches of 2 x 2",
            build=image_net("vit"),
            recipe=_ADAM,
            rates=_ADAM_RATES,
            starts=("zero", "zero-paper", "gpt2", "torch"),
        ),
        "gpt": _GPT,
        "gpt-no-warmup": replace(
            _GPT,
            title="small GPT, no warm-up",
            recipe=replace(_TEXT, warmup=0),
        ),
    }
)


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each net and start."""
    return {
        f"{name}/{begin}": partial(_measure, task, begin, effort)
        for name, task in TASKS.items()
        for begin in task.starts
    }


def _measure(task: Task, begin: str, effort: Effort) -> Json:
    recipe = replace(task.recipe, steps=effort.steps(task.recipe.steps))
    make = partial(start, task.build, begin)
    return tuned_runs(make, task.data(), recipe, task.rates, effort.seeds)


def figure(results: Cells) -> Figure:
    """A panel for each net: one dot a seed, a bar at the mean, the rate below."""
    drawn, axes = panels(
        2, 3, "Accuracy: ZerO against random starts, each at its own tuned learning rate", width=12
    )
    for panel, (name, task) in zip(axes, TASKS.items(), strict=True):
        labels = []
        for at, begin in enumerate(task.starts):
            result = results[f"{name}/{begin}"]
            dots(panel, at, result[task.measure], COLOURS[begin])
            words = STARTS[begin].label.replace(", ", "\n").replace("'s default", "")
            labels.append(f"{words}\nlr {result['rate']:g}")
        panel.set_xticks(range(len(labels)), labels, fontsize=7)
        panel.grid(visible=False, axis="x")
        error = task.measure == "test_error"
        panel.set_ylabel("test error, %" if error else "test loss, nats a byte")
        panel.set_title(task.title)
        panel.set_ylim(bottom=0 if error else None)
    return drawn


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """One for each net."""
    return [_row(name, task, results, effort) for name, task in TASKS.items()]


def _row(name: str, task: Task, results: Cells, effort: Effort) -> Row:
    values = {begin: results[f"{name}/{begin}"][task.measure] for begin in task.starts}
    error = task.measure == "test_error"
    words = ", ".join(
        f"{STARTS[begin].label} {spread(each, 2 if error else 3)}" for begin, each in values.items()
    )
    unit = "test error, %" if error else "test loss, nats a byte"
    seeds = len(values["zero"])
    edges = [begin for begin in task.starts if results[f"{name}/{begin}"]["rate_at_edge"]]
    note = f"; at the edge of the rates: {', '.join(edges)}" if edges else ""
    return Row(
        claim=f"{task.title}: as accurate as from a random start",
        run=f"{task.data().name}, {effort.steps(task.recipe.steps)} steps, {seeds} seeds, "
        "rate tuned for each",
        result=f"{unit}: {words}{note}",
        verdict=verdict(values, "zero"),
        paper=verdict(values, "zero-paper"),
    )


def verdict(values: Mapping[str, Sequence[float]], ours: str) -> Verdict:
    """Whether a start of ours is level with the best random one, within the pooled deviation.

    It holds partly where it is level with, or better than, at least one of the random starts.
    """
    random = [each for begin, each in values.items() if STARTS[begin].random]
    level = [mean(values[ours]) <= mean(each) + pooled(values[ours], each) for each in random]
    if all(level):
        return "holds"
    return "holds partly" if any(level) else "does not hold"


experiment = Experiment(
    name="accuracy",
    title="Accuracy against random starts",
    cells=cells,
    figure=figure,
    rows=rows,
)

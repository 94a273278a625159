"""The policy's own choices, each against what it was chosen over.

Each alternative differs from `--policy default` in one thing, by a choice of `Policy` or by an
override, and has a learning rate of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

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
from evidence.figures import dots, panels
from evidence.nets import GPT, ViT, image_net
from evidence.starts import OPEN_ATTENTION, Build, start, zero_with
from evidence.training import Recipe, largest_gradient

_SGD = Recipe(weight_decay=5e-4, steps=100, batch=50)
_ADAM = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=120, batch=50)
_TEXT = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=100, batch=16)
_CONTEXT = 32
_RATES = (0.03, 0.1, 0.3)
_SEEDS = 3
_TRAINS = 75.0  # percent of test error, in images and in text
_UNITS = {"test_error": "test error, %", "test_loss": "test loss, nats a byte"}
Make = Callable[[Build, int], nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Net:
    """A net, how it is trained, and the ways to start it; `default` is the policy's."""

    build: Build
    ways: Mapping[str, Make]
    recipe: Recipe = _ADAM
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    data: Callable[[], Data] = digits
    measure: str = "test_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """One rule of the policy. `ways`: of the net's, the policy's first, and what each is called."""

    title: str
    claim: str
    net: str
    ways: Mapping[str, str]


def _zero(*overrides: str, **choices: Any) -> Make:
    def make(build: Build, seed: int) -> nn.Module:
        return zero_with(build, *overrides, **choices)

    return make


def _attention_like_others(build: Build, seed: int) -> nn.Module:
    return start(build, OPEN_ATTENTION)


_NETS: Mapping[str, _Net] = MappingProxyType(
    {
        "vit": _Net(
            build=ViT,
            ways={
                "default": _zero(),
                "centre-tap": _zero("stem.weight=algorithm-2"),
                "positions-unmirrored": _zero("positions.weight=algorithm-1"),
                "positions-zero": _zero("positions.weight=zeros"),
                "attention-like-others": _attention_like_others,
                "ends-zero": _zero(last_weight=0.0),
                "ends-quarter": _zero(last_weight=0.25),
            },
        ),
        "gpt": _Net(
            build=partial(GPT, context=_CONTEXT),
            ways={
                "default": _zero(),
                "positions-unmirrored": _zero("positions.weight=algorithm-1"),
                "positions-zero": _zero("positions.weight=zeros"),
                "head-zero": _zero("head.weight=zeros"),
                "tables": _zero(tables="algorithm-1"),
            },
            recipe=_TEXT,
            data=partial(text, _CONTEXT),
            measure="test_loss",
        ),
        "vgg_bn": _Net(
            build=image_net("vgg_bn"),
            ways={
                "default": _zero(),
                "sylvester": _zero(expansion="sylvester"),
                "centre": _zero(kernels="centre"),
                "stem-centre": _zero(stems="centre"),
            },
            recipe=_SGD,
            rates=_RATES,
        ),
        "mobilenet_v2": _Net(
            build=image_net("mobilenet_v2"),
            ways={"default": _zero(), "centre": _zero(kernels="centre")},
            recipe=replace(_SGD, steps=80),
            rates=_RATES,
        ),
        "resnet20": _Net(
            build=image_net("resnet20"),
            ways={
                "default": _zero(),
                "half": _zero(last_norm=0.5),
                "zero": _zero(last_norm=0.0),
                "layer": _zero(residual="layer"),
                "none": _zero(residual="none"),
            },
            recipe=_SGD,
            rates=_RATES,
        ),
    }
)
_POSITIONS = {
    "default": "mirrored",
    "positions-unmirrored": "unmirrored",
    "positions-zero": "zeros",
}
_CHOICES = (
    _Choice(
        title="VGG's expansions",
        claim="T, not Sylvester's matrix, whose products cancel",
        net="vgg_bn",
        ways={"default": "T", "sylvester": "Sylvester's"},
    ),
    _Choice(
        title="VGG's kernels",
        claim="signs around the centre, not the centre tap alone",
        net="vgg_bn",
        ways={"default": "signs", "centre": "centre tap"},
    ),
    _Choice(
        title="MobileNetV2's kernels",
        claim="the same where kernels are depthwise",
        net="mobilenet_v2",
        ways={"default": "signs", "centre": "centre tap"},
    ),
    _Choice(
        title="VGG's stem",
        claim="flattened, not the centre tap alone",
        net="vgg_bn",
        ways={"default": "flattened", "stem-centre": "centre tap"},
    ),
    _Choice(
        title="ResNet-20's branch ends",
        claim="a norm that ends a branch has scale 1/4",
        net="resnet20",
        ways={
            "default": "1/4",
            "half": "1/2",
            "zero": "0",
            "layer": "weight 0",
            "none": "nothing closed",
        },
    ),
    _Choice(
        title="ViT's patches of 2 x 2",
        claim="flattened, not the centre tap alone",
        net="vit",
        ways={"default": "flattened", "centre-tap": "centre tap"},
    ),
    _Choice(
        title="ViT's positions",
        claim="the mirrored partial identity",
        net="vit",
        ways=_POSITIONS,
    ),
    _Choice(
        title="ViT's attention",
        claim="W_Q = I, W_K = W_V = 0",
        net="vit",
        ways={"default": "K = V = 0", "attention-like-others": "all I, output 1/16"},
    ),
    _Choice(
        title="ViT's branch ends",
        claim="a weight that ends a branch is 1/16 of its rule, not 0",
        net="vit",
        ways={"default": "1/16", "ends-zero": "0", "ends-quarter": "1/4"},
    ),
    _Choice(
        title="GPT's positions",
        claim="the mirrored partial identity",
        net="gpt",
        ways=_POSITIONS,
    ),
    _Choice(
        title="GPT's token table",
        claim="signs, not the matrix of the head",
        net="gpt",
        ways={"default": "signs", "tables": "Algorithm 1"},
    ),
    _Choice(
        title="GPT's head",
        claim="Algorithm 1, not 0",
        net="gpt",
        ways={"default": "Algorithm 1", "head-zero": "zeros"},
    ),
)


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each net and way; a way that several choices compare is measured once."""
    return {
        f"{name}/{way}": partial(_measure, net, way, effort)
        for name, net in _NETS.items()
        for way in net.ways
    }


def _measure(net: _Net, way: str, effort: Effort) -> Json:
    recipe = replace(net.recipe, steps=effort.steps(net.recipe.steps))
    make, data = partial(net.ways[way], net.build), net.data()
    return {
        "largest_gradient": largest_gradient(make(0), data, recipe.batch),
        **tuned_runs(make, data, recipe, net.rates, effort.fewer(_SEEDS)),
    }


def figure(results: Cells) -> Figure:
    """A panel for each choice, the policy's way first and in blue."""
    title = "The policy's choices: its own way first (blue), then what it was chosen over"
    drawn, axes = panels(3, 4, title, width=12, height=3.0)
    for panel, choice in zip(axes, _CHOICES, strict=False):
        _draw(panel, choice, results)
    for panel in axes[len(_CHOICES) :]:
        panel.set_axis_off()
    return drawn


def _draw(panel: Json, choice: _Choice, results: Cells) -> None:
    measure = _NETS[choice.net].measure
    labels = []
    for at, (way, name) in enumerate(choice.ways.items()):
        result = results[f"{choice.net}/{way}"]
        dots(panel, at, result[measure], "#0072b2" if at == 0 else "#d55e00")
        labels.append(f"{_broken(name)}\nlr {result['rate']:g}")
    panel.set_xticks(range(len(labels)), labels, fontsize=7)
    panel.set_xlim(-0.6, len(labels) - 0.4)
    panel.grid(visible=False, axis="x")
    panel.set_ylabel(_UNITS[measure])
    if measure == "test_error":
        most = max(max(results[f"{choice.net}/{way}"][measure]) for way in choice.ways)
        panel.set_ylim(0, 1.08 * most)
    panel.set_title(choice.title, fontsize=9)


def _broken(name: str) -> str:
    for word in (", ", "centre ", "weight ", "nothing "):
        name = name.replace(word, f"{word.rstrip()}\n")
    return name


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """One for each choice."""
    return [_row(choice, results, effort) for choice in _CHOICES]


def _row(choice: _Choice, results: Cells, effort: Effort) -> Row:
    net = _NETS[choice.net]
    found = {name: results[f"{choice.net}/{way}"] for way, name in choice.ways.items()}
    values = {name: each[net.measure] for name, each in found.items()}
    own = next(iter(found.values()))
    digits_shown = 2 if net.measure == "test_error" else 3
    words = ", ".join(f"{name} {spread(each, digits_shown)}" for name, each in values.items())
    gradients = ""
    if choice.net == "resnet20":
        sizes = (f"{name} {each['largest_gradient']:.2g}" for name, each in found.items())
        gradients = f"; largest gradient at step 0: {', '.join(sizes)}"
    return Row(
        claim=f"{choice.title}: {choice.claim}",
        run=f"{net.data().name}, {effort.steps(net.recipe.steps)} steps, "
        f"{len(next(iter(values.values())))} seeds, rate tuned for each",
        result=f"{_UNITS[net.measure]}: {words}{gradients}",
        verdict=_verdict(list(values.values()), trains=max(own["test_error"]) < _TRAINS),
    )


def _verdict(values: Sequence[Sequence[float]], *, trains: bool) -> Verdict:
    """Holds where the policy's way is better than each other by the pooled deviation of both.

    It holds partly where none is better than it by a deviation, and not where it does not train.
    """
    own, others = values[0], values[1:]
    gaps = [mean(each) - mean(own) for each in others]
    noises = [pooled(own, each) for each in others]
    pairs = list(zip(gaps, noises, strict=True))
    if not trains or any(gap < -noise for gap, noise in pairs):
        return "does not hold"
    return "holds" if all(gap > noise for gap, noise in pairs) else "holds partly"


experiment = Experiment(
    name="policy_choices",
    title="The policy's own choices",
    cells=cells,
    figure=figure,
    rows=rows,
)

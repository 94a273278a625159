"""The policy's own choices, each against what it was chosen over.

The rules of `zeroinit plan` that the paper does not settle: how patches, positions, groups, the end
of a residual branch, attention and the head begin. Each alternative differs from ZerO's default in
that one thing, and has a learning rate of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import torch
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
    deviation,
    mean,
    spread,
)
from evidence.figures import dots, panels
from evidence.nets import GPT, Separable, ViT, image_net
from evidence.starting import Build, start, zero_with
from evidence.training import Recipe, largest_gradient

_SGD = Recipe(weight_decay=5e-4, steps=100, batch=50)
_ADAM = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=120, batch=50)
_TEXT = Recipe(optimizer="adamw", weight_decay=0.01, warmup=10, steps=100, batch=16)
_CONTEXT = 32
_SEEDS = 3
Make = Callable[[Build, int], nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """One rule of the policy. Of `ways` the first is the policy's."""

    title: str
    claim: str
    build: Build
    ways: Mapping[str, Make]
    recipe: Recipe = _ADAM
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    data: Callable[[], Data] = digits
    measure: str = "test_error"


def _zero(*overrides: str, **options: str) -> Make:
    def make(build: Build, seed: int) -> nn.Module:
        return zero_with(build, *overrides, **options)

    return make


def _named(name: str) -> Make:
    def make(build: Build, seed: int) -> nn.Module:
        return start(build, name, seed)

    return make


def _one_block(build: Build, seed: int) -> nn.Module:
    """Depthwise kernels read as one (c_out, 1) block: a column of a Hadamard matrix, all alike."""
    model = zero_with(build)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.weight.mul_(2.0 ** (-(module.out_channels - 1).bit_length() / 2))
    return model


def _attention_like_others(build: Build, seed: int) -> nn.Module:
    """Query, key and value all the identity; the output projection, which ends the branch, 0."""
    model = zero_with(build)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("qkv.weight"):
                weight.copy_(torch.eye(weight.shape[1]).repeat(3, 1))
            elif name.endswith("proj.weight"):
                weight.zero_()
    return model


_GPT = partial(GPT, context=_CONTEXT)
_CHOICES: Mapping[str, _Choice] = MappingProxyType(
    {
        "patch-2": _Choice(
            title="ViT's stem, patches of 2 x 2",
            claim="a patch convolution by Algorithm 1 on the flattened patch",
            build=ViT,
            ways={"flattened patch": _zero(), "centre tap": _zero("stem.weight=algorithm-2")},
        ),
        "patch-4": _Choice(
            title="ViT's stem, patches of 4 x 4",
            claim="the same with larger patches",
            build=partial(ViT, patch=4),
            ways={"flattened patch": _zero(), "centre tap": _zero("stem.weight=algorithm-2")},
        ),
        "positions": _Choice(
            title="ViT's positions",
            claim="a position table by the mirrored partial identity",
            build=ViT,
            ways={
                "mirrored": _zero(),
                "unmirrored": _zero("positions.weight=algorithm-1"),
                "zeros": _zero("positions.weight=zeros"),
            },
        ),
        "gpt-positions": _Choice(
            title="GPT's positions",
            claim="the same in a small GPT",
            build=_GPT,
            ways={
                "mirrored": _zero(),
                "unmirrored": _zero("positions.weight=algorithm-1"),
                "zeros": _zero("positions.weight=zeros"),
            },
            recipe=_TEXT,
            data=partial(text, _CONTEXT),
            measure="test_loss",
        ),
        "groups": _Choice(
            title="depthwise, without norm",
            claim="Algorithm 2 inside each group, so that depthwise is a Dirac",
            build=Separable,
            ways={"inside groups": _zero(), "one block": _one_block},
            recipe=_SGD,
            rates=(0.01, 0.03, 0.1),
        ),
        "residual": _Choice(
            title="ResNet-20's branch ends",
            claim="a norm that ends a branch gets scale 0, the layer before keeps its rule",
            build=image_net("resnet20"),
            ways={
                "end": _zero(),
                "layer": _zero(residual="layer"),
                "none": _zero(residual="none"),
                "Kaiming": _named("kaiming"),
            },
            recipe=_SGD,
            rates=(0.03, 0.1, 0.3),
        ),
        "attention": _Choice(
            title="ViT's attention",
            claim="W_Q = I, W_K = W_V = 0",
            build=ViT,
            ways={"Q = I, K = V = 0": _zero(), "all I, output 0": _attention_like_others},
        ),
        "head": _Choice(
            title="GPT's head",
            claim="the head by Algorithm 1, not 0",
            build=_GPT,
            ways={"Algorithm 1": _zero(), "zeros": _zero("head.weight=zeros")},
            recipe=_TEXT,
            data=partial(text, _CONTEXT),
            measure="test_loss",
        ),
    }
)


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each choice and way."""
    return {
        f"{name}/{way}": partial(_measure, choice, way, effort)
        for name, choice in _CHOICES.items()
        for way in choice.ways
    }


def _measure(choice: _Choice, way: str, effort: Effort) -> Json:
    recipe = replace(choice.recipe, steps=effort.steps(choice.recipe.steps))
    make, data = partial(choice.ways[way], choice.build), choice.data()
    return {
        "largest_gradient": largest_gradient(make(0), data, recipe.batch),
        **tuned_runs(make, data, recipe, choice.rates, effort.fewer(_SEEDS)),
    }


def figure(results: Cells) -> Figure:
    """A panel for each choice, the policy's way first and in blue."""
    drawn, axes = panels(
        2,
        4,
        "The policy's choices: its own way first (blue), then what it was chosen over",
        width=12,
    )
    for panel, (name, choice) in zip(axes, _CHOICES.items(), strict=True):
        labels = []
        for at, way in enumerate(choice.ways):
            result = results[f"{name}/{way}"]
            dots(panel, at, result[choice.measure], "#0072b2" if at == 0 else "#d55e00")
            labels.append(f"{_broken(way)}\nlr {result['rate']:g}")
        error = choice.measure == "test_error"
        panel.set_xticks(range(len(labels)), labels, fontsize=7)
        panel.set_xlim(-0.6, len(labels) - 0.4)
        panel.grid(visible=False, axis="x")
        panel.set_ylabel("test error, %" if error else "test loss, nats a byte")
        panel.set_ylim(bottom=0 if error else None)
        panel.set_title(choice.title, fontsize=9)
    return drawn


def _broken(way: str) -> str:
    return (
        way.replace(", ", ",\n").replace("flattened ", "flattened\n").replace("centre ", "centre\n")
    )


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """One for each choice."""
    return [_row(name, choice, results, effort) for name, choice in _CHOICES.items()]


def _row(name: str, choice: _Choice, results: Cells, effort: Effort) -> Row:
    values = {way: results[f"{name}/{way}"][choice.measure] for way in choice.ways}
    error = choice.measure == "test_error"
    words = ", ".join(f"{way} {spread(each, 2 if error else 3)}" for way, each in values.items())
    gradients = ""
    if name == "residual":
        found = (f"{way} {results[f'{name}/{way}']['largest_gradient']:.2g}" for way in choice.ways)
        gradients = f"; largest gradient at step 0: {', '.join(found)}"
    return Row(
        claim=f"{choice.title}: {choice.claim}",
        run=f"{choice.data().name}, {effort.steps(choice.recipe.steps)} steps, "
        f"{len(next(iter(values.values())))} seeds, rate tuned for each",
        result=f"{'test error, %' if error else 'test loss, nats a byte'}: {words}{gradients}",
        verdict=_verdict(list(values.values())),
    )


def _verdict(values: Sequence[Sequence[float]]) -> Verdict:
    """Holds where the policy's way is best; partly where none is better by a deviation."""
    own, others = values[0], values[1:]
    if all(mean(own) < mean(each) for each in others):
        return "holds"
    best = min(others, key=mean)
    level = mean(own) <= mean(best) + max(deviation(own), deviation(best))
    return "holds partly" if level else "does not hold"


experiment = Experiment(
    name="policy_choices",
    title="The policy's own choices",
    cells=cells,
    figure=figure,
    rows=rows,
)

"""The parameters of a model, fused projections one by one, and what gradient each has had."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Rule, Zeros

_PROJECTIONS = "qkv"  # the order in which every fused block of the policy holds them


@dataclass(frozen=True, kw_only=True, slots=True)
class Portion:
    """A parameter, or the rows of one of its fused projections.

    Attributes:
        label: what to call it.
        name: of the parameter.
        rows: first and last + 1 index in dimension 0.
    """

    label: str
    name: str
    rows: tuple[int, int]

    def of(self, tensor: Tensor) -> Tensor:
        """The portion of a tensor of the parameter's shape."""
        return tensor[slice(*self.rows)] if tensor.ndim else tensor


def portions(model: nn.Module, plan: Plan) -> list[Portion]:
    """Every parameter that is to be trained, in the model's order."""
    rules = {tensor.info.name: tensor.rule for tensor in plan.tensors}
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    return [
        portion
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for portion in _portions(name, shapes[name], _fused(name, rules))
    ]


def _fused(name: str, rules: dict[str, Rule]) -> Rule:
    """The rule that says how a weight, or the weight beside a bias, is split."""
    return rules.get(f"{name.removesuffix('bias')}weight", rules.get(name, Zeros()))


def _portions(name: str, shape: tuple[int, ...], rule: Rule) -> Iterator[Portion]:
    pieces = list(rule.pieces(shape))
    if len(pieces) == len(_PROJECTIONS):
        for letter, (rows, _) in zip(_PROJECTIONS, pieces, strict=True):
            yield Portion(label=f"{name}[{letter}]", name=name, rows=rows)
    else:
        yield Portion(label=name, name=name, rows=(0, shape[0] if shape else 1))


class Gradients:
    """Which elements have had a gradient that is not 0, and when each portion had its first.

    Args:
        model: whose parameters are followed.
        followed: their portions.
    """

    def __init__(self, model: nn.Module, followed: Sequence[Portion]):
        self._model = model
        self.portions = followed
        self.first: dict[str, int] = {}  # label of a portion -> step
        self.reached = {
            name: torch.zeros_like(each, dtype=torch.bool)
            for name, each in model.named_parameters()
            if each.requires_grad
        }

    def look(self, step: int) -> None:
        """After a backward pass."""
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None:
                self.reached[name] |= parameter.grad != 0
        for portion in self.portions:
            if portion.label not in self.first and portion.of(self.reached[portion.name]).any():
                self.first[portion.label] = step

    def never(self) -> list[Portion]:
        """Portions that have had no gradient."""
        return [each for each in self.portions if each.label not in self.first]

    def idle_rows(self) -> dict[str, list[int]]:
        """Rows of weights that have had none, by parameter."""
        rows = {
            name: (~reached.flatten(1).any(1)).nonzero().flatten().tolist()
            for name, reached in self.reached.items()
            if _has_rows(name, reached)
        }
        return {name: found for name, found in rows.items() if found}

    def count_rows(self) -> int:
        """Rows of weights in all."""
        return sum(len(each) for name, each in self.reached.items() if _has_rows(name, each))

    def idle_share(self) -> float:
        """Share of all elements that have had none."""
        reached = sum(int(each.sum()) for each in self.reached.values())
        return 1 - reached / sum(each.numel() for each in self.reached.values())


def unused(model: nn.Module, images: Tensor, candidates: Sequence[Portion]) -> set[Portion]:
    """The portions that the forward does not use: as NaN they leave every bit of the outputs."""
    before = _bits(model, images, [])
    if _bits(model, images, candidates) == before:
        return set(candidates)
    return {each for each in candidates if _bits(model, images, [each]) == before}


@torch.no_grad()
def _bits(model: nn.Module, images: Tensor, spoilt: Sequence[Portion]) -> list[bytes]:
    """The outputs with some portions not numbers; the model is left as it was."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    saved = {name: each.clone() for name, each in model.named_buffers()}  # a batch norm's averages
    saved |= {each.name: state[each.name].clone() for each in spoilt}
    for each in spoilt:
        each.of(state[each.name]).fill_(math.nan)
    try:
        output = model(images)
    finally:
        for name, value in saved.items():
            state[name].copy_(value)
    heads = (
        [output] if isinstance(output, Tensor) else [each for each in output if each is not None]
    )
    return [each.numpy().tobytes() for each in heads]


def _has_rows(name: str, tensor: Tensor) -> bool:
    return name.endswith("weight") and tensor.ndim > 1

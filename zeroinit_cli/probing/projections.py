"""The parameters of a model, fused projections one by one, and the gradient that each has had."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Rule, Zeros

_LETTERS = "qkv"  # the order in which every fused block of the policy holds them


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
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
        """Select these rows of a tensor of the parameter's shape."""
        return tensor[slice(*self.rows)] if tensor.ndim else tensor


def projections(model: nn.Module, plan: Plan) -> list[Projection]:
    """List every trainable parameter in the model's order, fused ones by their projections.

    Args:
        model: whose parameters they are.
        plan: of the model; its rules say which weights are fused.
    """
    rules = {tensor.info.name: tensor.rule for tensor in plan.tensors}
    return [
        projection
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for projection in _parts(name, tuple(parameter.shape), _split_rule(name, rules))
    ]


def _split_rule(name: str, rules: dict[str, Rule]) -> Rule:
    """Find the rule that says how a weight, or the weight beside a bias, is split."""
    return rules.get(f"{name.removesuffix('bias')}weight", rules.get(name, Zeros()))


def _parts(name: str, shape: tuple[int, ...], rule: Rule) -> Iterator[Projection]:
    if isinstance(rule, Split) and len(rule.parts) == len(_LETTERS):
        for letter, (rows, _) in zip(_LETTERS, rule.pieces(shape), strict=True):
            yield Projection(label=f"{name}[{letter}]", name=name, rows=rows)
    else:
        yield Projection(label=name, name=name, rows=(0, shape[0] if shape else 1))


class Gradients:
    """The elements that have had a nonzero gradient, and the step of each projection's first.

    Args:
        model: whose parameters are followed.
        plan: of the model.

    Attributes:
        first: step of the first gradient, by a projection's label.
        reached: which elements have had one, by a parameter's name.
    """

    def __init__(self, model: nn.Module, plan: Plan):
        self._model = model
        self._projections = projections(model, plan)
        self.first: dict[str, int] = {}
        self.reached = {
            name: torch.zeros_like(parameter, dtype=torch.bool)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    def look(self, step: int) -> None:
        """Note the gradients of a backward pass."""
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None:
                self.reached[name] |= parameter.grad != 0
        for projection in self.never():
            if projection.of(self.reached[projection.name]).any():
                self.first[projection.label] = step

    def never(self) -> list[Projection]:
        """List the projections that have had no gradient."""
        return [
            projection for projection in self._projections if projection.label not in self.first
        ]

"""The parameters of a model, fused projections one by one, and the gradient that each has had."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan, PlannedTensor


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
    planned = {tensor.info.name: tensor for tensor in plan.tensors}
    return [
        projection
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for projection in _parts(name, tuple(parameter.shape), _weight_of(name, planned))
    ]


def _weight_of(name: str, planned: dict[str, PlannedTensor]) -> PlannedTensor | None:
    """Find the weight that a parameter is, or that a bias stands beside."""
    return planned.get(f"{name.removesuffix('bias')}weight", planned.get(name))


def _parts(name: str, shape: tuple[int, ...], weight: PlannedTensor | None) -> Iterator[Projection]:
    if weight is None or not isinstance(weight.rule, Split):
        yield Projection(label=name, name=name, rows=(0, shape[0] if shape else 1))
        return
    pieces = [rows for rows, _ in weight.rule.pieces(shape)]
    letters = _letters(weight.reason)
    for number, (first, last) in enumerate(pieces):
        part = letters[number] if len(letters) == len(pieces) else f"{first}:{last}"
        yield Projection(label=f"{name}[{part}]", name=name, rows=(first, last))


def _letters(reason: str) -> list[str]:
    """What a reason says of a weight of attention: q, k or v, in the order of its rows.

    >>> _letters("attention of residual branch q.1: q identity, k and v 0")
    ['q', 'k', 'v']
    """
    words = reason.rpartition(": ")[2] if reason.startswith("attention") else ""
    return re.findall(r"\b[qkv]\b", words)


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

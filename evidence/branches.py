"""What comes out of each residual branch, just before it is added: measured, not derived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from evidence.following import follow
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add, find_adds
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.structure import Branch, Structure

_DAMPING = (StepKind.NORM, StepKind.WEIGHT)


class State(StrEnum):
    """What the structure says of a branch."""

    CLOSED = "closed"
    SCALED = "ended by a layer scale"
    DAMPED = "ended by a norm or a weight that is small"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchValue:
    """One residual branch on one input.

    Attributes:
        place: the module in whose forward its add stands.
        state: what the structure says of it.
        reason: what closes it, or why nothing does.
        largest: largest magnitude of the operand of the add.
        inside: largest magnitude of what goes into the step that ends the branch; for an open one
            the same as `largest`.
        scale: largest magnitude of the layer or norm scale; 0 where there is none.
        nonzero: how many elements of the operand are not 0.
    """

    place: str
    state: State
    reason: str
    largest: float
    inside: float
    scale: float
    nonzero: int

    @property
    def holds(self) -> bool:
        """Whether the operand is what the structure promises; not all states promise anything."""
        if self.state is State.CLOSED:
            return self.nonzero == 0
        return self.state is not State.SCALED or self.largest <= self.bound

    @property
    def bound(self) -> float:
        """The most that a layer scale lets through: one product, rounded as the layer rounds it."""
        return float(torch.tensor(self.scale) * torch.tensor(self.inside))


def branch_values(module: nn.Module, structure: Structure, image: Tensor) -> list[BranchValue]:
    """The branches of a module, in the order in which they are added.

    Args:
        module: initialised; in the mode that is asked about.
        structure: of this module.
        image: what it takes.
    """
    seen: dict[Node, _Seen] = {}  # as they are computed: a later step may write into them

    def see(node: Node, value: Tensor) -> None:
        if value.is_floating_point() and value.numel():
            seen[node] = _Seen(_largest(value), int(torch.count_nonzero(value)))

    with torch.no_grad():
        flow, _ = follow(module, image, see)
    # The structure has them in this very order, and then those of layers that are not looked into,
    # of which torchvision has none. This run has steps of its own: it is in another mode.
    operands = [
        (add, operand) for add in find_adds(flow) for operand in (*add.trunks, *add.branches)
    ]
    return [
        _value(flow, add, operand, branch, seen)
        for branch, (add, operand) in zip(structure.branches, operands, strict=True)
    ]


class _Seen(NamedTuple):
    """Of a value, its largest magnitude and how many of its elements are not 0."""

    largest: float
    nonzero: int


def _value(
    flow: DataFlow, add: Add, operand: Node, branch: Branch, seen: Mapping[Node, _Seen]
) -> BranchValue:
    if branch.place != add.place or add.start is None:
        raise ValueError(f"{branch.place} is not the branch of {add.node}")
    state, scale, inside = State.CLOSED, 0.0, operand
    if branch.ending is None:
        state = State.OPEN
    else:
        closing, inside = _before(flow, flow.between(add.start, operand), branch.ending.tensor)
        if branch.ending.kind is StepKind.SCALE:
            state, scale = State.SCALED, _largest(closing)
        elif branch.ending.kind in _DAMPING and 0 < _largest(closing) < 1:
            state, scale = State.DAMPED, _largest(closing)
    return BranchValue(
        place=branch.place,
        state=state,
        reason=(branch.ending.tensor if branch.ending else branch.obstacle) or "",
        largest=seen[operand].largest,
        inside=seen[inside].largest,
        scale=scale,
        nonzero=seen[operand].nonzero,
    )


def _before(flow: DataFlow, way: Sequence[Node], ending: str) -> tuple[Tensor, Node]:
    """The parameter that ends a branch, and what goes into the step that applies it."""
    for node in reversed(way):
        read = [flow.origin(each) for each in flow.parents(node)]
        closing = next((each for each in read if _is_read(flow, each, ending)), None)
        before = flow.data(node)
        if closing is not None and before is not None:
            return flow.tensor(closing), before
    raise ValueError(f"{ending} is not on the way")


def _is_read(flow: DataFlow, node: Node, name: str) -> bool:
    return node.op == "read" and flow.path(node) == name


def _largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())

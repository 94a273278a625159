"""What comes out of each residual branch, just before it is added: measured, not derived."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from evidence.following import follow
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.structure import Branch, Structure


class State(StrEnum):
    """What the structure says of a branch."""

    CLOSED = "closed"
    SCALED = "ended by a layer scale"
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
        scale: largest magnitude of the layer scale; 0 where there is none.
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
        """Whether the operand is what the structure promises; an open branch promises nothing."""
        if self.state is State.CLOSED:
            return self.nonzero == 0
        return self.state is State.OPEN or self.largest <= self.bound

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
    # The structure lists its branches in this very order, and then those of layers that are not
    # looked into, of which torchvision has none.
    branches = iter(structure.branches)
    watched = [
        _watched(flow, add, operand, next(branches))
        for flow, adds in structure.flows
        for add in adds
        for operand in (*add.trunks, *add.branches)
    ]
    watch = _Watch(watched)
    with torch.no_grad():
        follow(module, image, watch.see)
    return [watch.measured(each, module) for each in watched]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watched:
    """A branch and the nodes that are looked at, by label: the operand, what is inside."""

    branch: Branch
    operand: str
    inside: str


def _watched(flow: DataFlow, add: Add, operand: Node, branch: Branch) -> _Watched:
    if branch.add is not add.node or add.start is None:
        raise ValueError(f"{branch.place} is not the branch of {add.node}")
    inside = operand
    if branch.ending is not None:
        inside = _before(flow, flow.between(add.start, operand), branch.ending.tensor)
    return _Watched(branch=branch, operand=operand.label, inside=inside.label)


def _before(flow: DataFlow, way: Sequence[Node], ending: str) -> Node:
    """What goes into the step that ends a branch: a module, one inside it, or a layer scale."""
    for node in reversed(way):
        read = [each for each in flow.parents(node) if each.op == "read"]
        if node.op == "module" and f"{ending}.".startswith(f"{flow.path(node)}."):
            return flow.parents(node)[0]
        if any(flow.path(each) == ending for each in read):
            return next(each for each in flow.parents(node) if each not in read)
    raise ValueError(f"{ending} is not on the way")


class _Watch:
    """Looks at the operands of adds as they are computed: a later step may write into them."""

    def __init__(self, watched: Sequence[_Watched]):
        # The run on real values has steps of its own: they are found by their labels.
        self._labels = {name for each in watched for name in (each.operand, each.inside)}
        self._seen: dict[str, tuple[float, int]] = {}

    def see(self, node: Node, value: Tensor) -> None:
        """Note what a step gives."""
        if node.label in self._labels:
            self._seen[node.label] = _largest(value), int(torch.count_nonzero(value))

    def measured(self, watched: _Watched, module: nn.Module) -> BranchValue:
        """What was seen of a branch."""
        branch = watched.branch
        state, scale = State.CLOSED, 0.0
        if branch.ending is None:
            state = State.OPEN
        elif branch.ending.kind is StepKind.SCALE:
            state = State.SCALED
            scale = _largest(module.get_parameter(branch.ending.tensor))
        largest, nonzero = self._seen[watched.operand]
        return BranchValue(
            place=branch.place,
            state=state,
            reason=(branch.ending.tensor if branch.ending else branch.obstacle) or "",
            largest=largest,
            inside=self._seen[watched.inside][0],
            scale=scale,
            nonzero=nonzero,
        )


def _largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())

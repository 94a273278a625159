"""What comes out of each residual branch, just before it is added: measured, not derived."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, fx, nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.operations import Node
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


def branch_values(
    module: nn.Module, structure: Structure, image: Tensor, path: str = ""
) -> list[BranchValue]:
    """The branches of a module, or of the part at `path` that was traced, in order of the graph.

    Args:
        module: initialised; in the mode that is asked about.
        structure: of this module.
        image: what the part takes.
        path: of the part, where the whole cannot be traced.

    Raises:
        ValueError: no part was traced at `path`.
    """
    watched, graph = [], None
    # The structure lists its branches in this very order, and then those of layers that torch.fx
    # does not look into, of which torchvision has none.
    branches = iter(structure.branches)
    for flow, adds in structure.flows:
        for add in adds:
            for operand in (*add.trunks, *add.branches):
                branch = next(branches)
                if _path(flow) == path:
                    watched.append(_watched(flow, add, operand, branch))
        if _path(flow) == path:
            graph = flow.nodes[0].graph
    if graph is None:
        raise ValueError(f"no part was traced at {path!r}")
    return _Watch(module.get_submodule(path), graph, path, watched).run_on(image)


def _path(flow: DataFlow) -> str | None:
    """Where the traced part lies in the whole; None if it calls no module, and has no branch."""
    for node in flow.nodes:
        if node.op == "call_module":
            return flow.path(node).removesuffix(str(node.target)).removesuffix(".")
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watched:
    """A branch and the nodes that are looked at, by name: its add, the operand, what is inside."""

    branch: Branch
    add: str
    operand: str
    inside: str


def _watched(flow: DataFlow, add: Add, operand: Node, branch: Branch) -> _Watched:
    if branch.add is not add.node or add.start is None:
        raise ValueError(f"{branch.place} is not the branch of {add.node}")
    inside = operand
    if branch.ending is not None:
        inside = _before(flow, flow.between(add.start, operand), branch.ending.tensor)
    return _Watched(branch=branch, add=add.node.name, operand=operand.name, inside=inside.name)


def _before(flow: DataFlow, way: Sequence[Node], ending: str) -> Node:
    """What goes into the step that ends a branch: a module, one inside it, or a layer scale."""
    for node in reversed(way):
        read = [each for each in flow.parents(node) if each.op == "get_attr"]
        if node.op == "call_module" and f"{ending}.".startswith(f"{flow.path(node)}."):
            return flow.parents(node)[0]
        if any(flow.path(each) == ending for each in read):
            return next(each for each in flow.parents(node) if each not in read)
    raise ValueError(f"{ending} is not on the way")


class _Watch(fx.Interpreter):
    """Runs a graph and looks at the operand of each add the moment before it is added."""

    def __init__(self, part: nn.Module, graph: fx.Graph, path: str, watched: Sequence[_Watched]):
        super().__init__(fx.GraphModule(part, graph))
        self._prefix = f"{path}." if path else ""
        # The graph of a GraphModule is a copy: its nodes are found by their names.
        self._watched = {each.add: each for each in watched}
        self._inside = {each.inside for each in watched}
        self._operands = {each.operand for each in watched}
        self._largest: dict[str, float] = {}
        self._values: dict[str, Tensor] = {}
        self._found: list[BranchValue] = []

    def run_on(self, image: Tensor) -> list[BranchValue]:
        with torch.no_grad():
            self.run(image)
        return self._found

    def run_node(self, n: fx.Node) -> Any:
        if n.name in self._watched:
            self._found.append(self._measure(self._watched[n.name]))
        value = super().run_node(n)
        if n.name in self._inside:  # now, since a later step may write into it
            self._largest[n.name] = _largest(value)
        if n.name in self._operands:
            self._values[n.name] = value
        return value

    def _measure(self, watched: _Watched) -> BranchValue:
        branch, operand = watched.branch, self._values.pop(watched.operand)
        state, scale = State.CLOSED, 0.0
        if branch.ending is None:
            state = State.OPEN
        elif branch.ending.kind is StepKind.SCALE:
            state = State.SCALED
            path = branch.ending.tensor.removeprefix(self._prefix)
            scale = _largest(self.module.get_parameter(path))
        return BranchValue(
            place=branch.place,
            state=state,
            reason=(branch.ending.tensor if branch.ending else branch.obstacle) or "",
            largest=_largest(operand),
            inside=self._largest[watched.inside],
            scale=scale,
            nonzero=int(torch.count_nonzero(operand)),
        )


def _largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())

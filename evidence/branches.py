"""What comes out of each residual branch, just before it is added: measured, not derived."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, fx, nn

from zeroinit_cli.architectures.dataflow import DataFlow, Node
from zeroinit_cli.architectures.residual import Add, StepKind, find_adds
from zeroinit_cli.architectures.structure import Branch, Structure


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
    adds = [
        (flow, add) for flow in structure.flows for add in find_adds(flow) if add.kind.is_residual
    ]
    # The structure lists its branches in this very order, and then those of layers that torch.fx
    # does not look into, of which torchvision has none.
    found = zip(adds, structure.branches, strict=True)
    watched = [_Watched(flow, add, branch) for (flow, add), branch in found if _path(flow) == path]
    graph = next((flow.nodes[0].graph for flow in structure.flows if _path(flow) == path), None)
    if graph is None:
        raise ValueError(f"no part was traced at {path!r}")
    return _Watch(module.get_submodule(path), graph, path, watched).run_on(image)


def _path(flow: DataFlow) -> str:
    """Where the traced part lies in the whole."""
    called = next(node for node in flow.nodes if node.op == "call_module")
    return flow.module_path(called).removesuffix(str(called.target)).removesuffix(".")


class _Watched:
    """A branch and the nodes that are looked at: its add, the operand, and what is inside."""

    def __init__(self, flow: DataFlow, add: Add, branch: Branch):
        if add.branch is None:
            raise TypeError(f"{add.node} is no residual add")
        self.branch = branch
        self.add = add.node.name
        self.operand = add.branch.name
        self.inside = add.branch.name
        if branch.ending is not None:
            self.inside = _before(flow, add.branch, branch.ending.path).name


def _before(flow: DataFlow, node: Node, ending: str) -> Node:
    """What goes into the step that ends a branch: a module, one inside it, or a layer scale."""
    while True:
        parents = flow.parents(node)
        if node.op == "call_module" and f"{ending}.".startswith(f"{flow.module_path(node)}."):
            return parents[0]
        scales = [each for each in parents if each.op == "get_attr"]
        if any(flow.parameter_path(each) == ending for each in scales):
            return next(each for each in parents if each not in scales)
        node = parents[0]


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
            path = branch.ending.path.removeprefix(self._prefix)
            scale = _largest(self.module.get_parameter(path))
        return BranchValue(
            place=branch.place,
            state=state,
            reason=(branch.ending.name if branch.ending else branch.obstacle) or "",
            largest=_largest(operand),
            inside=self._largest[watched.inside],
            scale=scale,
            nonzero=int(torch.count_nonzero(operand)),
        )


def _largest(tensor: Tensor) -> float:
    return float(tensor.detach().abs().max())

"""What a residual branch goes through on its way to the add, seen from the add backwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from torch import nn

from zeroinit_cli.architectures.attention import opaque_attention_of
from zeroinit_cli.architectures.classes import is_norm, is_weight_layer, type_name
from zeroinit_cli.architectures.dataflow import DataFlow
from zeroinit_cli.architectures.operations import (
    ADDS,
    ALIVE_AT_ZERO,
    DEAD_AT_ZERO,
    DIFFERENCES,
    GATES,
    NORM_FUNCTIONS,
    ON_THE_WAY_TO_A_ROOT,
    PRODUCTS,
    QUOTIENTS,
    ROOTS,
    STATISTICS,
    Node,
    function_name,
)
from zeroinit_cli.architectures.residual import Add
from zeroinit_cli.architectures.zeros import vanishes


class StepKind(StrEnum):
    """What a branch goes through on its way to the add."""

    NORM = "norm"
    WEIGHT = "weight layer"
    ATTENTION = "attention"
    SCALE = "layer scale"
    DEAD = "activation that is dead at 0"
    UNKNOWN = "unknown"


_LAST = (StepKind.WEIGHT, StepKind.ATTENTION, StepKind.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a branch; what does not matter is left out.

    Attributes:
        kind: what it is.
        node: where it stands in the graph.
        name: what to call it in a sentence.
        module: that it calls, if it is one.
        path: of that module in the whole.
        parameter: the scale of a norm, the weight of a layer; None where none is learned.
        size: of a layer scale, the largest entry at the start; None if it is not known.
        lack: why a norm has no scale to set, where it is not that it has none.
    """

    kind: StepKind
    node: Node
    name: str
    module: nn.Module | None = None
    path: str = ""
    parameter: nn.Parameter | None = None
    size: float | None = None
    lack: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a walk along a branch stands.

    Attributes:
        step: what it passes here, if that matters.
        before: the value to go on from.
        gate: a factor of what it passes that is not followed.
    """

    step: Step | None = None
    before: Node | None = None
    gate: Node | None = None


def steps_of(flow: DataFlow, add: Add, branch: Node) -> list[Step]:
    """The steps of a branch from the add up to its last weight layer.

    What lies above the value that the branch leaves is no part of it.
    """
    steps: list[Step] = []
    gates: list[Node] = []
    node: Node | None = branch
    after: Node | None = None
    while node is not None and node is not add.start and node not in add.trunks:
        place = _place(flow, node, add.start)
        if place.gate is not None:
            gates.append(place.gate)
        if place.step is not None:
            steps += _with_dead_gates(flow, _one_result(place.step, after), gates)
            if place.step.kind in _LAST:
                break
        node, after = place.before, node
    return steps


def _one_result(step: Step, after: Node | None) -> Step:
    """Attention gives its weights beside its values: only the values are 0 if v is."""
    if step.kind is StepKind.ATTENTION and after is not None and function_name(after) == "getitem":
        return replace(step, node=after)
    return step


def _with_dead_gates(flow: DataFlow, step: Step, gates: Sequence[Node]) -> list[Step]:
    """A step, after a product that is dead if the step gives 0: its factors vanish together."""
    if step.kind in (StepKind.NORM, StepKind.WEIGHT, StepKind.ATTENTION):
        for gate in gates:
            if vanishes(flow, step.node, gate):
                name = f"a product of two values that both come from {step.name}"
                return [Step(kind=StepKind.DEAD, node=gate, name=name), step]
    return [step]


def _place(flow: DataFlow, node: Node, start: Node | None) -> _Place:
    """What a node means for a branch, and where to go on."""
    passed = flow.passed_on(node)
    if passed is not None:
        return _Place(before=passed)
    module, name = flow.module(node), function_name(node)
    before = next(iter(flow.parents(node)), None)
    if module is not None:
        return _Place(step=_module_step(flow, node, module), before=before)
    if name in PRODUCTS:
        return _product(flow, node, start)
    if name in QUOTIENTS:
        return _quotient(flow, node)
    if name in ADDS:
        return _shift(flow, node)
    if name in DIFFERENCES:
        return _difference(flow, node)
    if name in NORM_FUNCTIONS:
        return _Place(step=_norm_function_step(flow, node), before=before)
    return _Place(step=_function_step(flow, node, name), before=before)


def _module_step(flow: DataFlow, node: Node, module: nn.Module) -> Step | None:
    kind = _module_kind(module)
    if kind is None:
        return None
    path = flow.path(node)
    weight = getattr(module, "weight", None)
    learned = weight if isinstance(weight, nn.Parameter) else None
    name = f"{path} ({type_name(module)})"
    return Step(
        kind=kind,
        node=node,
        name=name,
        module=module,
        path=path,
        parameter=learned if kind in (StepKind.NORM, StepKind.WEIGHT) else None,
        lack="" if weight is None else f"the scale of {name} is a buffer",
    )


def _module_kind(module: nn.Module) -> StepKind | None:
    if opaque_attention_of(module):
        return StepKind.ATTENTION
    if is_weight_layer(module):
        return StepKind.WEIGHT
    if is_norm(module):
        return StepKind.NORM
    activation = type_name(module).lower()
    if activation in DEAD_AT_ZERO or (isinstance(module, nn.Hardtanh) and module.min_val >= 0):
        return StepKind.DEAD
    return None if activation in ALIVE_AT_ZERO else StepKind.UNKNOWN


def _function_step(flow: DataFlow, node: Node, name: str) -> Step | None:
    """An activation, a layer written as a function, or what only a person could tell."""
    if name in DEAD_AT_ZERO:
        return Step(kind=StepKind.DEAD, node=node, name=name)
    if name in ALIVE_AT_ZERO:
        return None
    weight = flow.weight(node)
    parameter = flow.parameter(weight) if weight is not None else None
    if parameter is not None:
        return Step(kind=StepKind.WEIGHT, node=node, name=name, parameter=parameter)
    if node.op in ("placeholder", "get_attr"):
        name = f"the {'input' if node.op == 'placeholder' else 'parameter'} {node.target}"
    return Step(kind=StepKind.UNKNOWN, node=node, name=name)


def _norm_function_step(flow: DataFlow, node: Node) -> Step:
    name = function_name(node)
    position = NORM_FUNCTIONS[name]
    scale = node.kwargs.get("weight")
    if position is not None and len(node.args) > position:
        scale = node.args[position]
    parameter = flow.parameter(scale) if isinstance(scale, Node) else None
    return Step(kind=StepKind.NORM, node=node, name=name, parameter=parameter)


def _product(flow: DataFlow, node: Node, start: Node | None) -> _Place:
    """A product with a number, a scale of a norm or layer, or a gate, which is not followed."""
    parents = flow.parents(node)
    if len(parents) == 1:
        if len(node.all_input_nodes) == 1 and sum(isinstance(each, Node) for each in node.args) > 1:
            return _Place(step=Step(kind=StepKind.DEAD, node=node, name="a square"))
        return _Place(before=next(iter(parents)))
    one, other = parents
    for fixed, value in ((one, other), (other, one)):
        if not flow.depends_on_input(fixed):
            return _scaled(flow, node, fixed, value)
    for value, root in ((one, other), (other, one)):
        if _is_root(flow, root):
            return _Place(step=_written_norm(node, None), before=value)
    followed, gate = _followed(flow, one, other, start)
    return _Place(before=followed, gate=gate)


def _scaled(flow: DataFlow, node: Node, fixed: Node, value: Node) -> _Place:
    """A product with what does not depend on the input: the scale of a norm, or of a layer."""
    parameter = flow.parameter(fixed)
    normalized = flow.origin(value)
    if parameter is not None and _normalizes(flow, normalized):
        return _Place(step=_written_norm(node, parameter), before=flow.parents(normalized)[0])
    constant = flow.constant(fixed)
    size = float(constant.abs().max()) if constant is not None and constant.numel() else None
    step = Step(kind=StepKind.SCALE, node=node, name=_read_name(flow, fixed), size=size)
    return _Place(step=step, before=value)


def _read_name(flow: DataFlow, node: Node) -> str:
    """The name of the parameter that a value is computed from."""
    while flow.parents(node):
        node = flow.parents(node)[0]
    return flow.path(node) if node.op == "get_attr" else "a factor"


def _quotient(flow: DataFlow, node: Node) -> _Place:
    parents = flow.parents(node)
    if parents[0] is not flow.first(node):
        return _Place(step=Step(kind=StepKind.UNKNOWN, node=node, name="a quotient"))
    if len(parents) == 1 or not flow.depends_on_input(parents[1]):
        return _Place(before=parents[0])
    if _is_root(flow, parents[1]):
        return _Place(step=_written_norm(node, None), before=parents[0])
    return _Place(before=parents[0], gate=parents[1])


def _shift(flow: DataFlow, node: Node) -> _Place:
    """An add inside a branch: of a parameter that begins as 0, as a bias does, or of more."""
    for fixed in flow.parents(node):
        others = [each for each in flow.parents(node) if each is not fixed]
        if others and not flow.depends_on_input(fixed):
            constant = flow.constant(fixed)
            if constant is not None and not constant.any():
                return _Place(before=others[0])
    name = "an add of something that is not 0 at the start"
    return _Place(step=Step(kind=StepKind.UNKNOWN, node=node, name=name))


def _difference(flow: DataFlow, node: Node) -> _Place:
    """A value less its own mean is moved only, as in a norm written out."""
    parents = flow.parents(node)
    if len(parents) == 2 and flow.first(node) is parents[0]:
        mean = parents[1]
        if function_name(mean) == "mean" and flow.parents(mean) == parents[:1]:
            return _Place(before=parents[0])
    return _Place(step=Step(kind=StepKind.UNKNOWN, node=node, name="a difference"))


def _written_norm(node: Node, parameter: nn.Parameter | None) -> Step:
    """A norm written out: by its root of a mean, not by its module."""
    return Step(kind=StepKind.NORM, node=node, name="a norm written out", parameter=parameter)


def _normalizes(flow: DataFlow, node: Node) -> bool:
    """Whether a node divides a value by a root of a statistic of it."""
    name, parents = function_name(node), flow.parents(node)
    if len(parents) != 2:
        return False
    if name in PRODUCTS:
        return any(_is_root(flow, each) for each in parents)
    return name in QUOTIENTS and _is_root(flow, parents[1])


def _is_root(flow: DataFlow, node: Node) -> bool:
    """Whether a value is a root of a mean or sum, or one over it, as norms use."""
    names: set[str] = set()
    while flow.module(node) is None and flow.parents(node):
        name = function_name(node)
        names.add(name)
        if name in STATISTICS:
            return not names.isdisjoint(ROOTS)
        if name not in ON_THE_WAY_TO_A_ROOT and name not in ROOTS:
            return False
        node = flow.parents(node)[0]
    return False


def _followed(flow: DataFlow, one: Node, other: Node, start: Node | None) -> tuple[Node, Node]:
    """Which of two factors is the branch, and which is its gate.

    The branch comes from its start; the gate is computed from the branch, or squashed.
    """
    from_start = [each for each in (one, other) if start and flow.is_ancestor(start, each)]
    if len(from_start) == 1:
        return (one, other) if from_start == [one] else (other, one)
    if flow.is_ancestor(one, other):
        return one, other
    if flow.is_ancestor(other, one):
        return other, one
    return (other, one) if _squashing(flow, one) > _squashing(flow, other) else (one, other)


def _squashing(flow: DataFlow, node: Node) -> int:
    """How sure it is that a factor is a gate: 2 where it is never 0, 1 where it may be."""
    node = flow.origin(node)
    module = flow.module(node)
    name = type_name(module).lower() if module is not None else function_name(node)
    return GATES.get(name, 0)

"""What a residual branch goes through on its way to the add, seen from the add backwards."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from zeroinit_cli.models.arithmetic import difference, product, quotient, shift
from zeroinit_cli.models.attention import opaque_attention_of
from zeroinit_cli.models.classes import is_norm, is_weight_layer, own_parameter, type_name
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    ALIVE_AT_ZERO,
    DEAD_AT_ZERO,
    DIFFERENCES,
    NORM_FUNCTIONS,
    PRODUCTS,
    QUOTIENTS,
    function_name,
)
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import Place, Step, StepKind
from zeroinit_cli.models.zeros import vanishes

_LAST = (StepKind.WEIGHT, StepKind.ATTENTION, StepKind.UNKNOWN)


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


def _place(flow: DataFlow, node: Node, start: Node | None) -> Place:
    """What a node means for a branch, and where to go on."""
    passed = flow.passed_on(node)
    if passed is not None:
        return Place(before=passed)
    module, name = flow.module(node), function_name(node)
    before = next(iter(flow.parents(node)), None)
    if module is not None:
        return Place(step=_module_step(flow, node, module), before=before)
    if name in PRODUCTS:
        return product(flow, node, start)
    if name in QUOTIENTS:
        return quotient(flow, node)
    if name in ADDS:
        return shift(flow, node)
    if name in DIFFERENCES:
        return difference(flow, node)
    if name in NORM_FUNCTIONS:
        return Place(step=_norm_function_step(flow, node), before=before)
    return Place(step=_function_step(flow, node, name), before=before)


def _module_step(flow: DataFlow, node: Node, module: nn.Module) -> Step | None:
    kind = _module_kind(module)
    if kind is None:
        return None
    path = flow.path(node)
    learned = own_parameter(module, "weight")
    name = f"{path} ({type_name(module)})"
    return Step(
        kind=kind,
        node=node,
        name=name,
        module=module,
        path=path,
        parameter=learned if kind in (StepKind.NORM, StepKind.WEIGHT) else None,
        lack=f"the scale of {name} is a buffer" if "weight" in module._buffers else "",
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
    if node.op in ("input", "read"):
        name = f"the {'input' if node.op == 'input' else 'parameter'} {node.target}"
    return Step(kind=StepKind.UNKNOWN, node=node, name=name)


def _norm_function_step(flow: DataFlow, node: Node) -> Step:
    name = function_name(node)
    position = NORM_FUNCTIONS[name]
    scale = node.kwargs.get("weight")
    if position is not None and len(node.args) > position:
        scale = node.args[position]
    parameter = flow.parameter(scale) if isinstance(scale, Node) else None
    return Step(kind=StepKind.NORM, node=node, name=name, parameter=parameter)

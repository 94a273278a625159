"""What a residual branch goes through on its way to the add, seen from the add backwards."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from zeroinit_cli.models.arithmetic import difference, product, quotient, shift
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    ALIVE_AT_ZERO,
    DIFFERENCES,
    JOINS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    PRODUCTS,
    QUOTIENTS,
    SCALED_DOT_PRODUCT,
    function_name,
    is_dead_at_zero,
    scale_of,
)
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import Place, Step, StepKind
from zeroinit_cli.models.zeros import vanishes

_LAST = (StepKind.WEIGHT, StepKind.ATTENTION, StepKind.UNKNOWN)


def ways_of(
    flow: DataFlow,
    add: Add,
    branch: Node,
    after: Node | None = None,
    gates: Sequence[Node] = (),
) -> Iterator[list[Step]]:
    """The steps of each way of a branch from the add up to its last weight layer.

    It is one way, but where a value is joined of parts each of them has its own. What lies above
    the value that the branch leaves is no part of it.
    """
    steps: list[Step] = []
    gates = list(gates)
    node: Node | None = branch
    while node is not None and node is not add.start and node not in add.trunks:
        parts = flow.parents(node) if function_name(node) in JOINS else ()
        if len(parts) > 1:
            for part in parts:
                for way in ways_of(flow, add, part, node, gates):
                    yield [*steps, *way]
            return
        place = _place(flow, node, add.start)
        if place.gate is not None:
            gates.append(place.gate)
        if place.step is not None:
            steps += _with_dead_gates(flow, _one_result(place.step, after), gates)
            if place.step.kind in _LAST:
                break
        node, after = place.before, node
    yield steps


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
    name = function_name(node)
    before = next(iter(flow.parents(node)), None)
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


def _function_step(flow: DataFlow, node: Node, name: str) -> Step | None:
    """An activation, a layer, attention, or what only a person could tell."""
    called = flow.called(node)
    if is_dead_at_zero(node):
        return Step(kind=StepKind.DEAD, node=node, name=called)
    if name in ALIVE_AT_ZERO:
        return None
    if name in (MULTI_HEAD, SCALED_DOT_PRODUCT):
        return Step(kind=StepKind.ATTENTION, node=node, name=called)
    weight = flow.weight(node)
    if weight is not None:
        return Step(kind=StepKind.WEIGHT, node=node, name=called, parameter=_zeroed(flow, weight))
    if node.op in ("input", "read"):
        called = f"the {'input' if node.op == 'input' else 'parameter'} {node.target}"
    return Step(kind=StepKind.UNKNOWN, node=node, name=called)


def _zeroed(flow: DataFlow, weight: Node) -> nn.Parameter | None:
    """What makes a weight 0: itself, its directions under weight norm, the gain of its own norm."""
    directions = flow.directions(weight)
    if directions is not None:
        return directions[0]
    parameter = flow.parameter(weight)
    origin = flow.origin(weight)
    if parameter is None and function_name(origin) in NORM_FUNCTIONS:
        scale = scale_of(origin)
        gains = list(flow.parameters_in(scale)) if scale is not None else []
        return gains[0] if len(gains) == 1 else None
    if parameter is None and function_name(origin) in PRODUCTS:
        factors = [flow.parameter(each) for each in flow.parents(origin)]
        layout = flow.layout(weight)
        size = 0 if layout is None else math.prod(layout.shape)
        gains = [each for each in factors if each is not None]
        # a weight times a number, or a gain that is smaller than what it scales
        is_gain = len(factors) == len(gains) == 1 or any(each.numel() < size for each in gains)
        return gains[0] if len(gains) == 1 and is_gain else None
    return parameter


def _norm_function_step(flow: DataFlow, node: Node) -> Step:
    scale = scale_of(node)
    parameter = None if scale is None else flow.parameter(scale)
    if parameter is None and scale is not None:
        parameter = flow.adds_one(scale)
    return Step(kind=StepKind.NORM, node=node, name=flow.called(node), parameter=parameter)

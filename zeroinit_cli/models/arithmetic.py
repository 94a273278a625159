"""What arithmetic written out in a forward means for a residual branch.

A product may scale a branch, gate it or end a norm of it, a quotient may be a norm, and what is
added or subtracted may be nothing at the start. What none of these explains only a person can tell.
"""

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    GATES,
    NORM_FUNCTIONS,
    ON_THE_WAY_TO_A_ROOT,
    PRODUCTS,
    QUOTIENTS,
    ROOTS,
    STATISTICS,
    function_name,
)
from zeroinit_cli.models.steps import Place, Step, StepKind


def product(flow: DataFlow, node: Node, start: Node | None) -> Place:
    """A product with a number, a scale of a norm or layer, or a gate, which is not followed."""
    parents = flow.parents(node)
    if len(parents) == 1:
        if len(node.all_input_nodes) == 1 and sum(isinstance(each, Node) for each in node.args) > 1:
            return Place(step=Step(kind=StepKind.DEAD, node=node, name="a square"))
        return Place(before=next(iter(parents)))
    one, other = parents
    for fixed, value in ((one, other), (other, one)):
        if not flow.depends_on_input(fixed):
            return _scaled(flow, node, fixed, value)
    for value, root in ((one, other), (other, one)):
        if _is_root(flow, root, inverse=True):
            return Place(step=_written_norm(node, None), before=value)
    followed, gate = _followed(flow, one, other, start)
    return Place(before=followed, gate=gate)


def quotient(flow: DataFlow, node: Node) -> Place:
    """A quotient by a number, by the root of a statistic, or by what is then a gate."""
    parents = flow.parents(node)
    if parents[0] is not flow.first(node):
        return Place(step=Step(kind=StepKind.UNKNOWN, node=node, name="a quotient"))
    if len(parents) == 1 or not flow.depends_on_input(parents[1]):
        return Place(before=parents[0])
    if _is_root(flow, parents[1], inverse=False):
        return Place(step=_written_norm(node, None), before=parents[0])
    return Place(before=parents[0], gate=parents[1])


def shift(flow: DataFlow, node: Node) -> Place:
    """An add inside a branch: of a parameter that begins as 0, as a bias does, or of more."""
    for fixed in flow.parents(node):
        others = [each for each in flow.parents(node) if each is not fixed]
        if others and not flow.depends_on_input(fixed):
            constant = flow.constant(fixed)
            if constant is not None and not constant.any():
                return Place(before=others[0])
    name = "an add of something that is not 0 at the start"
    return Place(step=Step(kind=StepKind.UNKNOWN, node=node, name=name))


def difference(flow: DataFlow, node: Node) -> Place:
    """A value less its own mean is moved only, as in a norm written out."""
    parents = flow.parents(node)
    if len(parents) == 2 and flow.first(node) is parents[0]:
        mean = parents[1]
        if function_name(mean) == "mean" and flow.parents(mean) == parents[:1]:
            return Place(before=parents[0])
    return Place(step=Step(kind=StepKind.UNKNOWN, node=node, name="a difference"))


def _scaled(flow: DataFlow, node: Node, fixed: Node, value: Node) -> Place:
    """A product with what does not depend on the input: the scale of a norm, or of a layer."""
    parameter = flow.parameter(fixed)
    if parameter is None:
        parameter = flow.adds_one(fixed)
    normalized = flow.origin(value)
    if parameter is not None and normalizes(flow, normalized):
        return Place(step=_written_norm(node, parameter), before=flow.parents(normalized)[0])
    if next(flow.parameters_in(fixed), None) is None:
        return Place(before=value)  # a constant, which never learns
    constant = flow.constant(fixed)
    size = float(constant.abs().max()) if constant is not None and constant.numel() else None
    name, factor = _read_name(flow, fixed), flow.parameter(fixed)
    step = Step(kind=StepKind.SCALE, node=node, name=name, parameter=factor, size=size)
    return Place(step=step, before=value)


def _read_name(flow: DataFlow, node: Node) -> str:
    """The name of the parameter that a value is computed from."""
    while flow.parents(node):
        node = flow.parents(node)[0]
    return flow.path(node) if node.op == "read" else "a factor"


def _written_norm(node: Node, parameter: nn.Parameter | None) -> Step:
    """A norm written out: by its root of a mean, not by its module."""
    return Step(kind=StepKind.NORM, node=node, name="a norm written out", parameter=parameter)


def is_norm(flow: DataFlow, node: Node) -> bool:
    """Whether a node is a norm, one of torch's functions or one written out."""
    return function_name(node) in NORM_FUNCTIONS or normalizes(flow, node)


def normalizes(flow: DataFlow, node: Node) -> bool:
    """Whether a node divides a value by a root of a statistic of it."""
    name, parents = function_name(node), flow.parents(node)
    if len(parents) != 2:
        return False
    if name in PRODUCTS:
        return any(_is_root(flow, each, inverse=True) for each in parents)
    return name in QUOTIENTS and _is_root(flow, parents[1], inverse=False)


def _is_root(flow: DataFlow, node: Node, *, inverse: bool) -> bool:
    """Whether a value is a root of a mean or sum, or else one over it, as norms use."""
    names: set[str] = set()
    while node.op == "function" and flow.parents(node):
        name = function_name(node)
        names.add(name)
        inverse ^= _inverts(node, name)
        if name in STATISTICS:
            return not inverse and not names.isdisjoint(ROOTS)
        if name not in ON_THE_WAY_TO_A_ROOT and name not in ROOTS:
            return False
        node = flow.parents(node)[0]
    return False


def _inverts(node: Node, name: str) -> bool:
    """Whether a step gives one over its value, or over a power of it."""
    if name == "pow":
        exponent = node.args[1] if len(node.args) > 1 else node.kwargs.get("exponent")
        return isinstance(exponent, int | float) and exponent < 0
    number = bool(node.args) and isinstance(node.args[0], int | float)
    return name in ("reciprocal", "rsqrt") or (name in QUOTIENTS and number)


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
    return GATES.get(function_name(flow.origin(node)), 0)

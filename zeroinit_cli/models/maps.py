"""Uses of weights: matrices, kernels, and the gates of recurrent layers."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    PRODUCTS,
    SPLITS,
    UNCHANGING,
    argument,
    function_name,
    letters_of,
)
from zeroinit_cli.models.scores import meets_scores
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.plans.policy import Geometry

Found = tuple[nn.Parameter, Use]

_GATES = {"lstm": 4, "gru": 3}
_WEIGHT, _BIAS = 1, 2  # positions of both in layers written as functions
_DIMENSIONS_OF_MATRIX = 2
_FIRST_OF_CELLS = 2  # position of the first weight of a recurrent cell


def named(flow: DataFlow, node: Any, use: Use) -> Iterator[Found]:
    """The use of the parameter that an argument is, seen through views and casts."""
    parameter = flow.parameter(node) if isinstance(node, Node) and flow.carries(node) else None
    if parameter is not None:
        yield parameter, use


def all_named(flow: DataFlow, node: Any, use: Use) -> Iterator[Found]:
    """The same use of every parameter that an argument is computed from, without any layer."""
    if isinstance(node, Node) and flow.carries(node):
        for parameter in flow.parameters_in(node):
            yield parameter, use


def linear(flow: DataFlow, node: Node) -> Iterator[Found]:
    """The weight of a linear layer, in either layout, and its bias."""
    weight = argument(node, _WEIGHT, "weight")
    for parameter in _parameters(flow, weight):
        yield parameter, _map_use(flow, node, weight, parameter, last_is_fan_in=True)
    yield from named(flow, argument(node, _BIAS, "bias"), Use(kind=UseKind.BIAS, node=node))


def _parameters(flow: DataFlow, node: Any) -> Iterator[nn.Parameter]:
    """The parameter behind the weight of a map."""
    parameter = flow.map_behind(node) if isinstance(node, Node) and flow.carries(node) else None
    if parameter is not None:
        yield parameter


def _map_use(
    flow: DataFlow, node: Node, weight: Node, parameter: nn.Parameter, *, last_is_fan_in: bool
) -> Use:
    """How a matrix is stored, by how what is multiplied lies in the parameter's memory."""
    layout = flow.layout(weight)
    kept = True
    if layout is not None and len(layout.shape) > 1:
        one, other = layout.stride[-2:]
        kept = one >= other or layout.shape[-1] == 1
    is_vector = layout is not None and len(layout.shape) == 1
    is_stack = sum(size > 1 for size in parameter.shape) > _DIMENSIONS_OF_MATRIX
    kind = UseKind.STACK if is_stack else UseKind.LINEAR
    transposed = kept is not last_is_fan_in and not is_vector
    return Use(kind=kind, node=node, transposed=transposed, parts=_parts(flow, node))


def _parts(flow: DataFlow, node: Node) -> int:
    """How many equal parts a layer's output is split or sliced into, and nothing else done with it.

    Each part is a run of outputs; what takes every second one is no such part.
    """
    users = flow.users(node)
    while len(users) == 1 and function_name(users[0]) in UNCHANGING:
        users = flow.users(users[0])
    if flow.is_result(node) or not users:
        return 1
    if len(users) == 1 and function_name(users[0]) == "glu":
        return 2
    if len(users) == 1 and function_name(users[0]) in SPLITS:
        users = flow.users(users[0])
    elif any(function_name(user) not in ("getitem", "narrow") for user in users):
        return 1
    whole = flow.layout(node)
    parts = [each for each in map(flow.layout, users) if each is not None and each.shape]
    widths = {each.shape[-1] for each in parts}
    if whole is None or len(widths) != 1 or len(parts) != len(users):
        return 1
    width, step, starts = widths.pop(), whole.stride[-1], sorted({each.offset for each in parts})
    runs = [starts[0] + number * width * step for number in range(len(starts))]
    are_runs = starts == runs and width * len(runs) == whole.shape[-1]
    return len(runs) if are_runs and all(each.stride[-1] == step for each in parts) else 1


def product(flow: DataFlow, node: Node, name: str) -> Iterator[Found]:
    """A weight in a product of matrices: (fan_in, fan_out) behind what it maps, not before it."""
    if name in ("addmm", "baddbmm"):
        kind = UseKind.RELATIVE if meets_scores(flow, node) else UseKind.BIAS
        yield from all_named(flow, argument(node, 0, "input"), Use(kind=kind, node=node))
    weight = flow.weight(node)
    if weight is None:
        return
    relative = _is_part_of_scores(flow, node)
    if name == "einsum":
        for parameter in _parameters(flow, weight):
            use = Use(kind=UseKind.RELATIVE, node=node) if relative else _einsum(flow, node, weight)
            yield parameter, use
        return
    is_second = weight is not flow.factors(node)[0]
    for parameter in _parameters(flow, weight):
        use = _map_use(flow, node, weight, parameter, last_is_fan_in=not is_second)
        yield parameter, Use(kind=UseKind.RELATIVE, node=node) if relative else use


def _is_part_of_scores(flow: DataFlow, node: Node) -> bool:
    """Whether a value is added to another, and both become scores: queries times positions."""
    users = list(flow.users(node))
    while users:
        user = users.pop()
        if function_name(user) in ADDS:
            live = [each for each in flow.parents(user) if flow.depends_on_input(each)]
            if len(live) > 1 and meets_scores(flow, user):
                return True
        elif flow.passed_on(user) is not None or _masks(flow, user):
            users += flow.users(user)
    return False


def _masks(flow: DataFlow, node: Node) -> bool:
    """Whether a value is picked or scaled by what does not come from weights."""
    live = [each for each in flow.parents(node) if flow.depends_on_input(each)]
    return function_name(node) == "where" or (function_name(node) in PRODUCTS and len(live) == 1)


def _einsum(flow: DataFlow, node: Node, weight: Node) -> Use:
    """How a matrix lies in an einsum's operand, by its letters.

    Those that are summed are its fan_in, those that go on alone its fan_out, each of one or several
    dimensions; those that also stand in the other operand and go on count a stack, and so does what
    goes on alone in front of a matrix (fan_in, fan_out).
    """
    own, others, output = letters_of(node, weight)
    kinds = [
        "in" if letter not in output else "stack" if letter in others else "out" for letter in own
    ]
    if kinds == ["out", "in", "out"]:
        kinds[0] = "stack"
    runs = [kind for kind, _ in groupby(kinds)]
    parts = _parts(flow, node) if kinds.count("out") == 1 and output[-1:] in own else 1
    if runs in (["out", "in"], ["in", "out"]):
        first = len(list(next(group for _, group in groupby(kinds))))
        leading = first if len(kinds) > _DIMENSIONS_OF_MATRIX else 0
        transposed = runs[0] == "in"
        return Use(
            kind=UseKind.LINEAR, node=node, transposed=transposed, leading=leading, parts=parts
        )
    if runs in (["stack", "out", "in"], ["stack", "in", "out"]) and kinds[-2] != kinds[-1]:
        return Use(kind=UseKind.STACK, node=node, transposed=runs[1] == "in", parts=parts)
    return Use(kind=UseKind.OTHER, node=node)


def convolution(flow: DataFlow, node: Node, name: str) -> Iterator[Found]:
    """The kernel of a convolution, with how it moves, and its bias."""
    transposed = "transpose" in name
    groups, dilation = (6, 7) if transposed else (6, 5)
    weight = argument(node, _WEIGHT, "weight")
    layout = flow.layout(weight)
    rank = len(layout.shape) - 2 if layout is not None else 2
    padding = argument(node, 4, "padding")
    geometry = Geometry(
        groups=argument(node, groups, "groups") or 1,
        stride=_sizes(argument(node, 3, "stride"), rank, 1),
        padding=_sizes(int(padding != "valid") if isinstance(padding, str) else padding, rank, 0),
        dilation=_sizes(argument(node, dilation, "dilation"), rank, 1),
    )
    kind = UseKind.TRANSPOSED_CONVOLUTION if transposed else UseKind.CONVOLUTION
    for parameter in _parameters(flow, weight):
        yield parameter, Use(kind=kind, node=node, geometry=geometry)
    yield from named(flow, argument(node, _BIAS, "bias"), Use(kind=UseKind.BIAS, node=node))


def _sizes(value: Any, rank: int, default: int) -> tuple[int, ...]:
    """One number for each dimension."""
    if isinstance(value, tuple | list):
        sizes = tuple(int(size) for size in value)
        return sizes if len(sizes) == rank else sizes[:1] * rank
    return (default if value is None else int(value),) * rank


def multi_head(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What torch's own attention is given: weights, biases, and learned queries."""
    linear, bias = Use(kind=UseKind.LINEAR, node=node), Use(kind=UseKind.BIAS, node=node)
    token = Use(kind=UseKind.TOKEN, node=node)
    for position, name, use in (
        (5, "in_proj_weight", linear),
        (6, "in_proj_bias", bias),
        (7, "bias_k", token),
        (8, "bias_v", token),
        (11, "out_proj_weight", linear),
        (12, "out_proj_bias", bias),
        (18, "q_proj_weight", linear),
        (19, "k_proj_weight", linear),
        (20, "v_proj_weight", linear),
    ):
        yield from named(flow, argument(node, position, name), use)
    for position, name in enumerate(("query", "key", "value")):
        learned = Use(kind=UseKind.POSITIONS, node=node)
        yield from all_named(flow, argument(node, position, name), learned)


def recurrent(flow: DataFlow, node: Node, name: str) -> Iterator[Found]:
    """The weights of a recurrent layer: of input and state, their biases, and a projection."""
    gates = _GATES.get(name.removesuffix("_cell"), 1)
    kinds = [UseKind.INPUT_GATES, UseKind.STATE_GATES, UseKind.BIAS, UseKind.BIAS]
    if name.endswith("_cell"):
        weights = node.args[_FIRST_OF_CELLS:]
    else:
        # weights of all layers, whether they have biases, how many layers, ..., both directions
        place = next(i for i, each in enumerate(node.args) if _are_weights(flow, each))
        weights, has_biases, layers = node.args[place : place + 3]
        directions = 1 + bool(node.args[place + 5])
        kinds = kinds if has_biases else kinds[:2]
        projected = len(weights) // (layers * directions) > len(kinds)
        kinds = (kinds + [UseKind.STATE_PROJECTION] * projected) * layers * directions
    for weight, kind in zip(weights, kinds, strict=False):
        yield from named(flow, weight, Use(kind=kind, node=node, parts=gates))


def _are_weights(flow: DataFlow, value: Any) -> bool:
    """Whether an argument holds parameters; the states of an LSTM lie in a tuple, too."""
    return isinstance(value, tuple | list) and any(
        isinstance(each, Node) and each.op == "read" and isinstance(flow.tensor(each), nn.Parameter)
        for each in value
    )

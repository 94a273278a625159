"""Values that become scores of attention, or that only queries and keys are made of."""

from collections.abc import Iterable, Iterator
from enum import Enum

from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    PRODUCTS,
    SCALED_DOT_PRODUCT,
    argument,
    function_name,
)


def meets_scores(flow: DataFlow, lookup: Node) -> bool:
    """Whether what is looked up goes into a softmax over positions before any layer."""
    waiting, seen = [lookup], {lookup}
    while waiting:
        node = waiting.pop()
        for user in flow.users(node):
            name = function_name(user)
            attends = name in (SCALED_DOT_PRODUCT, MULTI_HEAD)
            if (attends and node not in user.args[:3]) or name == "softmax":
                return True
            ends = attends or name in MATRIX_PRODUCTS or name in NORM_FUNCTIONS
            ends = ends or flow.layers(user) > 0
            if not ends and user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def is_for_scores(flow: DataFlow, node: Node, attentions: Iterable[Attention]) -> bool:
    """Whether only queries and keys are made of a value: positions are added to them anew."""
    waiting, seen = [node], {node}
    used = False
    while waiting:
        value = waiting.pop()
        if flow.is_result(value):
            return False
        for user in flow.users(value):
            if flow.passed_on(user) is value:
                waiting += [] if user in seen else [user]
                seen.add(user)
            elif any(each.is_for_scores(user, value) for each in attentions):
                used = True
            else:
                return False
    return used


def are_scores(flow: DataFlow, node: Node) -> bool:
    """Whether a value becomes, by a softmax, a factor of a product of two values, before any layer.

    So it is with tables of relative positions whose rows depend on the query.
    """
    waiting, seen = [(node, False)], {(node, False)}
    while waiting:
        value, is_weight = waiting.pop()
        for user in flow.users(value):
            if function_name(user) in MATRIX_PRODUCTS and flow.weight(user) is None:
                if is_weight:
                    return True
                continue
            step = (user, is_weight or function_name(user) == "softmax")
            if not _is_layer(flow, user) and step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def is_query(flow: DataFlow, node: Node) -> bool:
    """Whether a value is a query or a key: by no layer, products of it become scores.

    Added to what attention then gives (MViT's residual pooling), it is no start of that.
    """
    state = _Way.VALUE
    waiting = [(each, state) for each in _and_whole(flow, node)]
    seen = set(waiting)
    while waiting:
        value, way = waiting.pop()
        for user in flow.users(value):
            further = _onward(flow, user, value, way)
            if further is _Way.PRODUCT_OF_WEIGHTS:
                return True
            if further is not None and (user, further) not in seen:
                seen.add((user, further))
                waiting.append((user, further))
    return False


class _Way(Enum):
    """What became of a value: it is multiplied by another, then a softmax is taken, and so on."""

    VALUE = 0
    SCORES = 1
    WEIGHTS = 2
    PRODUCT_OF_WEIGHTS = 3


def _onward(flow: DataFlow, user: Node, value: Node, way: _Way) -> _Way | None:
    """What a step makes of a value; None where a layer or another value takes over."""
    name = function_name(user)
    if name == SCALED_DOT_PRODUCT:
        is_for_scores = way is _Way.VALUE and value is not argument(user, 2, "value")
        return _Way.PRODUCT_OF_WEIGHTS if is_for_scores else None
    if name in MATRIX_PRODUCTS and flow.weight(user) is None:
        after = {_Way.VALUE: _Way.SCORES, _Way.WEIGHTS: _Way.PRODUCT_OF_WEIGHTS}
        return after.get(way)
    if name == "softmax":
        return _Way.WEIGHTS if way is _Way.SCORES else None
    moves = flow.passed_on(user) is value or (name in PRODUCTS and len(flow.parents(user)) == 1)
    return way if moves or (way is not _Way.VALUE and not _is_layer(flow, user)) else None


def _and_whole(flow: DataFlow, node: Node) -> Iterator[Node]:
    """A value, and what it is moved from or a slice of; one item of several is no such."""
    yield node
    before = flow.passed_on(node)
    while before is not None and _rank(flow, before) == _rank(flow, node):
        yield before
        node, before = before, flow.passed_on(before)


def _rank(flow: DataFlow, node: Node) -> int | None:
    layout = flow.layout(node)
    return None if layout is None else len(layout.shape)


def _is_layer(flow: DataFlow, node: Node) -> bool:
    return flow.layers(node) > 0 or function_name(node) in NORM_FUNCTIONS

"""Values that become scores of attention, or that only queries and keys are made of."""

from collections.abc import Iterable

from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    SCALED_DOT_PRODUCT,
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


def _is_layer(flow: DataFlow, node: Node) -> bool:
    return flow.layers(node) > 0 or function_name(node) in NORM_FUNCTIONS

"""Where a zero goes: which values are 0 because another is."""

from collections.abc import Iterable

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    ALIVE_AT_ZERO,
    DEAD_AT_ZERO,
    JOINS,
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    PRODUCTS,
    QUOTIENTS,
    SCALED_DOT_PRODUCT,
    WEIGHT_FUNCTIONS,
    argument,
    function_name,
)

_KEEPING = (*ALIVE_AT_ZERO, *DEAD_AT_ZERO, *NORM_FUNCTIONS, *WEIGHT_FUNCTIONS, *QUOTIENTS)


def zero_values(flow: DataFlow, sources: Iterable[Node]) -> set[Node]:
    """All values that are 0 because some are, biases and shifts being 0 at the start."""
    zeros = set(sources)
    for node in flow.nodes:
        if node not in zeros and flow.parents(node) and _is_zero(flow, node, zeros):
            zeros.add(node)
    return zeros


def vanishes(flow: DataFlow, zero: Node, node: Node) -> bool:
    """Whether a value is 0 wherever another one is, biases and shifts being 0 at the start."""
    zeros = {zero}
    for each in flow.between(zero, node):
        if _is_zero(flow, each, zeros):
            zeros.add(each)
    return node in zeros


def _is_zero(flow: DataFlow, node: Node, zeros: set[Node]) -> bool:
    parents = flow.parents(node)
    name = function_name(node)
    if flow.passed_on(node) is not None:
        return parents[0] in zeros
    if name in (MULTI_HEAD, SCALED_DOT_PRODUCT):
        return argument(node, 2, "value") in zeros
    if name in PRODUCTS or name in MATRIX_PRODUCTS:
        return not zeros.isdisjoint(parents)
    if name in ADDS or name in JOINS:
        numbers = [each for each in node.args if isinstance(each, int | float)]
        return zeros.issuperset(parents) and (name in JOINS or not any(numbers))
    return name in _KEEPING and parents[0] in zeros and parents[0] is flow.first(node)

"""Which nodes add, and of which terms a sum consists that several of them make up.

Adds that only feed the next add are one sum of several terms, in whatever order it is written:
`x + attention(x) + mlp(x)` has two branches, and so has `mlp(x) + attention(x) + x`.
"""

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import ADDS, function_name


def operands(flow: DataFlow, node: Node) -> tuple[Node, ...]:
    """The values that a node adds; none if it is no add."""
    parents = flow.parents(node)
    if function_name(node) in ADDS:
        return parents
    stacked = parents[0] if function_name(node) == "sum" and len(parents) == 1 else None
    if stacked is None or function_name(stacked) != "stack":
        return ()
    return flow.parents(stacked) if _dimension(stacked) == _dimension(node) else ()


def terms_of(flow: DataFlow, add: Node) -> tuple[list[Node], list[Node]]:
    """The terms of a sum, given its last add, and the other adds that make it up.

    An add belongs to the next one if nothing else uses it; dropout and the like may stand between.
    """
    terms: dict[Node, None] = {}
    parts: list[Node] = []
    waiting = list(reversed(operands(flow, add)))
    while waiting:
        term = waiting.pop()
        inner = _alone(flow, term)
        if len(operands(flow, inner)) > 1 and len(flow.users(inner)) == 1:
            parts.append(inner)
            waiting += reversed(operands(flow, inner))
        else:
            terms[flow.itself(term)] = None
    return list(terms), parts


def _alone(flow: DataFlow, term: Node) -> Node:
    """What a term passes on, as far as nothing else uses it."""
    before = flow.passed_on(term)
    while before is not None and len(flow.users(term)) == 1 and not flow.is_result(term):
        term, before = before, flow.passed_on(before)
    return term


def _dimension(node: Node) -> object:
    """The dimension that a stack makes, or that a sum goes over."""
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)

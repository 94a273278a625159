"""What closes every residual branch of a graph, once it is known what else a zero would reach.

What is to be 0 may go into several adds that have another start, but nowhere else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.endings import EVERYWHERE, End, ends_of, open_end
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import JOINS, argument, function_name
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.rows import rows_apart
from zeroinit_cli.models.steps import StepKind


def find_ends(
    flow: DataFlow, adds: Sequence[Add], residual: str, attentions: Mapping[Node, Attention]
) -> list[End]:
    """The ends of all residual branches of a graph, in the order of its adds.

    Args:
        flow: the graph.
        adds: in it.
        residual: how branches are to end, as a policy says.
        attentions: in it, by the product of its values.
    """
    trunk = "its end is where another branch begins"
    found = [
        ends
        for add in adds
        for ends in (
            *([open_end(add, each, trunk)] for each in add.trunks),
            *(ends_of(flow, add, each, residual, attentions) for each in add.branches),
        )
    ]
    starts = {add.node: add.start for add in adds if add.start is not None}
    return [
        each
        for ends in found
        for each in _of_one_branch([_settled(flow, end, starts) for end in ends])
    ]


def _settled(flow: DataFlow, end: End, starts: Mapping[Node, Node]) -> End:
    """An end, if what it makes 0 harms nothing else.

    It may go into other adds, too, by no layer, as long as their starts do not come from it.
    """
    if end.zero is None:
        return end
    own = {end.add}
    if flow.goes_elsewhere(end.zero, *own):
        own |= {add for add, start in starts.items() if _is_apart(flow, end.zero, add, start)}
        if flow.goes_elsewhere(end.zero, *own):
            return _in_rows(flow, end) or _otherwise(flow, end, starts)
    if end.feeds_parts and not _joins_channels(flow, end):
        return _otherwise(flow, end, starts)
    return end


def _is_apart(flow: DataFlow, zero: Node, add: Node, start: Node) -> bool:
    """Whether an add comes after a zero by no layer, and its start does not come from it."""
    if flow.position(add) < flow.position(zero) or start is zero:
        return False
    return flow.weight_layers(zero, add) == 0 and not flow.is_ancestor(zero, start)


def _in_rows(flow: DataFlow, end: End) -> End | None:
    """An end in those rows of a weight that go into the add alone, if these are a range."""
    if end.kind is not StepKind.WEIGHT or end.closing is None or end.zero is None:
        return None
    rows = rows_apart(flow, end.zero, end.closing, end.value, end.add)
    return None if rows is None else replace(end, rows=rows, biases=(), is_damped=False)


def _otherwise(flow: DataFlow, end: End, starts: Mapping[Node, Node]) -> End:
    if end.instead is not None:
        return _settled(flow, end.instead, starts)
    obstacle = f"what {end.name} gives is used elsewhere too"
    return End(place=end.place, add=end.add, value=end.value, obstacle=obstacle, hint=EVERYWHERE)


def _joins_channels(flow: DataFlow, end: End) -> bool:
    """Whether a part ends in a norm of channels, to which others are joined.

    Then a layer inside that reads the part learns once the part does, which adds to every position.
    Parts that are positions (a class token and the rest) need not all go on from the add.
    """
    norm = end.zero
    if norm is None or function_name(norm) not in ("batch_norm", "group_norm"):
        return False
    joins = [each for each in flow.between(norm, end.add) if function_name(each) in JOINS]
    return all(argument(each, 1, "dim") == 1 for each in joins)


def _of_one_branch(ends: Iterable[End]) -> list[End]:
    """The ends of its parts, each once, or the one that closes them all."""
    unique = {(id(end.closing), end.name, end.obstacle): end for end in ends}.values()
    whole = [end for end in unique if end.is_whole]
    return whole[:1] or list(unique)

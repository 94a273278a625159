"""Tokens that a norm sees alone: 0 there has no variance, and gradients are divided by eps."""

from collections.abc import Iterable, Iterator, Mapping, Set

from torch import nn

from zeroinit_cli.models.arithmetic import normalizes
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    ALIVE_AT_ZERO,
    DEAD_AT_ZERO,
    JOINS,
    function_name,
    words,
)
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.uses import Use, UseKind

_OF_ONE_VECTOR = words("group_norm layer_norm normalize rms_norm")
"""Norms over one vector; a batch norm sees others beside it."""

_ZERO = (UseKind.TOKEN, UseKind.SEGMENTS, UseKind.LESSER_POSITIONS, UseKind.BIAS)
"""What begins as 0, and so leaves a token alone that it is added to."""

Graphs = Iterable[tuple[DataFlow, tuple[Add, ...]]]


def normed_alone(
    graphs: Graphs, uses: Mapping[str, Use], names: Mapping[int, str], left_open: Set[Node]
) -> frozenset[str]:
    """Find the tokens that reach a norm with nothing added that is not 0 at the start.

    Layers on the way make no difference: their biases are 0.

    Args:
        graphs: each with its adds.
        uses: of every parameter, by its name.
        names: id of a parameter -> its name.
        left_open: adds of branches that are not 0 at the start.
    """
    found: set[str] = set()
    zeros = {name for name, use in uses.items() if use.kind in _ZERO}
    for flow, adds in graphs:
        skips = {add.node for add in adds if add.kind.is_residual} - left_open
        for node, name in _tokens(flow, uses, names):
            if name not in found and _meets_norm(flow, node, skips, zeros, names):
                found.add(name)
                zeros.discard(name)  # what is added to it is not alone
    return frozenset(found)


def _tokens(
    flow: DataFlow, uses: Mapping[str, Use], names: Mapping[int, str]
) -> Iterator[tuple[Node, str]]:
    for node in flow.nodes:
        name = names.get(id(flow.tensor(node))) if node.op == "read" else None
        use = uses.get(name) if name is not None else None
        if name is not None and use is not None and use.kind is UseKind.TOKEN:
            yield node, name


def _meets_norm(
    flow: DataFlow,
    token: Node,
    skips: Set[Node],
    zeros: Set[str],
    names: Mapping[int, str],
) -> bool:
    waiting: list[tuple[Node, int | None]] = [(token, None)]
    known = {token}
    while waiting:
        node, part = waiting.pop()
        for user in flow.users(node):
            name = function_name(user)
            if normalizes(flow, user) or (name in _OF_ONE_VECTOR and flow.first(user) is node):
                return True
            alone = user in skips or (
                name in ADDS and _adds_zeros(flow, user, node, part, zeros, names)
            )
            if user not in known and (alone or _keeps(flow, user, node)):
                known.add(user)
                waiting.append((user, _part(user, node) if name in JOINS else part))
    return False


def _part(join: Node, node: Node) -> int | None:
    """The place of a value among those that are joined; None if it is not there once."""
    parts = join.args[0] if join.args else ()
    places = [place for place, each in enumerate(parts) if each is node]
    return places[0] if len(places) == 1 else None


def _at_place(flow: DataFlow, value: Node, part: int | None) -> Node:
    """Of a value that is joined of others, the one in a place; else the value."""
    join = flow.origin(value)
    parts = join.args[0] if function_name(join) in JOINS and join.args else ()
    if part is None or not isinstance(parts, list | tuple) or part >= len(parts):
        return value
    found = parts[part]
    return found if isinstance(found, Node) and flow.carries(found) else value


def _keeps(flow: DataFlow, user: Node, node: Node) -> bool:
    """Whether a token of 0 is still one behind a node."""
    name = function_name(user)
    if name in JOINS or flow.passed_on(user) is node:
        return True
    keeps = name == "linear" or name in ALIVE_AT_ZERO or name in DEAD_AT_ZERO
    return keeps and flow.first(user) is node


def _adds_zeros(
    flow: DataFlow,
    add: Node,
    node: Node,
    part: int | None,
    zeros: Set[str],
    names: Mapping[int, str],
) -> bool:
    """Whether all that an add adds to a token in a value begins as 0.

    Args:
        flow: the graph.
        add: the sum.
        node: the value that the token is in.
        part: the token's place among what was joined to it; of what is joined likewise and added,
            only the part in that place meets it.
        zeros: names of parameters that begin as 0.
        names: id of a parameter -> its name.
    """
    others = [_at_place(flow, each, part) for each in flow.parents(add) if each is not node]
    parameters: list[nn.Parameter] = [
        parameter for other in others for parameter in flow.parameters_in(other)
    ]
    return (
        not any(map(flow.depends_on_input, others))
        and bool(parameters)
        and all(names.get(id(each)) in zeros for each in parameters)
    )

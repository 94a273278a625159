"""Chains of kernels: three or more in a row, with nothing between that sets the size of values.

Behind a norm a map may make its values as large or small as it will. In a chain without norms what
each map does adds up, and a rule that doubles some values makes them a thousand times as large in
ten layers. What is 0 at the start, as branches that begin closed, is no part of a chain.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Set

from zeroinit_cli.models.arithmetic import is_norm
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import function_name, words
from zeroinit_cli.models.zeros import zero_values

_LEAST = 3  # kernels; behind a stem alone, as in a residual block without norm, nothing adds up
_ENDING = words(
    "gru gru_cell hardsigmoid hardtanh logsigmoid lstm lstm_cell rnn_tanh rnn_tanh_cell sigmoid "
    "softmax softsign tanh "  # whose values have a size of their own
    "gelu hardswish mish silu "  # which halve small values: a chain of them passes on nothing
    "detach"  # behind which values begin anew: the steps of a loop, as RAFT's, are not in a row
)
_SAMPLING = words("grid_sample ps_roi_align ps_roi_pool roi_align roi_pool")
"""Functions that take values of their first argument alone: the others say from where."""


def find_chains(
    flows: Iterable[DataFlow], names: Mapping[int, str], zeros: Set[str]
) -> dict[str, bool]:
    """Find the maps that stand in a chain of kernels, by the names of their weights.

    The value is whether another map reads what one gives, with no norm between.

    Args:
        flows: the graphs.
        names: id of a parameter -> its name.
        zeros: names of weights and factors that are 0 at the start.
    """
    found: dict[str, bool] = {}
    for flow in flows:
        weights = _weights(flow, names)
        closed = zero_values(flow, _zeros(flow, weights, names, zeros))
        before, after = _kernels_before(flow, closed), _kernels_after(flow, closed)
        for node, name in weights.items():
            behind = after[node]
            in_a_row = before[node] + _is_kernel(flow, node) + (behind or 0)
            if node not in closed and in_a_row >= _LEAST:
                found[name] = found.get(name, False) or behind is not None
    return found


def _weights(flow: DataFlow, names: Mapping[int, str]) -> dict[Node, str]:
    """The name of the weight that each map applies."""
    found: dict[Node, str] = {}
    for node in flow.nodes:
        weight = flow.weight(node)
        parameter = flow.map_behind(weight) if weight is not None else None
        if id(parameter) in names:
            found[node] = names[id(parameter)]
    return found


def _zeros(
    flow: DataFlow, weights: Mapping[Node, str], names: Mapping[int, str], zeros: Set[str]
) -> Iterator[Node]:
    """The maps whose weights are 0, and the factors that are."""
    for node in flow.nodes:
        read = names.get(id(flow.tensor(node))) if node.op == "read" else None
        if weights.get(node, read) in zeros:
            yield node


def _kernels_before(flow: DataFlow, closed: Set[Node]) -> dict[Node, int]:
    """The kernels on the longest way to each value without a norm on it."""
    before: dict[Node, int] = {}
    for node in flow.nodes:
        before[node] = max(
            (
                before[each] + _is_kernel(flow, each)
                for each in flow.parents(node)
                if _goes_into(flow, each, node) and not _ends(flow, each, closed)
            ),
            default=0,
        )
    return before


def _kernels_after(flow: DataFlow, closed: Set[Node]) -> dict[Node, int | None]:
    """The kernels on the longest such way from each value; None where no map reads it so."""
    after: dict[Node, int | None] = {}
    for node in reversed(flow.nodes):
        ways = [
            (after[user] or 0) + _is_kernel(flow, user) if flow.layers(user) else after[user]
            for user in flow.users(node)
            if _goes_into(flow, node, user) and not _ends(flow, user, closed)
        ]
        after[node] = max((each for each in ways if each is not None), default=None)
    return after


def _goes_into(flow: DataFlow, node: Node, user: Node) -> bool:
    """Whether a value is part of another, and does not only say where something is read."""
    return function_name(user) not in _SAMPLING or flow.first(user) is node


def _ends(flow: DataFlow, node: Node, closed: Set[Node]) -> bool:
    """Whether a way ends at a value: in a chain it would not pass on the size of what it is of."""
    name = function_name(node)
    return name in _ENDING or is_norm(flow, node) or node in closed or node.op == "module"


def _is_kernel(flow: DataFlow, node: Node) -> bool:
    """Whether a node is a convolution of more than one tap."""
    if not function_name(node).startswith("conv"):
        return False
    weight = flow.weight(node)
    layout = flow.layout(weight) if weight is not None else None
    shape = layout.shape if layout is not None else ()
    return math.prod(shape[2:]) > 1

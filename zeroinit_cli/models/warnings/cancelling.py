"""Differences of values that are equal at the start: nothing, however long the way to each."""

from collections.abc import Hashable, Iterator, Mapping

from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import ADDS, DIFFERENCES, function_name
from zeroinit_cli.models.uses import UseKind
from zeroinit_cli.models.warnings.seen import Seen, listed
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.text import counted

_ZERO = 0  # the number of all values that are 0


def cancelled(seen: Seen) -> Iterator[PlanWarning]:
    """Differences of a value and what branches that begin closed make of it."""
    places: list[str] = []
    scales: list[str] = []
    closing: list[str] = []
    for flow, _ in seen.structure.flows:
        for node in _differences_of_equals(seen, flow):
            places.append(f"{node.label} in {flow.place(node)}")
            scales += _scales_behind(seen, flow, node)
            closing += _closing_scales(seen, flow, node)
    if places:
        number = counted(len(places), "difference is", "differences are")
        yield PlanWarning(
            kind="cancelled",
            text=f"{number} of two values that are equal at the start, and so 0: what scales it "
            f"has no gradient: {listed(places)}",
            hint=f"--override '{closing[0]}=ones' opens a branch inside" if closing else None,
            tensors=seen.in_order(scales),
        )


def _differences_of_equals(seen: Seen, flow: DataFlow) -> Iterator[Node]:
    if not any(function_name(node) in DIFFERENCES for node in flow.nodes):
        return
    numbers: dict[Hashable, int] = {}
    known: dict[Node, int] = {}
    for node in flow.nodes:
        known[node] = _number(seen, flow, node, known, numbers)
        parents = flow.parents(node)
        if function_name(node) in DIFFERENCES and len(parents) == 2:
            one, other = (known[each] for each in parents)
            if one == other != _ZERO and flow.depends_on_input(node):
                yield node


def _number(
    seen: Seen,
    flow: DataFlow,
    node: Node,
    known: Mapping[Node, int],
    numbers: dict[Hashable, int],
) -> int:
    """A number that values have in common if they are equal at the start.

    Args:
        seen: what the plan is made from.
        flow: the graph.
        node: whose value it is.
        known: the numbers of the values before.
        numbers: of what tells values from each other; more are added.
    """
    if node in seen.zeros(flow):
        return _ZERO
    name, itself = function_name(node), flow.itself(node)
    if name in ADDS:  # of 0, as Python's sum begins
        itself = flow.passed_on(node) or itself
    if itself is not node:
        return known[itself]
    if name in ADDS and len(node.all_input_nodes) == len(flow.parents(node)) > 1:
        terms = [known[each] for each in flow.parents(node) if known[each] != _ZERO]
        if len(terms) == 1:
            return terms[0]
    key: Hashable = node
    if node.op == "read":
        path = seen.names.get(id(flow.tensor(node)), flow.path(node))
        key = repr(seen.rules.get(path, path)), tuple(flow.tensor(node).shape)
    elif node.op == "function" and "drop" not in name and not node.writes:
        given = tree_map_only(
            Node, lambda each: f"%{known.get(each, each)}", (node.args, dict(node.kwargs))
        )
        key = name, repr(given)
    return numbers.setdefault(key, len(numbers) + 1)


def _scales_behind(seen: Seen, flow: DataFlow, node: Node) -> list[str]:
    """The scales of layers that a difference is multiplied by."""
    users = [node, *(user for user in flow.users(node) if flow.passed_on(user) is node)]
    factors = [
        each for user in users for product in flow.users(user) for each in flow.parents(product)
    ]
    names = [seen.name(flow, each) for each in factors]
    uses = seen.structure.uses
    return [name for name in names if name and name in uses and uses[name].kind is UseKind.SCALE]


def _closing_scales(seen: Seen, flow: DataFlow, node: Node) -> list[str]:
    """Scales of norms that are 0 on the way from what both values come from."""
    fork = flow.fork(*flow.parents(node))
    inside = [] if fork is None else flow.between(fork, node)
    names = [seen.name(flow, factor) for each in inside for factor in flow.parents(each)]
    return [name for name in names if name is not None and name in seen.structure.end_scales]

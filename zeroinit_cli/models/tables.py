"""Embeddings that are looked up by position or by a constant, not by the input."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    LOOKUPS,
    argument,
    function_name,
    words,
)
from zeroinit_cli.models.residual import Add, AddClass
from zeroinit_cli.models.scores import meets_scores
from zeroinit_cli.models.sums import terms_of
from zeroinit_cli.models.uses import UseKind

_CONSTANTS = words(
    "empty empty_like full full_like new_full new_ones new_zeros ones ones_like "
    "tensor zeros zeros_like"
)

_RANGES = words("arange cumsum linspace")

Lookup = tuple[DataFlow, Node]


def find_tables(
    flows: Iterable[tuple[DataFlow, tuple[Add, ...]]], names: Mapping[int, str]
) -> dict[str, UseKind]:
    """Name of each embedding that the input does not look up, and what kind of table it is.

    Args:
        flows: the graphs, each with its adds.
        names: id of a parameter -> its name.
    """
    flows = list(flows)
    lookups: defaultdict[nn.Parameter, list[Lookup]] = defaultdict(list)
    for flow, _ in flows:
        for node in flow.nodes:
            table = _table(flow, node)
            if table is not None and id(table) in names:
                lookups[table].append((flow, node))
    kinds = {
        table: _kind(uses)
        for table, uses in lookups.items()
        if not any(flow.depends_on_input(node) and not _counts(flow, node) for flow, node in uses)
    }
    for flow, adds in flows:
        for lesser in _lesser(flow, adds, kinds):
            kinds[lesser] = UseKind.LESSER_POSITIONS
    return {names[id(table)]: kind for table, kind in kinds.items()}


def tied_tables(
    module: nn.Module, flows: Iterable[DataFlow], names: Mapping[int, str]
) -> dict[str, tuple[int, ...]]:
    """Name of each token table that is also the weight of a linear map, and its shape.

    Layers of torch's own count where no run reaches them, too.
    """
    flows, layers = list(flows), list(module.modules())
    tables = [_table(flow, node) for flow in flows for node in flow.nodes]
    tables += [_own_weight(each) for each in layers if isinstance(each, nn.Embedding)]
    looked_up = {id(table) for table in tables if table is not None}
    weights = [_own_weight(each) for each in layers if isinstance(each, nn.Linear)]
    weights += [each for flow in flows for each in _maps(flow)]
    return {
        names[id(weight)]: tuple(weight.shape)
        for weight in weights
        if weight is not None and id(weight) in looked_up and id(weight) in names
    }


def _own_weight(layer: nn.Module) -> nn.Parameter | None:
    """The parameter of a layer; a weight that a parametrization computes must not be asked for."""
    return layer._parameters.get("weight")


def _maps(flow: DataFlow) -> Iterator[nn.Parameter]:
    """The parameters that are weights of layers, not looked up."""
    for node in flow.nodes:
        weight = None if function_name(node) in LOOKUPS else flow.weight(node)
        parameter = None if weight is None else flow.parameter(weight)
        if parameter is not None:
            yield parameter


def _table(flow: DataFlow, node: Node) -> nn.Parameter | None:
    """The table that a node looks up."""
    weight = argument(node, 1, "weight") if function_name(node) in LOOKUPS else None
    return flow.parameter(weight) if isinstance(weight, Node) and flow.carries(weight) else None


def _counts(flow: DataFlow, lookup: Node) -> bool:
    """Whether a table is looked up by numbers that are counted up from what the input holds.

    So RoBERTa numbers the tokens that are no padding.
    """
    indices = argument(lookup, 0, "input")
    waiting = [indices] if isinstance(indices, Node) and flow.carries(indices) else []
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if function_name(node) == "cumsum":
            return True
        if not flow.layers(node):
            further = [above for above in flow.parents(node) if above not in seen]
            seen.update(further)
            waiting += further
    return False


def _kind(uses: list[Lookup]) -> UseKind:
    if any(meets_scores(flow, node) for flow, node in uses):
        return UseKind.RELATIVE
    if all(_is_constant(flow, node) for flow, node in uses):
        return UseKind.SEGMENTS
    return UseKind.POSITIONS


def _is_constant(flow: DataFlow, lookup: Node) -> bool:
    """Whether a table is looked up by zeros or the like, which is the same row everywhere."""
    indices = argument(lookup, 0, "input")
    waiting, seen = [indices] if isinstance(indices, Node) else [], {lookup}
    constants = 0
    while waiting:
        node = waiting.pop()
        name = function_name(node)
        uniform = name in _CONSTANTS or (node.op == "read" and _is_uniform(flow.tensor(node)))
        if name in _RANGES or (node.op == "read" and not uniform):
            return False
        if node in seen or uniform:
            constants += uniform
            continue
        seen.add(node)
        waiting += node.all_input_nodes
    return constants > 0


def _is_uniform(tensor: torch.Tensor) -> bool:
    """Whether several entries are all the same, as far as they are known."""
    if tensor.is_meta or tensor.numel() < 2:
        return False
    return bool((tensor == tensor.reshape(-1)[0]).all())


def _lesser(
    flow: DataFlow, adds: Iterable[Add], kinds: Mapping[nn.Parameter, UseKind]
) -> Iterator[nn.Parameter]:
    """Of position tables that are summed, all but the largest: the first of those that are."""
    for add in adds:
        if add.kind is AddClass.PART:
            continue
        origins = [_table(flow, flow.origin(term)) for term in terms_of(flow, add.node)[0]]
        tables = [
            each
            for each in dict.fromkeys(origins)
            if each is not None and kinds.get(each) == UseKind.POSITIONS
        ]
        largest = max(tables, key=lambda table: table.numel(), default=None)
        yield from (table for table in tables if table is not largest)

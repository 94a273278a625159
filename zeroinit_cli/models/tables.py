"""Embeddings that are looked up by position or by a constant, not by the input."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from zeroinit_cli.models.attention import opaque_attention_of
from zeroinit_cli.models.classes import is_norm, is_weight_layer
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import MATRIX_PRODUCTS, function_name, words
from zeroinit_cli.models.residual import Add, AddClass
from zeroinit_cli.models.sums import terms_of

POSITIONS = "position table"
LESSER_POSITIONS = "position table summed with a larger one"
RELATIVE = "relative-position table"
SEGMENTS = "segment table"

_CONSTANTS = words(
    "empty empty_like full full_like new_full new_ones new_zeros ones ones_like "
    "tensor zeros zeros_like"
)

_RANGES = words("arange cumsum linspace")

Lookup = tuple[DataFlow, Node]


def find_tables(
    flows: Iterable[tuple[DataFlow, tuple[Add, ...]]], paths: Mapping[int, str]
) -> dict[str, str]:
    """Path of each embedding that the input does not look up, and what kind of table it is.

    Args:
        flows: the graphs, each with its adds.
        paths: id of a module -> its path.
    """
    flows = list(flows)
    lookups: defaultdict[nn.Module, list[Lookup]] = defaultdict(list)
    for flow, _ in flows:
        for node in flow.nodes:
            table = flow.module(node)
            if isinstance(table, nn.Embedding | nn.EmbeddingBag) and id(table) in paths:
                lookups[table].append((flow, node))
    kinds = {
        table: _kind(uses)
        for table, uses in lookups.items()
        if not any(flow.depends_on_input(node) for flow, node in uses)
    }
    for flow, adds in flows:
        for lesser in _lesser(flow, adds, kinds):
            kinds[lesser] = LESSER_POSITIONS
    return {paths[id(table)]: kind for table, kind in kinds.items()}


def _kind(uses: list[Lookup]) -> str:
    if any(_meets_scores(flow, node) for flow, node in uses):
        return RELATIVE
    if all(_is_constant(flow, node) for flow, node in uses):
        return SEGMENTS
    return POSITIONS


def _is_constant(flow: DataFlow, lookup: Node) -> bool:
    """Whether a table is looked up by zeros or the like, which is the same row everywhere."""
    waiting, seen = list(lookup.all_input_nodes), {lookup}
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


def _meets_scores(flow: DataFlow, lookup: Node) -> bool:
    """Whether what is looked up goes into a softmax over positions before any layer."""
    waiting, seen = [lookup], {lookup}
    while waiting:
        node = waiting.pop()
        for user in flow.users(node):
            module, name = flow.module(user), function_name(user)
            attends = name == "scaled_dot_product_attention" or (
                module is not None and opaque_attention_of(module) is not None
            )
            if attends and node not in user.args[:3]:
                return True
            if name == "softmax" or isinstance(module, nn.Softmax):
                return True
            ends = attends or name in MATRIX_PRODUCTS or flow.weight(user) is not None
            ends = ends or (module is not None and (is_norm(module) or is_weight_layer(module)))
            if not ends and user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def _lesser(
    flow: DataFlow, adds: Iterable[Add], kinds: Mapping[nn.Module, str]
) -> Iterator[nn.Module]:
    """Of position tables that are summed, all but the largest: the first of those that are."""
    for add in adds:
        if add.kind is AddClass.PART:
            continue
        origins = [flow.module(flow.origin(term)) for term in terms_of(flow, add.node)[0]]
        tables = [
            each
            for each in dict.fromkeys(origins)
            if isinstance(each, nn.Embedding) and kinds.get(each) == POSITIONS
        ]
        largest = max(tables, key=lambda table: table.weight.numel(), default=None)
        yield from (table for table in tables if table is not largest)

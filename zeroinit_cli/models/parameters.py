"""What each parameter is: how the forward uses it.

A parameter is followed through views and casts to the function that computes with it; that
function, and the place of the argument there, say what it is. Classes and names of modules do not
matter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from zeroinit_cli.models.arithmetic import normalizes
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.maps import (
    Found,
    all_named,
    convolution,
    linear,
    multi_head,
    named,
    product,
    recurrent,
)
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    DIFFERENCES,
    JOINS,
    LOOKUPS,
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    PICKS,
    PRODUCTS,
    RECURRENT,
    SCALED_DOT_PRODUCT,
    argument,
    function_name,
    scale_of,
)
from zeroinit_cli.models.scores import meets_scores
from zeroinit_cli.models.uses import Use, UseKind

_ORDER = {kind: number for number, kind in enumerate(UseKind)}


def find_uses(flows: Iterable[DataFlow], names: Mapping[int, str]) -> dict[str, Use]:
    """The use of every parameter that a function was seen to compute with, by its name.

    Args:
        flows: the graphs.
        names: id of a parameter -> its name.
    """
    found: dict[str, Use] = {}
    for flow in flows:
        for node in flow.nodes:
            for parameter, use in _uses_at(flow, node):
                name = names.get(id(parameter))
                if name is None:
                    continue
                known = found.get(name)
                if known is None or _ORDER[use.kind] < _ORDER[known.kind]:
                    found[name] = use
    return found


def _uses_at(flow: DataFlow, node: Node) -> Iterator[Found]:
    name = function_name(node)
    if node.op != "function":
        return
    if name == "linear":
        yield from linear(flow, node)
    elif name.startswith("conv") and flow.weight(node) is not None:
        yield from convolution(flow, node, name)
    elif name in LOOKUPS:
        yield from named(flow, argument(node, 1, "weight"), _table(node))
    elif name in NORM_FUNCTIONS:
        yield from _norm(flow, node, name)
    elif name == MULTI_HEAD:
        yield from multi_head(flow, node)
    elif name in RECURRENT:
        yield from recurrent(flow, node, name)
    elif name == "bilinear":
        yield from named(flow, argument(node, 2, "weight"), Use(kind=UseKind.BILINEAR, node=node))
        yield from named(flow, argument(node, 3, "bias"), Use(kind=UseKind.BIAS, node=node))
    elif name in MATRIX_PRODUCTS:
        yield from product(flow, node, name)
    elif name in ADDS or name in DIFFERENCES:
        yield from _addend(flow, node)
    elif name in PRODUCTS:
        yield from _factor(flow, node)
    elif name in JOINS or name == "where":
        yield from _joined(flow, node)
    elif name == SCALED_DOT_PRODUCT:
        mask = argument(node, 3, "attn_mask")
        yield from all_named(flow, mask, Use(kind=UseKind.RELATIVE, node=node))
        for position, letter in enumerate(("query", "key", "value")):
            given = argument(node, position, letter)
            yield from all_named(flow, given, Use(kind=UseKind.POSITIONS, node=node))
    elif name in PICKS or name in ("index_select", "gather"):
        yield from _picked(flow, node)


def _table(node: Node) -> Use:
    padding = argument(node, 2, "padding_idx") if function_name(node) == "embedding" else None
    return Use(kind=UseKind.TABLE, node=node, padding_idx=padding)


def _norm(flow: DataFlow, node: Node, name: str) -> Iterator[Found]:
    position = NORM_FUNCTIONS[name]
    if position is None:
        return
    yield from _scale(flow, scale_of(node), node)
    shift = argument(node, position + 1, "bias") if name != "rms_norm" else None
    yield from named(flow, shift, Use(kind=UseKind.NORM_SHIFT, node=node))


def _scale(flow: DataFlow, scale: Any, node: Node) -> Iterator[Found]:
    """The scale of a norm, which may be stored less 1."""
    if not isinstance(scale, Node) or not flow.carries(scale):
        return
    plus_one = flow.adds_one(scale) is not None
    for parameter in flow.parameters_in(scale):
        yield parameter, Use(kind=UseKind.NORM_SCALE, node=node, plus_one=plus_one)


def _addend(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What is added: a bias, a table of positions, or a bias of attention's scores."""
    if not flow.depends_on_input(node):
        return
    for fixed in flow.parents(node):
        if flow.depends_on_input(fixed):
            continue
        layout = flow.layout(fixed)
        several = layout is not None and _has_several(layout.shape)
        kind = UseKind.POSITIONS if several else UseKind.BIAS
        if several and meets_scores(flow, node):
            kind = UseKind.RELATIVE
        lesser = _lesser(flow, fixed) if kind is UseKind.POSITIONS else frozenset()
        for parameter in flow.parameters_in(fixed):
            own = kind
            if kind is UseKind.POSITIONS and not _has_several(parameter.shape):
                own = UseKind.TOKEN  # the position of one token
            elif id(parameter) in lesser:
                own = UseKind.LESSER_POSITIONS
            elif kind is UseKind.POSITIONS and _has_a_row_for_each_map(flow, node, parameter):
                own = UseKind.BIAS
            yield parameter, Use(kind=own, node=node)


def _has_a_row_for_each_map(flow: DataFlow, node: Node, parameter: nn.Parameter) -> bool:
    """Whether something is added to what a stack of maps gives, and is as large as their outputs.

    It is a bias of each, as of experts.
    """
    for live in flow.parents(node):
        weight = flow.weight(flow.origin(live))
        layout = None if weight is None else flow.layout(weight)
        if layout is not None and len(layout.shape) > 2:
            count, *sizes = layout.shape
            if parameter.shape[0] == count and parameter.numel() in [
                count * size for size in sizes
            ]:
                return True
    return False


def _has_several(shape: Sequence[int]) -> bool:
    """Whether a shape is more than one vector."""
    return sum(size > 1 for size in shape) > 1


def _lesser(flow: DataFlow, fixed: Node) -> frozenset[int]:
    """Of tables that are summed before they are added, all but those of the largest term."""
    lesser: set[int] = set()
    waiting, seen = [fixed], {fixed}
    while waiting:
        node = waiting.pop()
        if function_name(node) in ADDS:
            terms = [list(flow.parameters_in(each)) for each in flow.parents(node)]
            terms.sort(key=lambda term: max((each.numel() for each in term), default=0))
            lesser.update(id(each) for term in terms[:-1] for each in term)
        further = [above for above in flow.parents(node) if above not in seen]
        seen.update(further)
        waiting += further
    return frozenset(lesser)


def _factor(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What is multiplied: the scale of a norm written out, or of a layer."""
    for fixed in flow.parents(node):
        live = [each for each in flow.parents(node) if flow.depends_on_input(each)]
        if flow.depends_on_input(fixed) or not live:
            continue
        quotients = [user for user in flow.users(node) if flow.parents(user)[0] is node]
        if any(normalizes(flow, each) for each in (flow.origin(live[0]), *quotients)):
            yield from _scale(flow, fixed, node)
        else:
            users = flow.users(node)
            dots = users and all(function_name(user) == "sum" for user in users)
            kind = UseKind.DOT if dots else UseKind.SCALE
            yield from all_named(flow, fixed, Use(kind=kind, node=node))


def _joined(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What is put beside a sequence: class tokens, registers, masks."""
    if flow.depends_on_input(node):
        for fixed in flow.parents(node):
            yield from all_named(flow, fixed, Use(kind=UseKind.TOKEN, node=node))


def _picked(flow: DataFlow, node: Node) -> Iterator[Found]:
    """Rows that the input picks from a table."""
    index = node.args[1] if len(node.args) > 1 else None
    parts = index if isinstance(index, tuple | list) else [index]
    live = [each for each in parts if isinstance(each, Node) and flow.carries(each)]
    if any(flow.depends_on_input(each) for each in live) and node.args:
        yield from named(flow, node.args[0], Use(kind=UseKind.TABLE, node=node))

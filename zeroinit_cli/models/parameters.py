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
    ALIVE_AT_ZERO,
    DEAD_AT_ZERO,
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
    UNCHANGING,
    argument,
    function_name,
    scale_of,
)
from zeroinit_cli.models.rows import count_of_outputs
from zeroinit_cli.models.scores import meets_scores
from zeroinit_cli.models.sums import terms_of
from zeroinit_cli.models.uses import Use, UseKind

_IN_PLACE = ADDS | UNCHANGING | ALIVE_AT_ZERO | DEAD_AT_ZERO | {"dropout"}
"""Functions that leave each entry where it is."""

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
        yield from _mapped(flow, node)
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
    elif name == "setitem":
        yield from _put_in(flow, node)
    elif name == SCALED_DOT_PRODUCT:
        mask = argument(node, 3, "attn_mask")
        yield from all_named(flow, mask, Use(kind=UseKind.RELATIVE, node=node))
        for position, letter in enumerate(("query", "key", "value")):
            given = argument(node, position, letter)
            yield from all_named(flow, given, Use(kind=UseKind.POSITIONS, node=node))
    elif name in PICKS or name in ("index_select", "gather"):
        yield from _picked(flow, node)


def _mapped(flow: DataFlow, node: Node) -> Iterator[Found]:
    """A vector that a layer is applied to, as a learned query: a token."""
    data = argument(node, 0, "input")
    for parameter, use in all_named(flow, data, Use(kind=UseKind.TOKEN, node=node)):
        if not _has_several(parameter.shape):
            yield parameter, use


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
        lesser = _lesser(flow, node) if kind is UseKind.POSITIONS else frozenset()
        for parameter in flow.parameters_in(fixed):
            own = kind
            if kind is UseKind.POSITIONS and not _has_several(parameter.shape):
                own = UseKind.TOKEN  # the position of one token
            elif id(parameter) in lesser:
                own = UseKind.LESSER_POSITIONS
            elif kind is UseKind.POSITIONS and _has_one_for_each_output(flow, node, parameter):
                own = UseKind.BIAS
            first = own is UseKind.POSITIONS and _has_features_first(flow, node, parameter)
            yield parameter, Use(kind=own, node=node, transposed=first)


def _has_features_first(flow: DataFlow, node: Node, parameter: nn.Parameter) -> bool:
    """Whether a table is stored (dim, positions), as those that are added to maps are."""
    layout = flow.layout(node)
    sizes = [size for size in parameter.shape if size > 1]
    if layout is None or len(sizes) < 2:
        return False
    is_map = len(layout.shape) > 2 and _is_map(flow, node)
    features = layout.shape[1 if is_map else -1]
    return sizes[0] == features and (is_map or sizes[-1] != features)


def _is_map(flow: DataFlow, node: Node) -> bool:
    """Whether a value's features lie in its second dimension, as convolutions have them."""
    before: Node | None = node
    while before is not None and function_name(before) in _IN_PLACE:
        before = flow.data(before)
    beside, waiting = [before], [node]
    while waiting:
        users = flow.users(waiting.pop())
        beside += users
        waiting += (each for each in users if function_name(each) in _IN_PLACE - ADDS)
    names = [function_name(each) for each in beside if each is not None]
    return any(name.startswith("conv") or name == "batch_norm" for name in names)


def _has_one_for_each_output(flow: DataFlow, node: Node, parameter: nn.Parameter) -> bool:
    """Whether something is added to what a map gives, or a stack of maps, one to each output.

    It is a bias of each expert, or of each head.
    """
    for live in filter(flow.depends_on_input, flow.parents(node)):
        layer = flow.origin(live)
        while function_name(layer) in PRODUCTS and len(flow.parents(layer)) == 1:
            layer = flow.origin(flow.parents(layer)[0])
        weight = flow.weight(layer)
        layout = None if weight is None else flow.layout(weight)
        if layout is not None and len(layout.shape) > 2:
            count, *sizes = layout.shape
            if parameter.shape[0] == count and parameter.numel() in [
                count * size for size in sizes
            ]:
                return True
        if parameter.numel() == count_of_outputs(flow, layer, live):
            return True
    return False


def _has_several(shape: Sequence[int]) -> bool:
    """Whether a shape is more than one vector."""
    return sum(size > 1 for size in shape) > 1


def _lesser(flow: DataFlow, add: Node) -> frozenset[int]:
    """Of the tables in a sum, and in those that its terms are made of, all but the largest."""
    last, users = add, flow.users(add)
    while len(users) == 1 and (function_name(users[0]) in ADDS or flow.passed_on(users[0])):
        last = users[0] if function_name(users[0]) in ADDS else last
        users = flow.users(users[0])
    terms = [each for each in terms_of(flow, last)[0] if not flow.depends_on_input(each)]
    sums, waiting, seen = [tuple(terms)], terms, set(terms)
    while waiting:
        node = waiting.pop()
        if function_name(node) in ADDS:
            sums.append(flow.parents(node))
        further = [above for above in flow.parents(node) if above not in seen]
        seen.update(further)
        waiting += further
    lesser: set[int] = set()
    for each in sums:
        tables = [list(flow.parameters_in(term)) for term in each]
        tables.sort(key=lambda table: max((part.numel() for part in table), default=0))
        lesser.update(id(part) for table in tables[:-1] for part in table)
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
            if any(_fills_in(flow, user, node, live[0]) for user in users):
                kind = UseKind.TOKEN
            yield from all_named(flow, fixed, Use(kind=kind, node=node))


def _fills_in(flow: DataFlow, add: Node, node: Node, mask: Node) -> bool:
    """Whether a product is added to another with what is left of 1: `x * (1 - m) + token * m`."""
    others = [each for each in flow.parents(add) if each is not node]
    if function_name(add) not in ADDS or len(others) != 1:
        return False
    factors = flow.parents(others[0]) if function_name(others[0]) in PRODUCTS else ()
    rests = [each for each in factors if function_name(each) in DIFFERENCES and 1 in each.args]
    return any(flow.origin(flow.parents(each)[0]) is flow.origin(mask) for each in rests)


def _joined(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What is put beside a sequence: class tokens, registers, masks."""
    if flow.depends_on_input(node):
        for fixed in flow.parents(node):
            yield from all_named(flow, fixed, Use(kind=UseKind.TOKEN, node=node))


def _put_in(flow: DataFlow, node: Node) -> Iterator[Found]:
    """What is written into a part of a sequence, or was before the rest of it."""
    if flow.depends_on_input(node):
        for fixed in flow.parents(node):
            if fixed is argument(node, 2, "value") or function_name(fixed) == "setitem":
                yield from all_named(flow, fixed, Use(kind=UseKind.TOKEN, node=node))


def _picked(flow: DataFlow, node: Node) -> Iterator[Found]:
    """Rows that the input picks from a table."""
    index = node.args[1] if len(node.args) > 1 else None
    parts = index if isinstance(index, tuple | list) else [index]
    live = [each for each in parts if isinstance(each, Node) and flow.carries(each)]
    if any(flow.depends_on_input(each) for each in live) and node.args:
        yield from named(flow, node.args[0], Use(kind=UseKind.TABLE, node=node))

"""Attention by what is done: values times the softmax of products of queries and keys.

Which weight gives queries, keys and values, or which of its rows, is followed from there back to
the layers. Neither the class of a module matters nor which of torch's backends computes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    JOINS,
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    NORM_FUNCTIONS,
    SCALED_DOT_PRODUCT,
    argument,
    function_name,
    words,
)
from zeroinit_cli.models.rows import MOVES, Rows, is_one_matrix, rows_of

_NORMALIZING = frozenset(NORM_FUNCTIONS) | words(
    "linalg_norm norm rsqrt sqrt std std_mean var var_mean vector_norm"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """Where queries, keys or values come from.

    Attributes:
        weight: the parameter of the layer.
        bias: what the layer adds, if it does.
        layer: where it is applied.
        rows: of the layer's outputs, those that are used; None for all.
        direct: nothing but moves of entries stands between, and no stack of maps gives some rows.
        normed: they are divided by a norm of theirs on the way.
    """

    weight: nn.Parameter
    layer: Node
    rows: Rows | None
    bias: nn.Parameter | None = None
    direct: bool = True
    normed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """One product of values with the softmax of scores.

    Attributes:
        node: the product.
        query: the layer behind the queries; None where none is alone behind them.
        key: likewise.
        value: likewise.
        output: the weight behind it that belongs to the same function, as in torch's own attention.
        output_bias: likewise.
    """

    node: Node
    query: Projection | None
    key: Projection | None
    value: Projection | None
    output: nn.Parameter | None = None
    output_bias: nn.Parameter | None = None

    @property
    def projections(self) -> Iterator[tuple[str, Projection]]:
        """Each projection that is known, by the letter of what it gives."""
        for letter, projection in (("q", self.query), ("k", self.key), ("v", self.value)):
            if projection is not None:
                yield letter, projection

    def is_for_scores(self, layer: Node, value: Node) -> bool:
        """Whether a layer uses a value for queries or keys alone, not for what is passed on."""
        if layer is self.node:
            return value is not argument(layer, 2, "value")
        letters = {letter for letter, each in self.projections if each.layer is layer}
        return bool(letters) and "v" not in letters

    @property
    def is_closable(self) -> bool:
        """Whether v = 0 makes the product 0, and k = 0 harms nothing.

        Keys of 0 that are then divided by their norm would give gradients without bound.
        """
        if self.value is None or not self.value.direct or self.value.normed:
            return False
        kernel = function_name(self.value.layer).startswith("conv") and self.value.weight.shape[2:]
        if kernel and self.value.rows is not None and max(kernel) > 1:
            return False  # some rows of a kernel
        if self.key is not None and self.key.normed:
            return False
        others = [each for each in (self.query, self.key) if each is not None]
        return not any(_share_rows(self.value, each) for each in others[:1])


def find_attention(flow: DataFlow) -> dict[Node, Attention]:
    """Every attention of a part that was run, by its product."""
    found = (_attention_at(flow, node) for node in flow.nodes)
    return {each.node: each for each in found if each is not None}


def _attention_at(flow: DataFlow, node: Node) -> Attention | None:
    name = function_name(node)
    if name == MULTI_HEAD:
        return _multi_head(flow, node)
    if name == SCALED_DOT_PRODUCT:
        query, key, value = (
            argument(node, position, name)
            for position, name in enumerate(("query", "key", "value"))
        )
    elif name in MATRIX_PRODUCTS and flow.weight(node) is None:
        factors = [each for each in flow.factors(node) if flow.depends_on_input(each)]
        if len(factors) < 2:
            return None
        softmax = _softmax_behind(flow, factors[0])
        value = factors[1]
        if softmax is None:
            softmax, value = _softmax_behind(flow, factors[1]), factors[0]
        if softmax is None:
            return None
        query, key = _factors_of_scores(flow, softmax)
    else:
        return None
    query, key, value = (
        _projection(flow, each) if isinstance(each, Node) else None for each in (query, key, value)
    )
    return Attention(node=node, query=query, key=key, value=value)


def _multi_head(flow: DataFlow, node: Node) -> Attention:
    """The weights that torch's own function is given: one for all three, or one for each."""
    fused = _parameter(flow, argument(node, 5, "in_proj_weight"))
    bias = _parameter(flow, argument(node, 6, "in_proj_bias"))
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    parts: list[Projection | None]
    if fused is not None:
        third = fused.shape[0] // 3
        parts = [
            Projection(
                weight=fused,
                layer=node,
                rows=frozenset(range(number * third, (number + 1) * third)),
                bias=bias,
            )
            for number in range(3)
        ]
    else:
        weights = (
            _parameter(flow, argument(node, 18 + number, name)) for number, name in enumerate(names)
        )
        parts = [
            each if each is None else Projection(weight=each, layer=node, rows=None, bias=bias)
            for each in weights
        ]
    query, key, value = parts
    output = _parameter(flow, argument(node, 11, "out_proj_weight"))
    output_bias = _parameter(flow, argument(node, 12, "out_proj_bias"))
    return Attention(
        node=node, query=query, key=key, value=value, output=output, output_bias=output_bias
    )


def _parameter(flow: DataFlow, node: object) -> nn.Parameter | None:
    return flow.parameter(node) if isinstance(node, Node) and flow.carries(node) else None


def _softmax_behind(flow: DataFlow, node: Node) -> Node | None:
    """The softmax that a factor comes from, with nothing but masks, scales and moves between."""
    waiting, seen = [node], {node}
    while waiting:
        each = waiting.pop()
        name = function_name(each)
        if name == "softmax":
            return each
        if flow.layers(each) or name in MATRIX_PRODUCTS or name in NORM_FUNCTIONS:
            continue
        further = [above for above in flow.parents(each) if above not in seen]
        seen.update(further)
        waiting += further
    return None


def _factors_of_scores(flow: DataFlow, softmax: Node) -> tuple[Node | None, Node | None]:
    """The queries and keys whose product a softmax is taken of, masked, scaled or shifted."""
    waiting, seen = [softmax], {softmax}
    while waiting:
        each = waiting.pop(0)
        if function_name(each) in MATRIX_PRODUCTS and flow.weight(each) is None:
            live = [above for above in flow.factors(each) if flow.depends_on_input(above)]
            if live:
                return live[0], live[-1]  # one, where queries and keys are one value
            continue
        if flow.layers(each):
            continue
        further = [above for above in flow.parents(each) if above not in seen]
        seen.update(further)
        waiting += further
    return None, None


def _projection(flow: DataFlow, value: Node) -> Projection | None:
    """The only layer that a value comes from, and its rows; None if there is another, or none."""
    layers: dict[Node, None] = {}
    waiting, seen = [value], {value}
    between: list[Node] = []
    while waiting:
        each = waiting.pop()
        weight = flow.weight(each)
        if weight is not None and not _is_depthwise(each):
            layers[each] = None
            continue
        if each.op != "function" or flow.layers(each) > int(weight is not None):
            return None
        between.append(each)
        further = [
            above
            for above in flow.parents(each)
            if flow.depends_on_input(above) and above not in seen
        ]
        if not further and not any(above in seen for above in flow.parents(each)):
            return None
        seen.update(further)
        waiting += further
    if len(layers) != 1:
        return None
    [layer] = layers
    weight = flow.weight(layer)
    parameter = flow.parameter(weight) if weight is not None else None
    if parameter is None:
        return None
    names = {
        function_name(each)
        for each in between
        if not (function_name(each) in JOINS and flow.passed_on(each))
    }
    rows = rows_of(flow, layer, parameter, value)
    return Projection(
        weight=parameter,
        layer=layer,
        rows=rows,
        bias=flow.bias(layer),
        direct=names <= MOVES and (rows is None or is_one_matrix(flow, layer)),
        normed=not names.isdisjoint(_NORMALIZING),
    )


def _is_depthwise(node: Node) -> bool:
    """Whether a convolution mixes no channels: it pools what it is given."""
    groups = argument(node, 6, "groups") if function_name(node).startswith("conv") else 1
    return isinstance(groups, int) and groups > 1


def _share_rows(one: Projection, other: Projection) -> bool:
    if one.weight is not other.weight:
        return False
    return one.rows is None or other.rows is None or not one.rows.isdisjoint(other.rows)

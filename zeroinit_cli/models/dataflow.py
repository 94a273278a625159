"""A recorded run as a flow of data: what passes values on, which layers and parameters act."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.classes import is_weight_layer
from zeroinit_cli.models.graph import Graph
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    FILLING,
    JOINS,
    LOOKUPS,
    MATRIX_PRODUCTS,
    MULTI_HEAD,
    RECURRENT,
    TRANSPARENT,
    UNCHANGING,
    WEIGHT_FUNCTIONS,
    WEIGHT_NORM,
    argument,
    function_name,
)


class DataFlow(Graph):
    """A graph of data, with what its functions mean."""

    def passed_on(self, node: Node) -> Node | None:
        """The value that a node passes on: moved, pooled, dropped at random, or as it is."""
        parents, name = self._parents[node], function_name(node)
        if not parents or (
            parents[0] is not self._first[node] and name not in ADDS and name not in JOINS
        ):
            return None
        if name in JOINS:
            passes = len(parents) == 1 and "stack" not in name
        elif name in ADDS:  # Python's sum begins with 0
            numbers = [each for each in node.args if not isinstance(each, Node)]
            passes = len(node.all_input_nodes) == 1 and not any(numbers)
        elif name in FILLING:
            position = FILLING[name]
            filled = node.args[position] if len(node.args) > position else node.kwargs.get("value")
            passes = filled is None or (isinstance(filled, int | float) and filled == 0)
        else:
            passes = name in TRANSPARENT and len(parents) == 1
        return parents[0] if passes else None

    def itself(self, node: Node) -> Node:
        """The value that a node gives unchanged, through any number of steps."""
        while function_name(node) in UNCHANGING:
            node = self._parents[node][0]
        return node

    def origin(self, node: Node) -> Node:
        """The value that a node passes on, through any number of steps; itself if it does not."""
        before = self.passed_on(node)
        while before is not None:
            node, before = before, self.passed_on(before)
        return node

    def parameter(self, node: Node) -> nn.Parameter | None:
        """The parameter that a value is, whatever its shape."""
        origin = self.origin(node)
        tensor = self.tensor(origin) if origin.op == "read" else None
        return tensor if isinstance(tensor, nn.Parameter) else None

    def parameters_in(self, node: Node) -> Iterator[nn.Parameter]:
        """Yield the parameters that a value is computed from without the input and any layer."""
        if self.depends_on_input(node):
            return
        waiting, seen = [node], {node}
        while waiting:
            each = waiting.pop()
            tensor = self.tensor(each) if each.op == "read" else None
            if isinstance(tensor, nn.Parameter):
                yield tensor
            elif not self.layers(each) and function_name(each) not in LOOKUPS:
                further = [above for above in self._parents[each] if above not in seen]
                seen.update(further)
                waiting += further

    def map_behind(self, node: Node) -> nn.Parameter | None:
        """The parameter that a weight is, or the only one of its size that it is computed from.

        So it is behind weight norm, spectral norm and weights that are standardized.
        """
        parameter = self.parameter(node)
        if parameter is not None:
            return parameter
        layout = self.layout(node)
        size = math.prod(layout.shape) if layout is not None else 0
        found = {id(each): each for each in self.parameters_in(node) if each.numel() == size > 1}
        return next(iter(found.values())) if len(found) == 1 else None

    def directions(self, node: Node) -> tuple[nn.Parameter, nn.Parameter, int] | None:
        """The directions and lengths that weight norm makes a weight of, and the dimension."""
        origin = self.origin(node)
        if function_name(origin) != WEIGHT_NORM:
            return None
        direction, length = (self.parameter(each) for each in self._parents[origin][:2])
        if direction is None or length is None:
            return None
        return direction, length, argument(origin, 2, "dim") or 0

    def bias(self, node: Node) -> nn.Parameter | None:
        """The parameter that a layer written as a function adds to its product."""
        name = function_name(node)
        bias = node.args[0] if name in ("addmm", "baddbmm") else None
        if name in WEIGHT_FUNCTIONS:
            bias = argument(node, 2, "bias")
        return self.parameter(bias) if isinstance(bias, Node) and bias in self._index else None

    def weight(self, node: Node) -> Node | None:
        """The parameter that a layer written as a function applies: `F.linear(x, self.w)`."""
        name = function_name(node)
        if name in WEIGHT_FUNCTIONS:
            candidates = [node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")]
        elif name in MATRIX_PRODUCTS:
            factors = self.factors(node)
            if not any(map(self.depends_on_input, factors)) and self._picks(factors):
                return None
            candidates = list(factors)
        else:
            return None
        known = (each for each in candidates if isinstance(each, Node) and each in self._index)
        return next((each for each in known if not self.depends_on_input(each)), None)

    def _picks(self, factors: Sequence[Node]) -> bool:
        """Whether a factor is a constant of zeros and ones: it picks rows, as an index does."""
        constants = (self.constant(each) for each in factors)
        return any(
            constant is not None and bool(((constant == 0) | (constant == 1)).all())
            for constant in constants
        )

    def factors(self, node: Node) -> tuple[Node, ...]:
        """The values that a product of matrices multiplies, without what it adds to it."""
        adds = function_name(node) in ("addmm", "baddbmm")
        added = argument(node, 0, "input") if adds else None
        return tuple(each for each in self._parents[node] if each is not added)

    def data(self, node: Node) -> Node | None:
        """The value that a layer is applied to."""
        live = (each for each in self._parents[node] if each in self._from_input)
        return next(live, None)

    def layers(self, node: Node) -> int:
        """Weight layers that a node applies one after the other.

        A block of attention projects in and out. Of what is passed over, all that it holds.
        """
        if node.op == "module":
            module = self._part.modules[node.target]
            inside = sum(is_weight_layer(each) for each in module.modules())
            return inside or int(next(module.parameters(), None) is not None)
        if function_name(node) == MULTI_HEAD:
            return 2
        return int(function_name(node) in RECURRENT or self.weight(node) is not None)

    def adds_one(self, node: Node) -> nn.Parameter | None:
        """The parameter that a value is 1 more than; None if it is no such."""
        origin = self.origin(node)
        if function_name(origin) not in ADDS or len(self._parents[origin]) != 1:
            return None
        if [each for each in origin.args if isinstance(each, int | float)] != [1]:
            return None
        return self.parameter(self._parents[origin][0])

    def weight_layers(self, start: Node, end: Node) -> int:
        """Weight layers on the longest way from one value to another."""
        longest: dict[Node, int] = {}
        for node in self.between(start, end):
            before = max(longest.get(each, 0) for each in self._parents[node])
            longest[node] = before + self.layers(node)
        return longest.get(end, 0)

    def constant(self, node: Node) -> torch.Tensor | None:
        """The value at the start of what depends on parameters alone; None if it is not known."""
        if node.op == "read":
            value = self.tensor(node).detach()
            return None if value.is_meta else value
        if node.function is None or node.writes:
            return None
        inputs = {each: self.constant(each) for each in node.all_input_nodes}
        if not inputs or any(value is None for value in inputs.values()):
            return None
        args, kwargs = tree_map_only(Node, inputs.__getitem__, (node.args, dict(node.kwargs)))
        try:
            result = node.function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - any function may stand there, and refuse its arguments
            return None
        return result if isinstance(result, torch.Tensor) else None

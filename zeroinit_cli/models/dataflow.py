"""A recorded run as a flow of data: what each value comes from, and through which layers.

Only edges that carry tensor data count. Sizes, shapes and what is made from them (`arange`,
`ones_like`) do not: two values are not related by having the same shape.

Searches stay between the two values that they are about, so that a net of many blocks costs what
its blocks cost.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.attention import opaque_attention_of
from zeroinit_cli.models.classes import is_recurrent, is_weight_layer
from zeroinit_cli.models.forward import Part
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    ADDS,
    FILLING,
    FIRST_ALONE,
    MATRIX_PRODUCTS,
    NO_DATA,
    PICKS,
    TRANSPARENT,
    TRANSPARENT_MODULES,
    UNCHANGING,
    WEIGHT_FUNCTIONS,
    function_name,
)


class DataFlow:
    """The data edges of one part that was run.

    Args:
        part: the part; module paths below are those of the whole module.
    """

    def __init__(self, part: Part):
        self._part = part
        self._prefix = f"{part.path}." if part.path else ""
        self._index: dict[Node, int] = {}
        self._parents: dict[Node, tuple[Node, ...]] = {}
        self._first: dict[Node, Node | None] = {}
        self._users: dict[Node, list[Node]] = {}
        self._from_input: set[Node] = set()
        self._results: set[Node] = set()
        for node in part.nodes:
            self._add(node)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that carries data, inputs before outputs."""
        return tuple(self._index)

    def parents(self, node: Node) -> tuple[Node, ...]:
        """The values that a node computes its own from."""
        return self._parents[node]

    def first(self, node: Node) -> Node | None:
        """The value that is a node's first argument, if that is one value."""
        return self._first[node]

    def users(self, node: Node) -> tuple[Node, ...]:
        """The values that are computed from a node's."""
        return tuple(self._users[node])

    def is_result(self, node: Node) -> bool:
        """Whether a value is among those that the forward returns."""
        return node in self._results

    def depends_on_input(self, node: Node) -> bool:
        """Whether a value changes with the input, and not with parameters and positions alone."""
        return node in self._from_input

    def module(self, node: Node) -> nn.Module | None:
        """The module that a node calls."""
        return self._part.modules[node.target] if node.op == "module" else None

    def path(self, node: Node) -> str:
        """The name in the whole of the module, parameter or buffer that a node calls or reads."""
        return f"{self._prefix}{node.target}"

    def is_looked_into(self, node: Node) -> bool:
        """Whether what happens inside a module that a node calls is the matter of other parts."""
        return self.module(node) in self._part.unknown

    def place(self, node: Node) -> str:
        """The path in the whole of the module in whose forward a node stands."""
        return f"{self._prefix}{node.place}".removesuffix(".") or "the model"

    def tensor(self, node: Node) -> torch.Tensor:
        """What a node that reads a parameter or buffer reads."""
        return self._part.constants[node.target]

    def passed_on(self, node: Node) -> Node | None:
        """The value that a node passes on: moved, pooled, dropped at random, or as it is."""
        parents, module, name = self._parents[node], self.module(node), function_name(node)
        if not parents or (parents[0] is not self._first[node] and name not in ADDS):
            return None
        if module is not None:
            passes = isinstance(module, TRANSPARENT_MODULES)
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
        while isinstance(self.module(node), nn.Identity) or function_name(node) in UNCHANGING:
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

    def weight(self, node: Node) -> Node | None:
        """The parameter that a layer written as a function applies: `F.linear(x, self.w)`."""
        name = function_name(node)
        if name in WEIGHT_FUNCTIONS:
            candidates = [node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")]
        elif name in MATRIX_PRODUCTS:
            added = self._parents[node][:1] if name in ("addmm", "baddbmm") else ()
            candidates = [each for each in self._parents[node] if each not in added]
        else:
            return None
        known = (each for each in candidates if isinstance(each, Node) and each in self._index)
        return next((each for each in known if not self.depends_on_input(each)), None)

    def layers(self, node: Node) -> int:
        """Weight layers that a node applies one after the other.

        A block of attention projects in and out. Of what else is one step, all that it holds.
        """
        module = self.module(node)
        if module is None:
            return int(self.weight(node) is not None)
        if opaque_attention_of(module):
            return 2
        if is_weight_layer(module) or is_recurrent(module):
            return 1
        inside = sum(is_weight_layer(each) for each in module.modules())
        unknown = self.is_looked_into(node) and next(module.parameters(), None) is not None
        return inside or int(unknown)

    def is_ancestor(self, node: Node, of: Node) -> bool:
        """Whether a value goes into another, through any number of steps."""
        return any(each is node for each in self._above(of, self._index[node]))

    def ancestors_among(self, candidates: Sequence[Node], of: Node) -> list[Node]:
        """Those of some values that go into one."""
        wanted = set(candidates)
        first = min(self._index[each] for each in candidates)
        found = {each for each in self._above(of, first) if each in wanted}
        return [each for each in candidates if each in found]

    def between(self, start: Node, end: Node) -> list[Node]:
        """The values that come from a start and go into an end, `end` included, in order."""
        first = self._index[start]
        above = sorted((end, *self._above(end, first)), key=self._index.__getitem__)
        inside: dict[Node, None] = {}
        for node in above:
            if any(each is start or each in inside for each in self._parents[node]):
                inside[node] = None
        return list(inside)

    def fork(self, one: Node, other: Node) -> Node | None:
        """The last value that everything in both values comes through, if there is one."""
        return _meet(one, other, *self._dominators)

    def source(self, node: Node) -> Node:
        """The first value that everything in a value comes through; itself, if there is none."""
        immediate, _ = self._dominators
        above = immediate[node]
        while above is not None:
            node, above = above, immediate[above]
        return node

    def weight_layers(self, start: Node, end: Node) -> int:
        """Weight layers on the longest way from one value to another."""
        longest: dict[Node, int] = {}
        for node in self.between(start, end):
            before = max(longest.get(each, 0) for each in self._parents[node])
            longest[node] = before + self.layers(node)
        return longest.get(end, 0)

    def goes_elsewhere(self, node: Node, end: Node) -> bool:
        """Whether a value is used for anything but for what goes into `end`."""
        waiting, seen = [node], {node}
        while waiting:
            each = waiting.pop()
            if each is end:
                continue
            if self._index[each] > self._index[end] or each in self._results:
                return True
            further = [user for user in self._users[each] if user not in seen]
            seen.update(further)
            waiting += further
        return False

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

    def _add(self, node: Node) -> None:
        carried = [each for each in node.all_input_nodes if each in self._index]
        alone = isinstance(node.args[0], Node) if node.args else True
        first = node.all_input_nodes[0] if node.all_input_nodes and alone else None
        if node.op == "output":
            self._results.update(carried)
            return
        if function_name(node) in FIRST_ALONE:
            carried = [each for each in carried if each is first]
        if not _carries(node, first, carried):
            return
        self._first[node] = first
        self._index[node] = len(self._index)
        self._parents[node] = tuple(carried)
        self._users[node] = []
        for each in carried:
            self._users[each].append(node)
        if node.op == "input" or not self._from_input.isdisjoint(carried):
            self._from_input.add(node)

    def _above(self, node: Node, first: int) -> Iterator[Node]:
        """The values that go into one, no further up than an index."""
        waiting, seen = [node], {node}
        while waiting:
            for each in self._parents[waiting.pop()]:
                if each not in seen and self._index[each] >= first:
                    seen.add(each)
                    waiting.append(each)
                    yield each

    @cached_property
    def _dominators(self) -> tuple[dict[Node, Node | None], dict[Node | None, int]]:
        """For each value the nearest one that all its ways from the input lead through, and depths.

        A parameter that joins on the way (a table of relative positions) is no other way.
        """
        immediate: dict[Node, Node | None] = {}
        depth: dict[Node | None, int] = {None: 0}
        for node in self.nodes:
            meeting: Node | None = None
            ways = [each for each in self._parents[node] if each in self._from_input]
            for index, each in enumerate(ways):
                meeting = each if index == 0 else _meet(meeting, each, immediate, depth)
            immediate[node] = meeting
            depth[node] = depth[meeting] + 1
        return immediate, depth


def _carries(node: Node, first: Node | None, carried: list[Node]) -> bool:
    if node.op in ("input", "read"):
        return True
    name = function_name(node)
    if name in NO_DATA or (name == "type" and len(node.args) + len(node.kwargs) < 2):
        return False
    if node.op == "module":
        return True  # a table looked up by position has no data going in, and gives some
    if name in PICKS:  # an index carries no data into what it picks
        return first in carried
    return bool(carried)


def _meet(
    one: Node | None,
    other: Node | None,
    immediate: dict[Node, Node | None],
    depth: dict[Node | None, int],
) -> Node | None:
    """The lowest common node of two in the tree of dominators; None is its root."""
    while one is not other:
        if depth[one] >= depth[other] and one is not None:
            one = immediate[one]
        elif other is not None:
            other = immediate[other]
    return one

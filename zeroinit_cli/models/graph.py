"""A recorded run as a graph of data: what each value comes from.

Only edges that carry tensor data count. Sizes, shapes and what is made from them (`arange`,
`ones_like`) do not: two values are not related by having the same shape.

Searches stay between the two values that they are about, so that a net of many blocks costs what
its blocks cost.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn

from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.forward import Part
from zeroinit_cli.models.nodes import Layout, Node
from zeroinit_cli.models.operations import (
    FIRST_ALONE,
    JOINS,
    MULTI_HEAD,
    NO_DATA,
    PICKS,
    function_name,
)


class Graph:
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

    @property
    def root(self) -> str:
        """The path in the whole of the module that was run."""
        return self._part.path

    @property
    def called_modules(self) -> frozenset[nn.Module]:
        """Every module that was called."""
        return self._part.called

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that carries data, inputs before outputs."""
        return tuple(self._index)

    def parents(self, node: Node) -> tuple[Node, ...]:
        """The values that a node computes its own from."""
        return self._parents[node]

    def position(self, node: Node) -> int:
        """A node's place among all that carry data."""
        return self._index[node]

    def carries(self, node: Node) -> bool:
        """Whether a node is one of these that carry data."""
        return node in self._index

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

    def path(self, node: Node) -> str:
        """The name in the whole of the module, parameter or buffer that a node calls or reads."""
        return f"{self._prefix}{node.target}"

    def called(self, node: Node) -> str:
        """What to call a node in a sentence: by the layer that it is alone in, or its function."""
        layer = self.module(node)
        return f"{self.layer(node)} ({type_name(layer)})" if layer else function_name(node)

    def layer(self, node: Node) -> str:
        """The path of the layer that a node is alone in, or the name of its function."""
        path = node.target if node.op == "module" else node.place
        return f"{self._prefix}{path}" if self.module(node) else function_name(node)

    def module(self, node: Node) -> nn.Module | None:
        """The layer that a node is alone in, or that is passed over; None for what is no such."""
        path = node.target if node.op == "module" else node.place
        module = self._part.modules.get(path) if path else None
        alone = node.op == "module" or function_name(node) == MULTI_HEAD
        if module is None or not (alone or next(module.children(), None) is None):
            return None
        return module

    def layout(self, node: Node) -> Layout | None:
        """How the value of a node lies in memory, of a view in that of what it is a view of."""
        return self._part.layouts.get(node)

    def place(self, node: Node) -> str:
        """The path in the whole of the module in whose forward a node stands."""
        return f"{self._prefix}{node.place}".removesuffix(".") or "the model"

    def tensor(self, node: Node) -> torch.Tensor:
        """What a node that reads a parameter or buffer reads."""
        return self._part.constants[node.target]

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

    def dominator(self, node: Node) -> Node | None:
        """The nearest value that everything in a value comes through, if there is one."""
        return self._dominators[0][node]

    def source(self, node: Node) -> Node:
        """The first value that everything in a value comes through; itself, if there is none."""
        immediate, _ = self._dominators
        above = immediate[node]
        while above is not None:
            node, above = above, immediate[above]
        return node

    def goes_elsewhere(self, node: Node, *ends: Node) -> bool:
        """Whether a value is used for anything but for what goes into some ends.

        What is written back into a whole that nothing reads any more is no use.
        """
        last = max(self._index[each] for each in ends)
        waiting, seen = [node], {node}
        while waiting:
            each = waiting.pop()
            is_result = each in self._results
            is_unread = function_name(each) == "setitem" and not self._users[each]
            if each in ends or (is_unread and not is_result):
                continue
            if self._index[each] > last or is_result:
                return True
            further = [user for user in self._users[each] if user not in seen]
            seen.update(further)
            waiting += further
        return False

    def _add(self, node: Node) -> None:
        carried = [each for each in node.all_input_nodes if each in self._index]
        alone = isinstance(node.args[0], Node) if node.args else True
        first = node.all_input_nodes[0] if node.all_input_nodes and alone else None
        if node.op == "output":
            self._results.update(carried)
            return
        changes = node.op == "input" or not self._from_input.isdisjoint(carried)
        if function_name(node) in JOINS:  # a cache begins with what is empty
            carried = [each for each in carried if not self._is_empty(each)]
        if function_name(node) in FIRST_ALONE or (function_name(node) in PICKS and first):
            carried = [each for each in carried if each is first]
        if not _carries(node, first, carried):
            return
        self._first[node] = first
        self._index[node] = len(self._index)
        self._parents[node] = tuple(carried)
        self._users[node] = []
        for each in carried:
            self._users[each].append(node)
        if changes:
            self._from_input.add(node)

    def _is_empty(self, node: Node) -> bool:
        layout = self._part.layouts.get(node)
        return layout is not None and 0 in layout.shape

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
        return True  # what it gives may come from its parameters alone
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

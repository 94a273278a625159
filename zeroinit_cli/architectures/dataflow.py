"""A traced graph as a flow of data: what each value comes from, and through which layers.

Only edges that carry tensor data count. Sizes, shapes and what is made from them (`arange`,
`ones_like`) do not: two values are not related by having the same shape.
"""

import operator
from functools import cached_property

from torch import fx, nn

from zeroinit_cli.architectures.attention import composite_of, opaque_attention_of
from zeroinit_cli.architectures.classes import is_weight_layer
from zeroinit_cli.architectures.tracing import Part


def words(text: str) -> frozenset[str]:
    """The words of a text, for long sets of names."""
    return frozenset(text.split())


_NO_DATA = words(
    "_assert arange device dim dtype empty empty_like eye full full_like is_floating_point len "
    "ndim numel ones ones_like shape size type zeros zeros_like"
)
_WRAPPED_IN_PLACE = frozenset({"_add_shortcut"})
"""Functions of torchvision that fx does not look into and that write into their first argument."""

Node = fx.Node


class DataFlow:
    """The data edges of one traced part.

    Args:
        part: the part; node names and module paths below are those of the whole module.
    """

    def __init__(self, part: Part):
        self._modules = dict(part.module.named_modules())
        self._prefix = f"{part.path}." if part.path else ""
        self._part = part
        self._parents: dict[Node, tuple[Node, ...]] = {}
        self._carries: dict[Node, bool] = {}
        current: dict[Node, Node] = {}  # what a value is now, after writes in place
        for node in part.graph.nodes:
            arguments = [current.get(each, each) for each in node.all_input_nodes]
            self._carries[node] = self._carries_data(node, arguments)
            self._parents[node] = tuple(each for each in arguments if self._carries[each])
            if self._writes(node) and arguments:
                current[node.all_input_nodes[0]] = node

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that carries data, inputs before outputs."""
        return tuple(node for node in self._part.graph.nodes if self._carries[node])

    def parents(self, node: Node) -> tuple[Node, ...]:
        """The values that a node computes its own from."""
        return self._parents[node]

    def module(self, node: Node) -> nn.Module | None:
        """The module that a node calls."""
        return self._modules[str(node.target)] if node.op == "call_module" else None

    def module_path(self, node: Node) -> str:
        """The path in the whole of the module that a node calls."""
        return f"{self._prefix}{node.target}"

    def parameter_path(self, node: Node) -> str:
        """The path in the whole of the parameter or buffer that a node reads."""
        return f"{self._prefix}{node.target}"

    def place(self, node: Node) -> str:
        """The path in the whole of the module in whose forward a node stands."""
        stack = list(node.meta.get("nn_module_stack", {}).values())
        if node.op == "call_module":
            stack = stack[:-1]
        inner = stack[-1][0] if stack else ""
        return f"{self._prefix}{inner}".removesuffix(".") or "the model"

    def is_weight_layer(self, node: Node) -> bool:
        """Whether a node applies a weight, a block of attention included."""
        module = self.module(node)
        return module is not None and bool(
            is_weight_layer(module) or opaque_attention_of(module) or composite_of(module)
        )

    def depends_on_input(self, node: Node) -> bool:
        """Whether a value changes with the input, and not with parameters and positions alone."""
        return node in self._from_input

    def is_ancestor(self, node: Node, of: Node) -> bool:
        """Whether a value goes into another, through any number of steps."""
        return node in self._ancestors[of]

    def fork(self, one: Node, other: Node) -> Node | None:
        """The last value that everything in both values comes through, if there is one."""
        above = set(self._dominators(one))
        return next((node for node in self._dominators(other) if node in above), None)

    def between(self, fork: Node, end: Node) -> set[Node]:
        """The values that come from a fork and go into `end`, `end` included."""
        return {node for node in (*self._ancestors[end], end) if self.is_ancestor(fork, node)}

    def weight_layers(self, fork: Node, end: Node) -> int:
        """Weight layers on the longest way from a fork to a value."""
        inside = self.between(fork, end)
        longest: dict[Node, int] = {}
        for node in self.nodes:
            if node in inside:
                before = max((longest.get(each, 0) for each in self.parents(node)), default=0)
                longest[node] = before + self.is_weight_layer(node)
        return longest.get(end, 0)

    @cached_property
    def _ancestors(self) -> dict[Node, set[Node]]:
        ancestors: dict[Node, set[Node]] = {}
        for node in self._part.graph.nodes:
            parents = self._parents[node]
            ancestors[node] = set(parents).union(*(ancestors[each] for each in parents))
        return ancestors

    @cached_property
    def _from_input(self) -> set[Node]:
        """The values that depend on the input, and not on parameters and positions alone."""
        found: set[Node] = set()
        for node in self.nodes:
            if node.op == "placeholder" or not found.isdisjoint(self._parents[node]):
                found.add(node)
        return found

    @cached_property
    def _immediate_dominator(self) -> dict[Node, Node | None]:
        """For each value the nearest one that all its ways from the input lead through.

        A parameter that joins on the way (a table of relative positions) is no other way.
        """
        depth: dict[Node | None, int] = {None: 0}
        immediate: dict[Node, Node | None] = {}
        for node in self.nodes:
            meeting: Node | None = None
            ways = [each for each in self._parents[node] if each in self._from_input]
            for index, each in enumerate(ways):
                meeting = each if index == 0 else _meet(meeting, each, immediate, depth)
            immediate[node] = meeting
            depth[node] = depth[meeting] + 1
        return immediate

    def _dominators(self, node: Node) -> list[Node]:
        """A value and those that dominate it, nearest first."""
        chain: list[Node] = []
        current: Node | None = node
        while current is not None:
            chain.append(current)
            current = self._immediate_dominator[current]
        return chain

    def _carries_data(self, node: Node, arguments: list[Node]) -> bool:
        if node.op in ("placeholder", "get_attr"):
            return True
        if node.op == "output" or function_name(node) in _NO_DATA:
            return False
        if node.op == "call_module":
            return True  # a table looked up by position has no data going in, and gives some
        if node.target is operator.getitem:  # an index carries no data into what it picks
            return self._carries[arguments[0]]
        return any(self._carries[each] for each in arguments)

    @staticmethod
    def _writes(node: Node) -> bool:
        """Whether a node changes its first argument, so that later uses of that see the change."""
        if node.op == "call_method":
            return str(node.target).endswith("_") and not str(node.target).endswith("__")
        return node.op == "call_function" and function_name(node) in _WRAPPED_IN_PLACE


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


def function_name(node: Node) -> str:
    """What a node does: a function's or method's name without the mark of writing in place."""
    if node.op == "call_function":
        if node.target is getattr:
            return str(node.args[1])
        return getattr(node.target, "__name__", str(node.target))
    if node.op == "call_method":
        return str(node.target).rstrip("_")
    return node.op

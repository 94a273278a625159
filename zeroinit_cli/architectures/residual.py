"""Which adds are residual, and what ends each residual branch.

An add is residual if one operand is a data ancestor of the other, or if both leave one fork, each
through layers of its own, and their counts of weight layers differ: the longer is the branch, and
a shortcut has at most one. Not residual are sums of products (a GRU's gates), of equal paths, of
values from different forks (token and position embeddings), and of paths of which one alone is
resized on the way (a feature pyramid, LRASPP: two maps of different depth, not a block).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from torch import nn

from zeroinit_cli.architectures.attention import opaque_attention_of
from zeroinit_cli.architectures.classes import (
    TRANSPOSED_CONVOLUTION,
    is_norm,
    is_weight_layer,
    type_name,
)
from zeroinit_cli.architectures.dataflow import DataFlow, Node, function_name, words

_ADDS = frozenset({"add", "iadd", "_add_shortcut"})
_PRODUCTS = frozenset({"mul", "imul"})
_RESIZING = frozenset({"interpolate", "upsample"})
_TRANSPARENT = words(
    "_squeeze _unsqueeze adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d "
    "avg_pool2d avg_pool3d chunk clone contiguous dropout dropout1d dropout2d dropout3d "
    "drop_block2d drop_block3d expand flatten flip getitem max_pool1d max_pool2d max_pool3d mean "
    "movedim narrow neg permute reshape roll split squeeze stochastic_depth swapaxes t to "
    "transpose unbind unflatten unsqueeze view"
)
_TRANSPARENT_MODULES = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.Flatten,
    nn.Unflatten,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)
_DEAD_AT_ZERO = frozenset({"relu", "relu6", "hardshrink", "softshrink", "threshold"})
_ALIVE_AT_ZERO = words(
    "celu elu gelu glu hardswish hardtanh leakyrelu mish prelu rrelu selu silu softsign "
    "tanh tanhshrink"
)
_GATES = frozenset({"sigmoid", "hardsigmoid", "softmax", "tanh", "relu", "silu", "gelu"})


class AddClass(StrEnum):
    """What an add is, in words."""

    IDENTITY = "residual: one operand goes into the other"
    FORK = "residual: both leave one fork, one by a longer way"
    PARAMETER = "not residual: adds a parameter"
    PRODUCTS = "not residual: adds products"
    FORKS = "not residual: the operands come from different forks"
    RESIZED = "not residual: one of the ways is resized before it is added"
    EQUAL = "not residual: both ways have as many weight layers"
    TWO_BRANCHES = "not residual: each way has several weight layers"

    @property
    def is_residual(self) -> bool:
        """Whether the add closes a residual branch."""
        return self.value.startswith("residual")


@dataclass(frozen=True, kw_only=True, slots=True)
class Add:
    """An add of two values.

    Attributes:
        place: the module in whose forward it stands.
        node: its name in the graph.
        kind: what it is.
        branch: the operand that is the branch, if it is residual.
    """

    place: str
    node: Node
    kind: AddClass
    branch: Node | None


class StepKind(StrEnum):
    """What a branch goes through on its way to the add."""

    NORM = "norm"
    WEIGHT = "weight layer"
    ATTENTION = "attention"
    SCALE = "layer scale"
    DEAD = "activation that is dead at 0"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a branch, seen from the add backwards; what does not matter is left out.

    Attributes:
        kind: what it is.
        path: of its module or parameter, or the name of an operation.
        name: what to call it in a sentence.
    """

    kind: StepKind
    path: str
    name: str


def find_adds(flow: DataFlow) -> Iterator[Add]:
    """Every add of two values in a graph, classified."""
    for node in flow.nodes:
        if _is_add(flow, node):
            kind, branch = _classify(flow, node)
            yield Add(place=flow.place(node), node=node, kind=kind, branch=branch)


def _is_add(flow: DataFlow, node: Node) -> bool:
    return function_name(node) in _ADDS and len(flow.parents(node)) == 2


def _classify(flow: DataFlow, node: Node) -> tuple[AddClass, Node | None]:
    one, other = flow.parents(node)
    for ancestor, branch in ((one, other), (other, one)):
        if flow.is_ancestor(ancestor, branch):
            return AddClass.IDENTITY, branch
    if "get_attr" in (one.op, other.op):
        return AddClass.PARAMETER, None
    if all(function_name(each) in _PRODUCTS for each in (one, other)):
        return AddClass.PRODUCTS, None
    fork = flow.fork(one, other)
    if fork is None:
        return AddClass.FORKS, None
    if len({_resizes(flow, flow.between(fork, each)) for each in (one, other)}) > 1:
        return AddClass.RESIZED, None
    counts = [flow.weight_layers(fork, each) for each in (one, other)]
    if counts[0] == counts[1]:
        return AddClass.EQUAL, None
    if min(counts) > 1:
        return AddClass.TWO_BRANCHES, None
    return AddClass.FORK, one if counts[0] > counts[1] else other


def _resizes(flow: DataFlow, way: set[Node]) -> bool:
    return any(
        function_name(node) in _RESIZING
        or isinstance(flow.module(node), nn.Upsample | TRANSPOSED_CONVOLUTION)
        for node in way
    )


def branch_steps(flow: DataFlow, add: Add) -> list[Step]:
    """What a branch goes through, from the add backwards up to its last weight layer."""
    steps: list[Step] = []
    node = add.branch
    while node is not None:
        step, before = _step(flow, node)
        if step is not None:
            steps.append(step)
            if step.kind in (StepKind.WEIGHT, StepKind.ATTENTION, StepKind.UNKNOWN):
                break
        node = before
    return steps


def _step(flow: DataFlow, node: Node) -> tuple[Step | None, Node | None]:
    """What a node means for a branch, and the node before it."""
    parents = flow.parents(node)
    before = parents[0] if parents else None
    module = flow.module(node)
    if module is not None:
        return _module_step(flow, node, module), before
    name = function_name(node)
    if name in _PRODUCTS:
        return _product_step(flow, node)
    if name in ("div", "truediv") and len(parents) == 1:
        return None, before
    if name in _TRANSPARENT:
        return None, before
    return _operation_step(name), before


def _operation_step(name: str) -> Step | None:
    if name in _DEAD_AT_ZERO:
        return Step(kind=StepKind.DEAD, path=name, name=name)
    if name.replace("_", "") in _ALIVE_AT_ZERO:
        return None
    return Step(kind=StepKind.UNKNOWN, path=name, name=name)


def _module_step(flow: DataFlow, node: Node, module: nn.Module) -> Step | None:
    path = flow.module_path(node)
    name = f"{path} ({type_name(module)})"
    if opaque_attention_of(module):
        return Step(kind=StepKind.ATTENTION, path=path, name=name)
    if is_weight_layer(module):
        return Step(kind=StepKind.WEIGHT, path=path, name=name)
    if is_norm(module):
        return Step(kind=StepKind.NORM, path=path, name=name)
    if isinstance(module, _TRANSPARENT_MODULES):
        return None
    activation = type_name(module).lower()
    if activation in _DEAD_AT_ZERO:
        return Step(kind=StepKind.DEAD, path=path, name=name)
    if activation in _ALIVE_AT_ZERO:
        return None
    return Step(kind=StepKind.UNKNOWN, path=path, name=name)


def _product_step(flow: DataFlow, node: Node) -> tuple[Step | None, Node | None]:
    """A product with a number, a layer scale, or a gate, which is not the way to follow."""
    parents = flow.parents(node)
    if len(parents) < 2:
        return None, parents[0] if parents else None
    one, other = parents
    for scale, rest in ((one, other), (other, one)):
        if scale.op == "get_attr":
            path = flow.parameter_path(scale)
            return Step(kind=StepKind.SCALE, path=path, name=path), rest
    return None, other if _is_gate(flow, one, other) else one


def _is_gate(flow: DataFlow, node: Node, other: Node) -> bool:
    """The operand that is computed from the other, or that comes out of a squashing function."""
    if flow.is_ancestor(other, node):
        return True
    module = flow.module(node)
    name = type_name(module).lower() if module is not None else function_name(node)
    return name in _GATES and not flow.is_ancestor(node, other)

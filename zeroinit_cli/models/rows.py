"""Which rows of a weight go into a value: the weight's outputs, followed by their numbers."""

import math
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    JOINS,
    UNCHANGING,
    argument,
    function_name,
    letters_of,
    words,
)

MOVES = UNCHANGING | words(
    "T chunk expand flatten flip getitem mT moveaxis movedim narrow permute ravel repeat "
    "repeat_interleave reshape roll select split split_with_sizes squeeze swapaxes swapdims t "
    "tensor_split transpose unbind unflatten unsqueeze view"
)
"""Functions that give entries of what they are given, in some order."""

Rows = frozenset[int]


def rows_of(flow: DataFlow, layer: Node, parameter: nn.Parameter, value: Node) -> Rows | None:
    """Which rows of a layer's weight go into a value; None if all do.

    A row is what gives one output, whichever dimension of the parameter these lie in. The moves
    between are made with the numbers of the rows in place of their values.

    Args:
        flow: the graph.
        layer: the function that applies the weight.
        parameter: the weight, all of it.
        value: what comes from it.
    """
    weight = flow.weight(layer)
    numbers = None if weight is None else _numbered(flow, layer, weight)
    if weight is None or numbers is None:
        return None
    outputs, count = _numbers(_followed(flow, layer, numbers, value)), len(_numbers(numbers))
    layout = flow.layout(weight)
    if layout is not None and math.prod(layout.shape) < parameter.numel():
        places, count = _places(flow, layer, weight, parameter)
        outputs = frozenset(places[each] for each in outputs if places)
    return outputs if 0 < len(outputs) < count else None


def rows_apart(
    flow: DataFlow, layer: Node, parameter: nn.Parameter, value: Node, end: Node
) -> tuple[int, int] | None:
    """The rows of a layer's weight that go into a value alone, where others go elsewhere.

    Args:
        flow: the graph.
        layer: the function that applies the weight.
        parameter: the weight.
        value: what comes from it.
        end: what the value goes into.

    Returns:
        The first of them and the one after the last; None if they are all, no range, or not alone.
    """
    if not _is_plain_matrix(flow, layer, parameter):
        return None
    while (before := flow.passed_on(value)) is not None and not flow.goes_elsewhere(before, end):
        value = before
    if before is not layer:
        return None
    own, *others = (
        rows_of(flow, layer, parameter, each)
        for each in (value, *(user for user in flow.users(layer) if user is not value))
    )
    if own is None or any(rows is None or not own.isdisjoint(rows) for rows in others):
        return None
    first, last = min(own), max(own)
    return (first, last + 1) if len(own) == last + 1 - first else None


def _is_plain_matrix(flow: DataFlow, layer: Node, parameter: nn.Parameter) -> bool:
    """Whether a layer applies a parameter as one matrix (fan_out, fan_in), at every place alike."""
    name, weight = function_name(layer), flow.weight(layer)
    grouped = name != "linear" and argument(layer, 6, "groups") not in (None, 1)
    is_plain = name in ("linear", "conv1d", "conv2d", "conv3d") and not grouped
    is_itself = weight is not None and flow.parameter(weight) is parameter
    return is_plain and is_itself and math.prod(parameter.shape[2:]) == 1


def count_of_outputs(flow: DataFlow, layer: Node, value: Node) -> int | None:
    """How many of a layer's outputs, for each position, go into a value; None if it is no layer."""
    weight = flow.weight(layer)
    numbers = None if weight is None else _numbered(flow, layer, weight)
    return None if numbers is None else len(_numbers(_followed(flow, layer, numbers, value)))


def is_one_matrix(flow: DataFlow, layer: Node) -> bool:
    """Whether a layer's weight is one matrix in memory: what is summed lies first or last in it."""
    weight = flow.weight(layer)
    if weight is None or function_name(layer) != "einsum":
        return True
    own, _, output = letters_of(layer, weight)
    inner = own.strip("".join(letter for letter in own if letter not in output))
    return len(inner) < len(own) and all(letter in output for letter in inner)


def _places(
    flow: DataFlow, layer: Node, weight: Node, parameter: nn.Parameter
) -> tuple[list[int], int]:
    """The rows of a parameter that a part of it holds, in order, and how many it has."""
    origin = flow.origin(weight)
    flat = torch.arange(parameter.numel()).view(parameter.shape)
    part = _followed(flow, origin, flat, weight)
    if not isinstance(part, torch.Tensor) or part.ndim != 2 or flat.ndim != 2:
        return [], 0
    if not function_name(layer).startswith(("linear", "conv")):
        part = part if flow.factors(layer)[0] is weight else part.T
    height, width = flat.shape
    by_row = part // width
    if bool((by_row == by_row[:, :1]).all()):
        return by_row[:, 0].tolist(), height
    return (part[:, 0] % width).tolist(), width


def _numbered(flow: DataFlow, layer: Node, weight: Node) -> torch.Tensor | None:
    """A layer's outputs, each by its number among those that the weight gives."""
    layout, shape_of_weight = flow.layout(layer), flow.layout(weight)
    if layout is None or shape_of_weight is None:
        return None
    if function_name(layer) == "einsum":
        return _numbered_by_letters(layer, weight, layout.shape, shape_of_weight.shape)
    dimension = _dimension_of_outputs(flow, layer, weight)
    shape = [1] * len(layout.shape)
    shape[dimension] = layout.shape[dimension]
    return torch.arange(shape[dimension], dtype=torch.int32).view(shape).expand(layout.shape)


def _dimension_of_outputs(flow: DataFlow, layer: Node, weight: Node) -> int:
    """The dimension in which a layer's outputs lie: the last, but for kernels and W @ x."""
    name = function_name(layer)
    data = flow.data(layer)
    shape = flow.layout(weight)
    if name.startswith("conv") and shape is not None:
        return 1 - len(shape.shape)
    if name == "linear" or data is None or flow.factors(layer)[0] is not weight:
        return -1
    moved = flow.layout(data)
    return -1 if moved is not None and len(moved.shape) == 1 else -2


def _numbered_by_letters(
    layer: Node, weight: Node, shape: tuple[int, ...], shape_of_weight: tuple[int, ...]
) -> torch.Tensor | None:
    """The outputs of an einsum: what goes on from the weight alone, in the weight's own order."""
    own, others, output = letters_of(layer, weight)
    sizes = dict(zip(own, shape_of_weight, strict=False))
    given = [letter for letter in own if letter in output and letter not in others]
    if not given or "." in own:
        return None
    before, dots, after = output.partition("...")
    axes = {letter: axis for axis, letter in enumerate(before)}
    axes |= {letter: axis - len(after) for axis, letter in enumerate(after)} if dots else {}
    numbers = torch.arange(math.prod(sizes[each] for each in given))
    numbers = numbers.view([sizes[each] for each in given])
    order = sorted(given, key=lambda letter: axes[letter] % len(shape))
    numbers = numbers.permute([given.index(letter) for letter in order])
    full = [1] * len(shape)
    for letter in given:
        full[axes[letter]] = sizes[letter]
    return numbers.reshape(full).to(torch.int32).expand(shape)


def _followed(flow: DataFlow, start: Node, numbers: torch.Tensor, end: Node) -> Any:
    """What becomes of a value's entries on the way to another; only which there are, if no moves.

    Args:
        flow: the graph.
        start: the value.
        numbers: in place of its entries.
        end: what comes from it, or itself.
    """
    known: dict[Node, Any] = {start: numbers}
    for node in flow.between(start, end) if end is not start else ():
        inside = [known[each] for each in flow.parents(node) if each in known]
        moved = _moved(flow, node, known) if len(inside) == 1 else None
        known[node] = moved if moved is not None else frozenset().union(*map(_numbers, inside))
    return known[end]


def _moved(flow: DataFlow, node: Node, known: dict[Node, Any]) -> Any:
    """What a move gives of numbers, or of several tensors of them; None if it is no move."""
    name = function_name(node)
    if flow.passed_on(node) is not None and name in JOINS:
        return known.get(flow.parents(node)[0])
    inputs = [known.get(each) for each in node.all_input_nodes]
    if name not in MOVES or not isinstance(inputs[0], torch.Tensor | tuple | list):
        return None
    if name in UNCHANGING:
        return inputs[0]
    if len(inputs) > 1 or node.function is None:
        return None
    args, kwargs = tree_map_only(Node, known.__getitem__, (node.args, dict(node.kwargs)))
    try:
        return node.function(*args, **kwargs)
    except Exception:  # noqa: BLE001 - any function may stand there, and refuse its arguments
        return None


def _numbers(value: Any) -> Rows:
    if isinstance(value, frozenset):
        return value
    if isinstance(value, tuple | list):
        return frozenset().union(*map(_numbers, value))
    # Where all positions hold the same numbers, one of them is enough.
    one = value[tuple(slice(None) if step else 0 for step in value.stride())].reshape(-1)
    if not one.numel():
        return frozenset()
    seen = torch.zeros(int(one.max()) + 1, dtype=torch.bool)
    seen[one] = True  # faster than `unique`, which sorts
    return frozenset(seen.nonzero()[:, 0].tolist())

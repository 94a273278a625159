"""Last layers: those whose output no other weight layer and no sum reads."""

from collections.abc import Iterable, Iterator

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import function_name
from zeroinit_cli.models.residual import Add


def heads(flow: DataFlow, adds: Iterable[Add]) -> Iterator[Node]:
    """Last weight layers that give an output by themselves, in order.

    One that is added to another value is none, as LoRA's are.
    """
    added = _added(flow, adds)
    return (node for node in _last_layers(flow) if node not in added)


def head_weights(flows: Iterable[tuple[DataFlow, tuple[Add, ...]]]) -> Iterator[nn.Parameter]:
    """The weights of linear heads; a last convolution of 0 is meant, as ControlNet's are."""
    for flow, adds in flows:
        for node in heads(flow, adds):
            weight = flow.weight(node) if function_name(node) == "linear" else None
            parameter = flow.parameter(weight) if weight is not None else None
            if parameter is not None:
                yield parameter


def _last_layers(flow: DataFlow) -> list[Node]:
    """Weight layers behind which there is no other, in order."""
    last: list[Node] = []
    followed: set[Node] = set()
    for node in reversed(flow.nodes):
        if flow.layers(node) and node not in followed:
            last.append(node)
        if flow.layers(node) or node in followed:
            followed.update(flow.parents(node))
    return last[::-1]


def _added(flow: DataFlow, adds: Iterable[Add]) -> set[Node]:
    """What adds are computed from, up to the next weight layers."""
    waiting = [parent for add in adds for parent in flow.parents(add.node)]
    found: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if not flow.layers(node):
                waiting += flow.parents(node)
    return found

"""The convolutions that read the net's input."""

from collections.abc import Iterable, Iterator, Mapping

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import function_name


def find_stems(flows: Iterable[DataFlow], names: Mapping[int, str]) -> frozenset[str]:
    """Name the kernels that read the net's input, with no parameter on the way.

    So normalization, padding and pixels moved into channels do not count. A kernel that reads what
    layers gave, too, is none. Where the net's own
    forward shows no layer, its first part that has one is taken to read the input.
    """
    flows = list(flows)
    again = _names((each for flow in flows for each in _reading(flow, stems=False)), names)
    whole = [flow for flow in flows if not flow.root]
    if not any(flow.layers(node) for flow in whole for node in flow.nodes):
        parts = (flow for flow in flows if any(map(flow.layers, flow.nodes)))
        whole = [flow for flow in (next(parts, None),) if flow is not None]
    return _names((each for flow in whole for each in _reading(flow)), names) - again


def _reading(flow: DataFlow, *, stems: bool = True) -> Iterator[nn.Parameter]:
    """The kernels that an input reaches through functions without parameters, or all others."""
    plain: set[Node] = set()
    for node in flow.nodes:
        if node.op == "read":
            is_plain = not isinstance(flow.tensor(node), nn.Parameter)
        else:
            is_plain = node.op == "input" or (
                node.op == "function" and plain.issuperset(flow.parents(node))
            )
        if is_plain:
            plain.add(node)
        kernel = _kernel(flow, node)
        if kernel is not None and (flow.data(node) in plain) is stems:
            yield kernel


def _kernel(flow: DataFlow, node: Node) -> nn.Parameter | None:
    """The weight of a convolution."""
    is_one = node.op == "function" and function_name(node).startswith("conv")
    weight = flow.weight(node) if is_one else None
    return None if weight is None else flow.map_behind(weight)


def _names(parameters: Iterable[nn.Parameter], names: Mapping[int, str]) -> frozenset[str]:
    return frozenset(names[id(each)] for each in parameters if id(each) in names)

"""Weights under weight norm: what gives the lengths of their slices."""

from collections.abc import Iterable, Mapping

from torch import nn

from zeroinit_cli.models.classes import is_named
from zeroinit_cli.models.dataflow import DataFlow


def find_lengths(
    module: nn.Module, flows: Iterable[DataFlow], names: Mapping[int, str]
) -> dict[str, tuple[str, int]]:
    """The lengths of each such weight, by name: the name of its directions, and the dimension.

    Args:
        module: whose parametrizations are looked at, too: no run may reach some.
        flows: the graphs.
        names: id of a parameter -> its name.
    """
    found: dict[str, tuple[str, int]] = {}
    for path, each in module.named_modules():
        if is_named(each, "torch.nn.utils.parametrizations._WeightNorm"):
            weight = path.rpartition(".")[0]
            found[f"{weight}.original0"] = f"{weight}.original1", getattr(each, "dim", 0)
    for flow in flows:
        for node in flow.nodes:
            known = flow.directions(node)
            if known is not None and id(known[0]) in names and id(known[1]) in names:
                found[names[id(known[1])]] = names[id(known[0])], known[2]
    return found

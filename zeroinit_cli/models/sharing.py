"""How often the layers and parameters of a module are applied: a zero must not reach further."""

from collections import Counter
from collections.abc import Iterable

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow


class Uses:
    """Counts of the uses of modules and parameters in all graphs of a module.

    Args:
        module: the whole.
        flows: its graphs.
    """

    def __init__(self, module: nn.Module, flows: Iterable[DataFlow]):
        self._counts: Counter[int] = Counter()
        called: set[int] = set()
        for flow in flows:
            for node in flow.nodes:
                layer = None if flow.is_looked_into(node) else flow.module(node)
                if layer is not None:
                    self._counts[id(layer)] += 1
                    self._counts.update(id(each) for each in layer.parameters())
                    called.update(id(each) for each in layer.modules())
                elif node.op == "read":
                    self._counts[id(flow.tensor(node))] += len(flow.users(node))
        self._count_ties(module, called)

    def of(self, thing: nn.Module | nn.Parameter) -> int:
        """How often a module is called, or a parameter applied."""
        return self._counts[id(thing)]

    def _count_ties(self, module: nn.Module, called: set[int]) -> None:
        """A second owner of a parameter uses it too, even where no graph shows how."""
        owners = [
            (id(owner), id(parameter))
            for owner in module.modules()
            for parameter in owner.parameters(recurse=False)
        ]
        times = Counter(parameter for _, parameter in owners)
        for owner, parameter in owners:
            if times[parameter] > 1 and owner not in called:
                self._counts[parameter] += 1

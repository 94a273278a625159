"""How often the parameters of a module are applied: a zero must not reach further."""

from collections import Counter
from collections.abc import Iterable

from torch import nn

from zeroinit_cli.models.dataflow import DataFlow


class Uses:
    """Counts of the uses of parameters in all graphs of a module.

    Args:
        module: the whole.
        flows: its graphs.
    """

    def __init__(self, module: nn.Module, flows: Iterable[DataFlow]):
        self._counts: Counter[int] = Counter()
        called: set[nn.Module] = set()
        for flow in flows:
            called |= flow.called_modules
            for node in flow.nodes:
                if node.op == "read":
                    self._counts[id(flow.tensor(node))] += len(flow.users(node))
        self._count_ties(module, called)

    def of(self, parameter: nn.Parameter) -> int:
        """Count how often a parameter is applied."""
        return self._counts[id(parameter)]

    def _count_ties(self, module: nn.Module, called: set[nn.Module]) -> None:
        """Count a second owner of a parameter, even where no graph shows how it uses it."""
        owners = [
            (owner, id(parameter))
            for owner in module.modules()
            for parameter in owner.parameters(recurse=False)
        ]
        times = Counter(parameter for _, parameter in owners)
        for owner, parameter in owners:
            if times[parameter] > 1 and owner not in called:
                self._counts[parameter] += 1

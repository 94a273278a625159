"""What puts layers together: skips, branches side by side, several inputs."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """y = body(x) + shortcut(x).

    Args:
        body: the branch.
        shortcut: what x goes through; None for x itself.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Shapes are the layers' own."""
        y: Tensor = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return y


class Parallel(nn.Module):
    """Branches on one input, joined.

    Args:
        branches: by name, in the order in which they are joined.
        join: `cat`, `add` or `mul`.
        dim: for `cat`, along which dimension.
    """

    def __init__(self, branches: "OrderedDict[str, nn.Module]", *, join: str, dim: int):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.join = join
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Shapes are the branches' own."""
        return self._joined([branch(x) for branch in self.children()])

    def _joined(self, values: Sequence[Tensor]) -> Tensor:
        if self.join == "cat":
            return torch.cat(list(values), dim=self.dim)
        if self.join == "add":
            return reduce(torch.add, values)
        return reduce(torch.mul, values)


class Towers(Parallel):
    """Branches, each on an input of its own, joined. Two to four of them."""

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        third: Tensor | None = None,
        fourth: Tensor | None = None,
    ) -> Tensor:
        """Inputs in the order of the branches."""
        inputs = (first, second, third, fourth)
        # as many inputs as branches, not the other way round: a trace hands over all four
        return self._joined([branch(x) for branch, x in zip(self.children(), inputs, strict=False)])


class SeveralInputs(nn.Sequential):
    """Towers, and layers behind them."""

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        third: Tensor | None = None,
        fourth: Tensor | None = None,
    ) -> Tensor:
        """Inputs in the order of the towers."""
        towers, *rest = self
        x: Tensor = towers(first, second, third, fourth)
        for layer in rest:
            x = layer(x)
        return x

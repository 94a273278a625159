"""Which parameters have no gradient in a few steps."""

import pytest
import torch
from torch import nn

from tests.outside.steps import NotFiniteError, without_gradient


class Pair(nn.Module):
    """A product of two layers, and one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        return {"both": [self.g(self.f(x))], "ids": torch.arange(3), "none": None}


def test_two_zeros_in_a_row_never_learn_and_one_does() -> None:
    x = torch.ones(2, 4)
    torch.manual_seed(0)
    unused = ["unused.weight", "unused.bias"]
    assert without_gradient(Pair(), x) == unused
    net = Pair()
    nn.init.zeros_(net.g.weight)  # f learns from the second step on
    assert without_gradient(net, x) == unused
    for name in ("f.weight", "f.bias", "g.weight"):
        nn.init.zeros_(net.get_parameter(name))
    net.g.bias.requires_grad_(False)  # which is not counted
    assert without_gradient(net, x) == ["f.weight", "f.bias", "g.weight", *unused]


def test_what_is_not_finite_is_named() -> None:
    net = Pair()
    nn.init.constant_(net.f.weight, float("nan"))
    with pytest.raises(NotFiniteError, match=r"step 0: f\.weight, f\.bias, g\.weight"):
        without_gradient(net, torch.ones(2, 4))

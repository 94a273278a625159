"""What an activation before the add does to the end of a branch."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Around,
    Written,
    ends,
    obstacles,
)
from tests.models.convolutions import conv


@pytest.mark.parametrize(
    ("activation", "dead"),
    [
        (nn.ReLU(), True),
        (nn.ReLU6(), True),
        (nn.Hardtanh(0.0, 6.0), True),
        (nn.Softshrink(), True),
        (nn.Hardshrink(), True),
        (nn.Threshold(0.0, 0.0), True),
        (nn.Tanhshrink(), True),
        (nn.GELU(), False),
        (nn.SiLU(), False),
        (nn.Mish(), False),
        (nn.Hardswish(), False),
        (nn.LeakyReLU(), False),
        (nn.PReLU(), False),
        (nn.ELU(), False),
        (nn.Tanh(), False),
        (nn.Hardtanh(), False),
        (nn.Softsign(), False),
    ],
)
def test_behind_an_activation_that_is_dead_at_0_nothing_is_zeroed(
    activation: nn.Module, dead: bool
) -> None:
    """What is dead is not taken on trust: its derivative at 0 is asked of torch."""
    at_zero = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(activation(at_zero), at_zero)
    assert (slope.item() == 0) == dead
    assert activation(torch.zeros(())).item() == 0
    for residual in ("end", "layer"):
        block = Around(conv(), nn.BatchNorm2d(8), activation)
        if dead:
            name = f"branch.2 ({type(activation).__name__})"
            assert obstacles(block, residual) == [f"{name} stands before the add and is dead at 0"]
        else:
            zero = "branch.1.weight" if residual == "end" else "branch.0.weight"
            assert ends(block, residual) == {zero}


def test_a_norm_behind_a_dead_activation_is_closed_but_no_layer_before_it() -> None:
    block = Around(conv(), nn.ReLU(), nn.BatchNorm2d(8))
    assert ends(block) == {"branch.2.weight"}
    assert obstacles(block, "layer") == ["branch.1 (ReLU) stands before the add and is dead at 0"]


@pytest.mark.parametrize(
    "activation",
    [
        functional.relu,
        functional.relu_,
        torch.relu,
        functional.relu6,
        functional.tanhshrink,
        torch.square,
        torch.abs,
    ],
)
def test_the_same_holds_for_functions(activation: Any) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: Any) -> Any:
            return x + activation(self.conv(x))

    [obstacle] = obstacles(Block())
    assert obstacle.endswith("stands before the add and is dead at 0")


def _as_a_statement(m: Any, x: Any) -> Any:
    out = m.conv(x)
    out.relu_()
    return x + out


def _as_a_function(m: Any, x: Any) -> Any:
    out = m.conv(x)
    functional.relu(out, inplace=True)
    return x + out


def _as_a_module(m: Any, x: Any) -> Any:
    out = m.conv(x)
    m.relu(out)
    return x + out


@pytest.mark.parametrize("forward", [_as_a_statement, _as_a_function, _as_a_module])
def test_and_for_what_is_written_in_place_and_seen_by_later_uses(forward: Any) -> None:
    block = Written(forward, conv=conv(), relu=nn.ReLU(inplace=True))
    [obstacle] = obstacles(block)
    assert obstacle.endswith("stands before the add and is dead at 0")


@pytest.mark.parametrize(
    "activation", [nn.Sigmoid(), nn.Softplus(), nn.Softmax(1), nn.LogSigmoid()]
)
def test_behind_an_activation_that_is_not_0_at_0_nothing_is_zeroed(activation: nn.Module) -> None:
    block = Around(conv(), activation)
    assert obstacles(block) == [f"it ends in branch.1 ({type(activation).__name__})"]

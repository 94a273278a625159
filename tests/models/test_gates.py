"""Gates, products of halves, and scales that a branch is multiplied by."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Around,
    begins_as_identity,
    classes,
    ends,
    images,
    obstacles,
)
from tests.models.convolutions import conv


class SqueezeExcite(nn.Module):
    def __init__(self, spelling: str = "x * gate") -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.spelling = spelling

    def forward(self, x: Any) -> Any:
        gate = self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        gate = functional.hardsigmoid(gate) if self.spelling == "hard" else gate.sigmoid()
        return gate * x if self.spelling == "gate * x" else x * gate.expand_as(x)


class Cbam(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Any) -> Any:
        average = self.mlp(functional.adaptive_avg_pool2d(x, 1))
        most = self.mlp(functional.adaptive_max_pool2d(x, 1))
        x = torch.sigmoid(average + most) * x
        maps = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], dim=1)
        return x * torch.sigmoid(self.spatial(maps))


@pytest.mark.parametrize(
    "gate",
    [SqueezeExcite(), SqueezeExcite("gate * x"), SqueezeExcite("hard"), Cbam()],
    ids=["x * gate", "gate * x", "hard", "CBAM"],
)
def test_a_gate_is_not_the_branch(gate: nn.Module) -> None:
    block = Around(conv(), nn.BatchNorm2d(8), gate)
    assert ends(block) == {"branch.1.weight"}
    assert begins_as_identity(block, images())


class Gated(nn.Module):
    """A branch that ends in a product of two halves of one layer."""

    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.conv, self.gate = conv(8, 16), gate

    def forward(self, x: Any) -> Any:
        a, b = self.conv(x).chunk(2, dim=1)
        return x + a * self.gate(b)


@pytest.mark.parametrize("gate", [nn.Identity(), functional.silu, functional.gelu, torch.tanh])
def test_a_product_whose_factors_vanish_together_is_not_closed(gate: Any) -> None:
    """NAFNet's and SwiGLU's: with both halves 0 neither would get a gradient."""
    [obstacle] = obstacles(Gated(gate))
    assert obstacle == (
        "a product of two values that both come from conv (Conv2d) stands before the add and is "
        "dead at 0"
    )


def test_a_product_with_a_squashed_half_is_closed() -> None:
    assert ends(Gated(torch.sigmoid)) == {"conv.weight"}
    assert ends(Around(conv(8, 16), nn.GLU(dim=1))) == {"branch.0.weight"}
    assert begins_as_identity(Gated(torch.sigmoid), images())


class Fixup(nn.Module):
    """Scalar biases and a scale of 1, no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.bias1a, self.bias1b, self.bias2a, self.bias2b = (
            nn.Parameter(torch.zeros(1)) for _ in range(4)
        )
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1, self.conv2 = conv(), conv()

    def forward(self, x: Any) -> Any:
        out = self.conv1(x + self.bias1a)
        out = functional.relu(out + self.bias1b)
        out = self.conv2(out + self.bias2a)
        out = out * self.scale + self.bias2b
        out += x
        return out


def test_a_scale_of_1_damps_nothing_and_the_last_convolution_is_zeroed() -> None:
    assert ends(Fixup()) == {"conv2.weight"}
    assert classes(Fixup()) == ["PARAMETER", "PARAMETER", "PARAMETER", "PART", "IDENTITY"]
    assert begins_as_identity(Fixup(), images())


class ReZero(nn.Module):
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(value))
        self.conv = conv()

    def forward(self, x: Any) -> Any:
        return x + self.alpha * torch.relu(self.conv(x))


@pytest.mark.parametrize("residual", ["end", "layer", "none"])
def test_rezero_is_closed_by_its_own_alpha(residual: str) -> None:
    assert ends(ReZero(), residual) == {"alpha: scale"}


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h, self.t = conv(), conv()

    def forward(self, x: Any) -> Any:
        t = torch.sigmoid(self.t(x))
        return t * functional.relu(self.h(x)) + (1 - t) * x


def test_a_gated_sum_is_not_residual() -> None:
    assert ends(Highway()) == set()
    assert classes(Highway()) == ["PRODUCTS"]


class ConvGru(nn.Module):
    """RAFT's, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.z, self.r, self.q = conv(16), conv(16), conv(16)

    def forward(self, h: Any, x: Any) -> Any:
        hx = torch.cat([h, x], dim=1)
        z, r = torch.sigmoid(self.z(hx)), torch.sigmoid(self.r(hx))
        q = torch.tanh(self.q(torch.cat([r * h, x], dim=1)))
        return (1 - z) * h + z * q


def test_a_convolutional_gru_is_not_residual() -> None:
    assert ends(ConvGru(), inputs=(images(), images())) == set()
    assert classes(ConvGru(), (images(), images())) == ["PRODUCTS"]

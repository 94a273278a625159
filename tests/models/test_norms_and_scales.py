"""Norms, layer scales and gates between a branch of a transformer and its add."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import zeroinit_cli
from tests.models.closings import (
    Around,
    begins_as_identity,
    ends,
    obstacles,
    tokens,
)
from tests.models.test_planning import plan_of
from tests.models.transformer_blocks import Mlp, Multihead, PreNorm
from zeroinit_cli.plans.rules import Constant
from zeroinit_cli.policies import Policy


class RmsNorm(nn.Module):
    """Llama's, written by hand."""

    def __init__(self, width: int = 8, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Any) -> Any:
        kind = x.dtype
        x = x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * x.to(kind)


class WrittenLayerNorm(nn.Module):
    """ConvNeXt's original, written by hand."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Any) -> Any:
        u = x.mean(-1, keepdim=True)
        s = (x - u).pow(2).mean(-1, keepdim=True)
        return (x - u) / torch.sqrt(s + 1e-6) * self.gamma + self.beta


class Sandwich(nn.Module):
    """Swin v2's and Gemma 2's: a norm between the branch and the add."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.attn, self.mlp = Multihead(), Mlp()
        self.post1, self.post2 = norm(8), norm(8)

    def forward(self, x: Any) -> Any:
        x = x + self.post1(self.attn(x))
        return self.post2(self.mlp(x)) + x


@pytest.mark.parametrize(
    ("norm", "scale"),
    [
        (nn.LayerNorm, "weight"),
        (nn.RMSNorm, "weight"),
        (RmsNorm, "weight"),
        (WrittenLayerNorm, "gamma"),
    ],
)
def test_a_norm_that_ends_a_branch_gets_scale_0_and_attention_behind_it_is_not_closed(
    norm: type[nn.Module], scale: str
) -> None:
    assert ends(Sandwich(norm)) == {f"post1.{scale}", f"post2.{scale}"}
    assert ends(Sandwich(norm), "layer") == {"attn.mha.out_proj.weight", "mlp.fc2.weight"}
    assert begins_as_identity(Sandwich(norm), tokens())


class GemmaNorm(nn.Module):
    """A scale that is 1 + weight: no value of a rule makes it 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))

    def forward(self, x: Any) -> Any:
        out = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (out * (1.0 + self.weight.float())).type_as(x)


class NoScale(nn.Module):
    def forward(self, x: Any) -> Any:
        return functional.layer_norm(x, (8,))


def test_a_scale_that_is_stored_less_one_damps_a_branch_at_less_one() -> None:
    def block() -> nn.Module:
        return Around(nn.Linear(8, 8), GemmaNorm())

    assert ends(block()) == {"branch.1.weight"}
    [scale] = [each for each in plan_of(block).tensors if each.info.name == "branch.1.weight"]
    assert scale.rule == Constant(value=-0.75)
    module: Any
    module, x = block(), tokens()
    zeroinit_cli.init_(module, build=block)
    inside = module.branch[0](x)
    normed = inside * torch.rsqrt(inside.square().mean(-1, keepdim=True) + 1e-6)
    assert torch.allclose(module(x) - x, normed / 4, atol=1e-6)
    zeroinit_cli.init_(module, build=block, policy=Policy(last_norm=0.0))
    assert torch.equal(module(x), x)


class Unit(nn.Module):
    def forward(self, x: Any) -> Any:
        return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (NoScale(), "branch.1 (NoScale)"),
        (Unit(), "a norm written out"),
        (nn.LayerNorm(8, elementwise_affine=False), "branch.1 (LayerNorm)"),
        (nn.LayerNorm(8, bias=False), None),
    ],
)
def test_where_a_norm_without_scale_ends_a_branch_nothing_is_zeroed(
    norm: nn.Module, name: str | None
) -> None:
    block = Around(nn.Linear(8, 8), norm)
    if name is None:
        assert ends(block) == {"branch.1.weight"}
    else:
        assert obstacles(block) == [f"{name} ends it and has no scale"]
        assert ends(block, "layer") == {"branch.0.weight"}


class LayerScale(nn.Module):
    """CaiT's and ConvNeXt's; ReZero with 0; in place as timm has it, or over channels first."""

    def __init__(self, value: float, spelling: str = "product") -> None:
        super().__init__()
        self.gamma = nn.Parameter(value * torch.ones(8))
        self.spelling = spelling

    def forward(self, x: Any) -> Any:
        if self.spelling == "in place":
            return x.mul_(self.gamma)
        return x * self.gamma if self.spelling == "product" else self.gamma[None, None] * x


@pytest.mark.parametrize("spelling", ["product", "in place", "reshaped"])
def test_a_small_layer_scale_is_kept_and_attention_behind_it_is_closed(spelling: str) -> None:
    block = PreNorm(
        nn.Sequential(Multihead(), LayerScale(1e-5, spelling)),
        nn.Sequential(Mlp(), LayerScale(1e-5, spelling)),
    )
    assert ends(block) == {"attn.0.mha.in_proj_weight: v", "mlp.1.gamma: scale"}
    assert ends(block, "layer") == {"attn.0.mha.in_proj_weight: v", "mlp.0.fc2.weight"}


@pytest.mark.parametrize("residual", ["end", "layer"])
def test_a_scale_constructed_as_0_closes_its_branch_alone_attention_or_not(residual: str) -> None:
    block = PreNorm(
        nn.Sequential(Multihead(), LayerScale(0.0)), nn.Sequential(Mlp(), LayerScale(0.0))
    )
    assert ends(block, residual) == {"attn.1.gamma: scale", "mlp.1.gamma: scale"}


class Flamingo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.gate = Multihead(), nn.Parameter(torch.tensor([0.0]))

    def forward(self, x: Any) -> Any:
        return x + self.attn(x) * self.gate.tanh()


def test_a_gate_that_is_computed_from_a_parameter_of_0_is_a_scale_of_0() -> None:
    assert ends(Flamingo()) == {"gate: scale"}
    assert begins_as_identity(Flamingo(), tokens())


class AdaLn(nn.Module):
    """DiT's: shift, scale and gate come from the condition; what the gate gates is the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8, elementwise_affine=False)
        self.mlp, self.modulation = Mlp(), nn.Sequential(nn.SiLU(), nn.Linear(8, 24))

    def forward(self, x: Any, c: Any) -> Any:
        shift, scale, gate = self.modulation(c).chunk(3, dim=1)
        h = self.norm(x) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
        return x + gate.unsqueeze(1) * self.mlp(h)


def test_of_a_condition_and_a_branch_the_branch_is_followed() -> None:
    assert ends(AdaLn()) == {"mlp.fc2.weight"}
    assert begins_as_identity(AdaLn(), tokens(), torch.randn(2, 8))

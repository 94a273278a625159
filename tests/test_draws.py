"""Draws that are not around 0: spaced evenly over what they are from, else an error."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zeroinit_cli
from zeroinit_cli.errors import NoRuleError
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Kept, Zeros

Draw = Callable[[torch.Tensor], Any]
REASON = "evenly spaced over what its constructor draws from"


def biased(draw: Draw, size: int = 64) -> Callable[[], nn.Module]:
    """A builder of a layer whose bias is drawn as said."""

    def build() -> nn.Module:
        layer = nn.Linear(4, size)
        with torch.no_grad():
            draw(layer.bias)
        return layer

    return build


def value(plan: Plan, name: str) -> Any:
    """The values of a kept tensor of float32."""
    [planned] = [each for each in plan.tensors if each.info.name == name]
    assert isinstance(planned.rule, Kept), planned
    assert planned.reason == REASON
    return np.frombuffer(plan.kept[planned.rule.sha256], "<f4").reshape(planned.info.shape)


def middles(low: float, high: float, size: int) -> Any:
    return low + (high - low) * (np.arange(size) + 0.5) / size


def inverse_softplus(x: torch.Tensor) -> torch.Tensor:
    return x + torch.log(-torch.expm1(-x))


def log_uniform(size: int) -> torch.Tensor:
    """Time steps from 0.001 to 0.1, as of Mamba, in the type that it asks for."""
    drawn = torch.rand(size, dtype=torch.float32)
    return torch.exp(drawn * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)


SPACED: dict[str, tuple[Draw, Callable[[int], Any]]] = {
    "of one side": (
        lambda bias: nn.init.uniform_(bias, 0, 1),
        lambda size: middles(0, 1, size),
    ),
    "by keywords": (
        lambda bias: bias.uniform_(8, to=9),
        lambda size: middles(8, 9, size),
    ),
    "the logarithm of a draw": (  # A_log of Qwen3-Next
        lambda bias: bias.copy_(torch.empty(len(bias)).uniform_(1, 16).log_()),
        lambda size: np.log(middles(1, 16, size)),
    ),
    "time steps": (  # dt_proj.bias of Mamba
        lambda bias: bias.copy_(inverse_softplus(log_uniform(len(bias)))),
        lambda size: np.log(np.expm1(0.001 * 100 ** middles(0, 1, size))),
    ),
    "in place, step by step": (  # recurrent_param of RecurrentGemma
        lambda bias: (bias.uniform_(0.81, 0.998).log_().mul_(0.5).neg_().exp_().sub_(1.0).log_(),),
        lambda size: np.log(middles(0.81, 0.998, size) ** -0.5 - 1),
    ),
    "in a narrow type": (
        lambda bias: bias.copy_(torch.rand(len(bias), dtype=torch.bfloat16).exp().float()),
        lambda size: np.exp(middles(0, 1, size)),
    ),
    "part by part": (
        lambda bias: [part.uniform_(2, 3) for part in bias.view(2, -1)],
        lambda size: np.tile(middles(2, 3, size // 2), 2),
    ),
}


@pytest.mark.parametrize("size", [4, 64, 20_000])  # a few, many, and what is held as a shape only
@pytest.mark.parametrize("name", SPACED)
def test_a_draw_that_is_not_around_zero_is_spaced_over_its_range(name: str, size: int) -> None:
    draw, expected = SPACED[name]
    found = value(zeroinit_cli.plan(biased(draw, size)), "bias")
    np.testing.assert_allclose(found, expected(size), rtol=2**-16)
    assert found.size == size


@pytest.mark.parametrize("name", SPACED)
def test_no_seed_and_no_last_bit_of_a_function_changes_a_value(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = biased(SPACED[name][0])
    digest = zeroinit_cli.plan(build).digest()

    def otherwise() -> nn.Module:
        torch.manual_seed(99)
        return build()

    assert zeroinit_cli.plan(otherwise).digest() == digest
    for function in ("log", "exp", "expm1", "log_", "exp_"):
        original = getattr(torch.Tensor, function)

        def another(self: torch.Tensor, original: Any = original) -> torch.Tensor:
            given: torch.Tensor = original(self)
            return given.mul_(1 + 4 * torch.finfo(given.dtype).eps)

        monkeypatch.setattr(torch.Tensor, function, another)
    assert zeroinit_cli.plan(build).digest() == digest


def test_it_is_stored_in_the_type_that_is_asked_for() -> None:
    plan = zeroinit_cli.plan(biased(SPACED["of one side"][0], 4), dtype="bfloat16")
    assert list(plan.kept.values()) == [bytes.fromhex("003ec03e203f603f")]


def test_a_module_gets_what_its_builder_gives() -> None:
    build = biased(SPACED["of one side"][0], 4)
    module = zeroinit_cli.init_(build(), build=build)
    assert module.get_parameter("bias").tolist() == [0.125, 0.375, 0.625, 0.875]


@pytest.mark.parametrize(
    "draw",
    [
        lambda bias: bias.copy_(torch.rand(len(bias)) - 0.5),
        lambda bias: bias.uniform_(-2, 2),
        lambda bias: bias.normal_(),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 64])
def test_what_is_around_zero_has_its_rule(draw: Draw, size: int) -> None:
    plan = zeroinit_cli.plan(biased(draw, size))
    assert {each.info.name: each.rule for each in plan.tensors}["bias"] == Zeros()


class Added(nn.Module):
    """A token beside a sequence, drawn from one side of 0, as of data2vec."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(64).uniform_())
        self.layer = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.cat([self.layer(x), self.token.expand(len(x), 1, -1)], 1)


def test_a_token_is_0_whatever_it_is_drawn_from() -> None:
    plan = zeroinit_cli.plan(Added)
    assert {each.info.name: each.rule for each in plan.tensors}["token"] == Zeros()


class Decay(nn.Module):
    """A factor that the policy has no rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.empty(4).uniform_(1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.exp(-self.rate)


def test_what_no_rule_is_known_of_is_spaced_too() -> None:
    assert value(zeroinit_cli.plan(Decay), "rate").tolist() == [1.125, 1.375, 1.625, 1.875]


REFUSED: tuple[tuple[Draw, str], ...] = (
    (lambda bias: nn.init.normal_(bias, -4.8, 1.3), "-4.5"),
    (lambda bias: bias.copy_(torch.rand(len(bias)) + torch.randn(len(bias)) / 8), "0.61"),
    (lambda bias: bias.copy_(torch.from_numpy(np.random.rand(len(bias)))), "0.5"),
    (lambda bias: bias.copy_(torch.from_numpy(torch.rand(len(bias)).numpy() + 8)), "8.6"),
)


@pytest.mark.parametrize(("draw", "around"), REFUSED)
def test_of_any_other_draw_no_range_is_known(draw: Draw, around: str) -> None:
    with pytest.raises(NoRuleError) as caught:
        zeroinit_cli.plan(biased(draw))
    assert str(caught.value) == (
        "error: 1 random tensor has no rule in build\n"
        "  expected: a kind of tensor that the policy knows; none is guessed\n"
        f"  found: bias [64] of Linear around {around}\n"
        "\n"
        "hint: --override 'bias=zeros' names a rule: "
        "algorithm-1, algorithm-2, kept, ones, patch, position, transposed:algorithm-1, "
        "transposed:algorithm-2, zeros"
    )


def test_draws_around_zero_are_hardly_ever_taken_for_others() -> None:
    torch.manual_seed(0)
    for size in range(1, 40):
        for _ in range(20):
            zeroinit_cli.init_(nn.Linear(size, size))

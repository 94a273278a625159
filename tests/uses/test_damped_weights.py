"""A weight that ends a residual branch is small where a norm stands before it, else 0."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from tests.models.closings import Around, Written
from tests.uses.started import noise, planned, rules, started
from zeroinit_cli.errors import UsageError
from zeroinit_cli.plans.layouts import Scaled
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros
from zeroinit_cli.policies import Policy

Build = Callable[[], nn.Module]
WIDTH = 8


def linear() -> nn.Module:
    return nn.Linear(WIDTH, WIDTH)


def net(forward: Callable[..., Any]) -> Build:
    """Two linear maps, a norm and an activation behind a linear stem."""

    def build() -> nn.Module:
        maps = {name: linear() for name in ("stem", "f", "g")}
        norm, drop = nn.LayerNorm(WIDTH), nn.Dropout()
        return Written(forward, **maps, norm=norm, relu=nn.ReLU(), drop=drop)

    return build


def _before(m: Any, x: Any) -> Any:
    x = m.stem(x)
    return x + m.g(m.relu(m.f(m.norm(x))))


def _inside(m: Any, x: Any) -> Any:
    x = m.stem(x)
    return x + m.g(m.relu(m.norm(m.f(x))))


def _what_a_norm_gives(m: Any, x: Any) -> Any:
    x = m.drop(m.norm(m.stem(x)))
    return x + m.g(m.relu(m.f(x)))


def _written_out(m: Any, x: Any) -> Any:
    x = m.stem(x)
    size = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return x + m.g(m.relu(m.f(m.norm.weight * (x * size))))


def _gated(m: Any, x: Any) -> Any:
    x = m.stem(x)
    normed = m.norm(x)
    return x + m.g(m.f(normed) * torch.sigmoid(normed))


def _modulated(m: Any, x: Any) -> Any:
    """What is the same for all blocks does not grow from one to the next, as DiT's conditions."""
    condition, x = x, m.stem(x)
    return x + condition * m.g(m.relu(m.norm(x) * (1 + condition)))


def _none(m: Any, x: Any) -> Any:
    x = m.stem(x)
    return m.norm(x + m.g(m.relu(m.f(x))))


def _behind_an_activation(m: Any, x: Any) -> Any:
    x = m.relu(m.norm(m.stem(x)))
    return x + m.g(m.relu(m.f(x)))


def _dropped_behind_a_sum(m: Any, x: Any) -> Any:
    x = m.drop(m.norm(m.stem(x)) + m.stem(x))
    return x + m.g(m.relu(m.f(x)))


def _times_its_size(m: Any, x: Any) -> Any:
    x = m.stem(x)
    return m.norm(x + m.g(m.f(x) * x.std(-1, keepdim=True)))


def _around_it(m: Any, x: Any) -> Any:
    x = m.stem(x)
    return x + m.g(m.f(m.norm(x)) * torch.sigmoid(x))


@pytest.mark.parametrize(
    "forward", [_before, _inside, _what_a_norm_gives, _written_out, _gated, _modulated]
)
def test_behind_a_norm_it_is_a_sixteenth(forward: Callable[..., Any]) -> None:
    assert rules(net(forward))["g.weight"] == Scaled(half_exponent=-8, of=Identity())


@pytest.mark.parametrize(
    "forward",
    [_none, _behind_an_activation, _dropped_behind_a_sum, _times_its_size, _around_it],
)
def test_where_a_way_leads_past_every_norm_it_is_0(forward: Callable[..., Any]) -> None:
    assert rules(net(forward))["g.weight"] == Zeros()


def test_its_bias_is_0_and_paper_closes_it() -> None:
    found = rules(net(_before))
    assert found["g.bias"] == Zeros()
    assert rules(net(_before), policy="paper")["g.weight"] == Zeros()


def test_no_operand_of_it_may_lead_past_a_norm() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.pairs = nn.LayerNorm(WIDTH), nn.Bilinear(WIDTH, WIDTH, WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = x + self.pairs(self.norm(x), x)
            return out

    assert rules(Pairs, noise(2, WIDTH))["pairs.weight"] == Zeros()


def test_blocks_without_norms_do_not_grow_however_many() -> None:
    def deep(m: Any, x: Any) -> Any:
        x = m.norm(m.stem(x))
        for _ in range(64):
            x = m.drop(x + m.g(m.relu(m.f(x))))
        return x

    module = started(net(deep)).eval()
    assert module(noise(4, WIDTH)).std() < 2


def test_an_expansion_has_its_constant_times_a_sixteenth() -> None:
    def build() -> nn.Module:
        return Around(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3), nn.GELU(), nn.Linear(3, WIDTH))

    rule = Scaled(half_exponent=-8, of=Twisted(block=4, prime=11, half_exponent=-3))
    assert rules(build)["branch.3.weight"] == rule
    weight = started(build).get_parameter("branch.3.weight").detach()
    assert torch.equal(weight.abs(), torch.full((WIDTH, 3), 2**-1.5) / 16)


def test_convolutions_are_damped_in_each_group() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, WIDTH, 1),
            Around(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, groups=2)),
        )

    images = noise(2, 3, WIDTH, WIDTH)
    assert rules(build, images)["1.branch.2.weight"] == Scaled(
        half_exponent=-8,
        of=rules(build, images, policy=Policy(residual="none"))["1.branch.2.weight"],
    )


def test_what_is_constructed_as_0_stays_so() -> None:
    def build() -> nn.Module:
        module = net(_before)()
        nn.init.zeros_(module.get_parameter("g.weight"))
        return module

    plan = planned(build)
    [reason] = [each.reason for each in plan.tensors if each.info.name == "g.weight"]
    assert reason == "kept as constructed: all 0"
    assert rules(build)["g.weight"] == Zeros()


def test_under_weight_norm_it_is_0() -> None:
    def build() -> nn.Module:
        return Around(nn.LayerNorm(WIDTH), linear(), nn.GELU(), weight_norm(linear()))

    found = rules(build)
    assert found["branch.3.parametrizations.weight.original0"] == Zeros()


def test_it_starts_small_and_all_that_is_inside_learns_at_the_first_step() -> None:
    module = started(net(_before))
    module(noise(4, WIDTH)).square().sum().backward()
    gradient = module.get_parameter("f.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("factor", [0.3, float("nan"), float("inf"), -0.5, 2.0])
def test_a_factor_that_is_no_power_of_2_is_refused(factor: float) -> None:
    with pytest.raises(UsageError, match="a factor that is no power of 2"):
        Policy(last_weight=factor)


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.0**-30])
def test_every_power_of_2_is_a_factor(factor: float) -> None:
    found = rules(net(_before), policy=Policy(last_weight=factor))["g.weight"]
    exponent = None if factor == 0 else 0 if factor == 1 else getattr(found, "half_exponent", None)
    assert (found == Zeros()) == (factor == 0)
    assert (found == Identity()) == (factor == 1)
    assert exponent is None or 2.0 ** (exponent / 2) == factor


def test_behind_a_gate_that_begins_as_0_everything_learns() -> None:
    """DiT's adaLN-Zero: with a weight of 0 as well neither would ever leave it."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.f, self.g = nn.LayerNorm(WIDTH), linear(), linear()
            self.condition = nn.Linear(WIDTH, 2 * WIDTH)
            for parameter in self.condition.parameters():
                nn.init.zeros_(parameter)

        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            scale, gate = self.condition(c).chunk(2, -1)
            inside = self.f(self.norm(x) * (1 + scale))
            out: torch.Tensor = x + gate * self.g(functional.gelu(inside))
            return out

    x, c, wanted = (noise(16, WIDTH, seed=seed) for seed in range(3))
    module = started(Block, x, c)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    learned: set[str] = set()
    for _ in range(3):
        optimizer.zero_grad()
        functional.mse_loss(module(x, c), wanted).backward()
        given = {name: each.grad for name, each in module.named_parameters()}
        learned |= {name for name, each in given.items() if each is not None and each.any()}
        optimizer.step()
    assert learned == {name for name, _ in module.named_parameters()}

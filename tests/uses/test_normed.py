"""Norms written out, and weights that are normed on their way to a layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import zeroinit_cli
from tests.uses.started import Written, noise, planned, rules, started, without_gradient
from zeroinit_cli.plans.rules import Constant, Ones, Rule, Zeros
from zeroinit_cli.policies import Policy

X = noise(2, 5, 8)
MAPS = noise(2, 8, 6, 6)


def root_mean_square(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def deviation(x: Tensor) -> Tensor:
    return torch.sqrt(centred(x).pow(2).mean(-1, keepdim=True) + 1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda w, x: w * root_mean_square(x),
        lambda w, x: root_mean_square(x.float()).type_as(x) * w,
        lambda w, x: w * (centred(x) / deviation(x)),
        lambda w, x: w * centred(x) / (x.std(-1, keepdim=True) + 1e-6),  # before the quotient
        lambda w, x: functional.layer_norm(x, (8,), w),
        lambda w, x: functional.group_norm(x.mT, 2, w).mT,
        lambda w, x: functional.rms_norm(x, (8,), w),
        lambda w, x: functional.batch_norm(x.flatten(0, 1), None, None, w, training=True),
        lambda w, x: functional.instance_norm(x.mT, weight=w).mT,
    ],
)
def test_the_scale_of_a_norm_is_1_whoever_computes_it(function: Callable[..., Tensor]) -> None:
    assert rules(partial(Written, function, w=(8,)), X) == {"w": Ones()}


@pytest.mark.parametrize(
    "function",
    [
        lambda w, x: root_mean_square(x) * (1 + w),
        lambda w, x: (1.0 + w.float()) * root_mean_square(x.float()),
        lambda w, x: functional.layer_norm(x, (8,), w + 1),
    ],
)
def test_a_scale_that_is_stored_less_1_is_0(function: Callable[..., Tensor]) -> None:
    assert rules(partial(Written, function, w=(8,)), X) == {"w": Zeros()}


@pytest.mark.parametrize(
    ("scale", "plain", "less_1"),
    [(1.0, Ones(), Zeros()), (0.0, Zeros(), Constant(value=-1.0))],
)
def test_a_damping_scale_of_one_number_has_that_numbers_rule(
    scale: float, plain: Rule, less_1: Rule
) -> None:
    def function(m: Tensor, n: Tensor, w: Tensor, v: Tensor, x: Tensor) -> Tensor:
        x = x + functional.layer_norm(functional.linear(x, m), (8,), w)
        return x + functional.layer_norm(functional.linear(x, n), (8,), 1 + v)

    build = partial(Written, function, m=(8, 8), n=(8, 8), w=(8,), v=(8,))
    plan = zeroinit_cli.plan(build, example_inputs=X, policy=Policy(last_norm=scale))
    found = {each.info.name: each.rule for each in plan.tensors}
    assert (found["w"], found["v"]) == (plain, less_1)


def test_shifts_behind_a_norm_are_0() -> None:
    def function(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return w * (centred(x) / deviation(x)) + b

    assert rules(partial(Written, function, w=(8,), b=(8,)), X)["b"] == Zeros()


NORMED: dict[str, tuple[Callable[[], Any], Callable[[], Any] | None, Tensor]] = {
    "linear": (
        lambda: parametrizations.weight_norm(nn.Linear(8, 16)),
        lambda: nn.Linear(8, 16),
        X,
    ),
    "linear, older": (
        lambda: nn.utils.weight_norm(nn.Linear(8, 16)),
        lambda: nn.Linear(8, 16),
        X,
    ),
    "by taps": (
        lambda: parametrizations.weight_norm(nn.Conv1d(8, 8, 4, groups=2), dim=2),
        lambda: nn.Conv1d(8, 8, 4, groups=2),
        X.mT,
    ),
    "whole": (
        lambda: nn.utils.weight_norm(nn.Conv2d(8, 8, 3), dim=-1),
        None,
        MAPS,
    ),
    "spectral": (
        lambda: parametrizations.spectral_norm(nn.Conv2d(8, 8, 4)),
        lambda: nn.Conv2d(8, 8, 4),
        MAPS,
    ),
    "spectral, older": (
        lambda: nn.utils.spectral_norm(nn.Conv2d(8, 8, 4)),
        lambda: nn.Conv2d(8, 8, 4),
        MAPS,
    ),
}
"""A layer, the one that it begins as, and what it is fed."""


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("name", NORMED)
def test_a_normed_layer_begins_as_the_one_without_a_norm(name: str) -> None:
    """Rows of length 1 have the gain 1, so that spectral norm divides them by 1."""
    build, plain, x = NORMED[name]
    module = started(build, x)
    given = module.eval()(x)
    assert given.isfinite().all()
    if plain is not None:
        torch.testing.assert_close(given, started(plain, x)(x))
    assert not without_gradient(module.train(), x) - {"bias"}


class Branch(nn.Module):
    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(8, 8, 3, padding=1), last

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.first(x).relu())
        return x + out


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
def test_lengths_of_0_close_a_branch_and_learn(norm: Callable[..., nn.Module]) -> None:
    def build() -> nn.Module:
        return Branch(norm(nn.Conv2d(8, 8, 3, padding=1)))

    module = started(build, MAPS)
    assert torch.equal(module(MAPS), MAPS)
    assert not planned(build, MAPS).warnings
    names = {name for name, _ in module.named_parameters()}
    [length] = [name for name in names if name.endswith(("_g", "original0"))]
    assert length not in without_gradient(module, MAPS)


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_branch_that_ends_in_a_spectral_norm_is_left_open_and_named(
    norm: Callable[..., nn.Module],
) -> None:
    def build() -> nn.Module:
        return Branch(norm(nn.Conv2d(8, 8, 3, padding=1)))

    module = started(build, MAPS)
    assert module(MAPS).isfinite().all()
    assert [each.kind for each in planned(build, MAPS).warnings] == ["open-branch"]


class Standardized(nn.Conv2d):
    """Its weight less its mean, over its deviation, times a gain, as of NFNets and BiT."""

    def __init__(self, *, has_gain: bool) -> None:
        super().__init__(8, 8, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(8, 1, 1, 1)) if has_gain else None

    def forward(self, input: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-6)
        weight = weight if self.gain is None else weight * self.gain
        return functional.conv2d(input, weight, self.bias, padding=1)


class Equalized(nn.Conv2d):
    """A weight that is scaled on its way, as of StyleGAN."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.conv2d(input, self.weight * 72**-0.5, self.bias, padding=1)


def test_a_weight_times_a_number_closes_its_branch() -> None:
    def build() -> nn.Module:
        return Branch(Equalized(8, 8, 3, padding=1))

    assert rules(build, MAPS)["last.weight"] == Zeros()
    assert torch.equal(started(build, MAPS)(MAPS), MAPS)


def test_the_map_behind_a_standardized_weight_has_its_own_rule() -> None:
    plain = rules(lambda: nn.Conv2d(8, 8, 3, padding=1), MAPS)["weight"]
    for has_gain in (False, True):
        assert rules(partial(Standardized, has_gain=has_gain), MAPS)["weight"] == plain


def test_a_standardized_weight_of_0_would_not_be_0_so_it_is_its_gain_that_closes() -> None:
    def build() -> nn.Module:
        return Branch(Standardized(has_gain=True))

    assert rules(build, MAPS)["last.gain"] == Zeros()
    assert torch.equal(started(build, MAPS)(MAPS), MAPS)
    [warning] = planned(lambda: Branch(Standardized(has_gain=False)), MAPS).warnings
    assert warning.kind == "open-branch"

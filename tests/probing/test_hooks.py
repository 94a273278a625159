"""What is seen of a layer, against torch's and numpy's own arithmetic."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zeroinit_cli.probing.hooks import Watch, layers_of, norm_of, own_parameters, root_mean_square
from zeroinit_cli.probing.judge import oddity
from zeroinit_cli.probing.report import LayerReport, activation_text


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def seen(module: nn.Module, *inputs: Tensor) -> dict[str, LayerReport]:
    watch = Watch()
    with watch.on(module):
        module(*inputs)
    return watch.layers


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_activation_is_the_root_mean_square() -> None:
    layer, given = nn.Linear(5, 7), drawn(4, 5)
    expected = layer(given).double().square().mean().sqrt().item()
    assert seen(layer, given)[""].activation == pytest.approx(expected)


def test_an_activation_beyond_float32_is_still_a_number() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.eye(2) * 1e30
    assert seen(layer, torch.ones(1, 2))[""].activation == pytest.approx(1e30)


@pytest.mark.parametrize("rank", [0, 1, 3, 6])
def test_rank_is_that_of_numpy(rank: int) -> None:
    layer = nn.Linear(6, 8, bias=False)
    layer.weight.data = drawn(8, rank) @ drawn(rank, 6) if rank else torch.zeros(8, 6)
    found = seen(layer, drawn(40, 6))[""]
    output = layer(drawn(40, 6)).detach().double().numpy()
    tolerance = 1e-5 * float(np.linalg.norm(output, 2))
    assert found.rank == np.linalg.matrix_rank(output, tol=tolerance or None) == rank
    assert found.most_rank == 8


def test_rank_is_the_same_by_either_gram_matrix() -> None:
    wide, narrow = nn.Linear(4, 30, bias=False), nn.Linear(30, 4, bias=False)
    assert seen(wide, drawn(20, 4))[""].rank == 4
    assert seen(narrow, drawn(20, 30))[""].rank == 4


def test_equal_units_are_one_whatever_their_rounding() -> None:
    layer = nn.Linear(6, 8)
    layer.weight.data[3] = layer.weight.data[5] * (1 + 1e-7)
    layer.bias.data[3] = layer.bias.data[5]
    layer.weight.data[[0, 1]] = 0
    layer.bias.data[[0, 1]] = 0
    found = seen(layer, drawn(40, 6))[""]
    assert (found.units, found.distinct) == (8, 6)


def test_units_of_a_depthwise_convolution_differ_where_their_inputs_do() -> None:
    """Its kernels are all the same, and no two outputs are."""
    layer = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
    nn.init.dirac_(layer.weight, groups=6)
    found = seen(layer, drawn(2, 6, 5, 5))[""]
    assert (found.units, found.distinct, found.rank) == (6, 6, 6)


NORMS: list[tuple[nn.Module, tuple[int, ...], int]] = [
    (nn.BatchNorm2d(5), (4, 5, 3, 3), 5),
    (nn.BatchNorm1d(5), (4, 5), 5),
    (nn.InstanceNorm2d(5, affine=True), (4, 5, 3, 3), 20),
    (nn.GroupNorm(1, 5), (4, 5, 3, 3), 4),
    (nn.LayerNorm(5), (4, 7, 5), 28),
    (nn.RMSNorm(5, eps=1e-5), (4, 7, 5), 28),
]


@pytest.mark.parametrize(("norm", "shape", "channels"), NORMS, ids=lambda each: str(each)[:12])
def test_channels_without_variance_are_those_that_the_norm_enlarges_most(
    norm: nn.Module, shape: tuple[int, ...], channels: int
) -> None:
    given = drawn(*shape)
    whole = seen(norm, given)[""]
    assert (whole.channels, whole.flat) == (channels, 0)
    assert seen(norm, torch.zeros(shape))[""].flat == channels
    given[0] *= 1e-4  # below the root of eps
    expected = {5: 0, 20: 5, 4: 1, 28: 7}[channels]
    assert seen(norm, given)[""].flat == expected


def test_a_constant_is_flat_before_a_batch_norm() -> None:
    given = drawn(4, 5, 3, 3)
    given[:, [1, 3]] = 7.0
    assert seen(nn.BatchNorm2d(5), given)[""].flat == 2


class Two(nn.Module):
    """A parameter of its own, attention, and a layer that nothing calls."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.spare = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.attention(x, x, x)[0] * self.scale
        return value


def test_attention_is_one_layer_and_what_is_not_called_was_not_seen() -> None:
    model = Two()
    assert [path for path, _ in layers_of(model)] == ["", "attention", "spare"]
    assert sorted(seen(model, drawn(2, 3, 6))) == ["", "attention"]
    names = [name for name, _ in own_parameters("attention", model.attention)]
    assert names == [
        "attention.in_proj_weight",
        "attention.in_proj_bias",
        "attention.out_proj.weight",
        "attention.out_proj.bias",
    ]


def test_what_is_not_finite_is_named_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.data[0, 0] = math.inf  # type: ignore[operator]  # a Linear's
    watch = Watch()
    with watch.on(model):
        model(drawn(2, 3))
    assert watch.not_finite == "the output of 0"
    assert watch.layers["0"].rank is None
    assert watch.layers["0"].distinct == 0


def test_no_hook_stays() -> None:
    model: Any = nn.Linear(3, 3)
    seen(model, drawn(2, 3))
    assert not model._forward_hooks


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 0.0])
def test_norms_of_float64_neither_overflow_nor_vanish(size: float) -> None:
    values = drawn(9).double() * size
    expected = math.hypot(*values.tolist())
    assert norm_of(values) == pytest.approx(expected, rel=1e-12, abs=0)
    assert root_mean_square(values) == pytest.approx(expected / 3, rel=1e-12, abs=0)


class Functional(nn.Module):
    """Uses a layer's weight without calling it, as torchvision's Swin does."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.called = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.called(x), self.used.weight)


def test_a_layer_that_is_not_called_says_so_and_is_not_odd() -> None:
    module, watch = Functional(), Watch()
    with watch.on(module):
        module(drawn(2, 4))
    assert set(watch.layers) == {"called"}
    unseen = watch.unseen("used", module.used)
    assert activation_text(unseen) == "not called"
    assert oddity(replace(unseen, gradient=1e6), replace(unseen, gradient=1.0)) == 0.0
    broken = seen(nn.Linear(2, 2), torch.tensor([[math.inf, 0.0]]))[""]
    assert activation_text(broken) == "not finite"

"""Warnings of expansions that repeat rows, and of chains in which their channels cancel."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.test_planning import plan_of
from tests.models.warned import texts, warnings_of
from zeroinit_cli.models.given import init_given
from zeroinit_cli.models.warnings.expansions import repeating
from zeroinit_cli.options import Options
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Mirrored, Split, Transposed
from zeroinit_cli.plans.rules import Hadamard, Rule
from zeroinit_cli.policies import DEFAULT

SYLVESTER: dict[str, Any] = {"expansion": "sylvester", "kernels": "centre", "stems": "centre"}
"""What these warnings are of."""
TWISTED = "--policy default expands without the pattern that cancels"


def rows_of(factory: Callable[[], nn.Module], **choices: Any) -> list[tuple[str, str | None]]:
    plan = plan_of(factory, Options(policy=replace(DEFAULT, **choices)))
    return [(each.text, each.hint) for each in plan.warnings if each.kind == "equal-rows"]


@pytest.mark.parametrize(
    ("fan_out", "fan_in", "distinct"),
    [(64, 3, 4), (64, 1, 1), (3072, 768, 1024), (65, 64, 64), (64, 33, None), (64, 64, None)],
)
def test_rows_of_an_expansion_are_counted(fan_out: int, fan_in: int, distinct: int | None) -> None:
    """Counted by the formula, and against the matrix itself."""
    found = list(repeating(Hadamard(half_exponent=0), (fan_out, fan_in)))
    assert found == ([] if distinct is None else [(fan_out, distinct)])
    rows = {tuple((i & j).bit_count() & 1 for j in range(fan_in)) for i in range(fan_out)}
    assert len(rows) == (fan_out if distinct is None else distinct)


EXPANSION = Hadamard(half_exponent=0)


TAP = Taps(ranges=((1, 2),), of=EXPANSION)


@pytest.mark.parametrize(
    ("rule", "shape", "found"),
    [
        (TAP, (64, 3, 3), [(64, 4)]),
        (Groups(count=2, of=TAP), (64, 3, 3), [(32, 4)]),
        (Groups(count=2, of=Transposed(of=TAP)), (6, 32, 3), [(32, 4)]),
        (Transposed(of=EXPANSION), (3, 64), [(64, 4)]),
        (Mirrored(of=EXPANSION), (64, 3), [(64, 4)]),
        (
            Split(parts=((64, EXPANSION), (4, EXPANSION), (32, EXPANSION))),
            (100, 3),
            [(64, 4), (32, 4)],
        ),
        (Split(parts=((64, EXPANSION), (64, EXPANSION))), (128, 3), [(64, 4)]),
    ],
)
def test_rows_are_counted_wherever_an_expansion_lies(
    rule: Rule, shape: tuple[int, ...], found: list[tuple[int, int]]
) -> None:
    assert list(repeating(rule, shape)) == found


def test_repeated_rows_are_warned_of_under_sylvester_alone() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(64, 10))

    assert rows_of(net, **SYLVESTER) == [
        (
            "1 expansion repeats rows, and such units stay equal until later layers tell them "
            "apart: 0.weight (64 rows, 4 distinct)",
            "--policy default has more distinct rows",
        )
    ]
    assert rows_of(net) == []
    assert rows_of(lambda: nn.Linear(64, 64), **SYLVESTER) == []


def conv_bn(c_in: int, c_out: int, **options: Any) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


def vgg() -> nn.Module:
    return nn.Sequential(*(conv_bn(2**i, 2 ** (i + 1)) for i in range(3, 7)))


def mobilenet() -> nn.Module:
    """Depthwise, then pointwise, each with its norm, no skips."""
    layers = [conv_bn(3, 8)]
    for width in (8, 16, 32):
        layers += [conv_bn(width, width, groups=width)]
        layers += [nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.BatchNorm2d(2 * width))]
    return nn.Sequential(*layers)


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.f = nn.Sequential(conv_bn(c_in, c_out), *list(conv_bn(c_out, c_out))[:2])
        self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1), nn.BatchNorm2d(c_out))

    def forward(self, x: Any) -> Any:
        return functional.relu(self.f(x) + self.shortcut(x))


def resnet() -> nn.Module:
    return nn.Sequential(conv_bn(3, 8), Block(8, 16), Block(16, 32), Block(32, 64), Block(64, 128))


def test_chains_of_convolution_and_batch_norm_are_warned_of_but_for_closed_skips() -> None:
    kind = "batch-norm-chain"
    assert texts(vgg, kind, **SYLVESTER) == [
        (
            "2 batch norms stand behind 3 or more Sylvester expansions in a row, without a skip "
            "that is closed: 2.1, 3.1; whole channels cancel to 0 there, and each such norm "
            "multiplies gradients by up to 316",
            TWISTED,
        )
    ]
    [(text, _)] = texts(mobilenet, kind, **SYLVESTER)
    assert text.startswith("3 batch norms stand behind")
    for net in (vgg, mobilenet):
        assert texts(net, kind) == []
    assert set(warnings_of(resnet, **SYLVESTER)) == {"shortcut-chain"}
    assert kind in warnings_of(resnet, residual="none", **SYLVESTER)


def test_a_chain_of_projections_of_shortcuts_is_warned_of_from_four_expansions_on() -> None:
    kind = "shortcut-chain"
    assert texts(resnet, kind, last_norm=0.0, **SYLVESTER) == [
        (
            "4 batch norms stand behind 4 or more Sylvester expansions in a row, along the "
            "shortcuts of branches that begin closed: 3.f.0.1, 3.shortcut.1, 4.f.0.1, "
            "4.shortcut.1; whole channels cancel to 0 there at first, and each such norm "
            "multiplies gradients by up to 316",
            TWISTED,
        )
    ]
    assert kind not in warnings_of(vgg, **SYLVESTER)
    assert texts(resnet, kind) == []

    def three() -> nn.Module:
        return nn.Sequential(conv_bn(3, 8), Block(8, 16), Block(16, 32))

    assert texts(three, kind, **SYLVESTER) == []


def test_a_norm_multiplies_gradients_by_one_over_the_root_of_its_own_eps() -> None:
    def net() -> nn.Module:
        module = vgg()
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.eps = 1e-3
        return module

    [(text, _)] = texts(net, "batch-norm-chain", **SYLVESTER)
    assert text.endswith("by up to 32")


class Checks(nn.Module):
    """Its forward asks for a shape before its chain."""

    def __init__(self, *, check: bool) -> None:
        super().__init__()
        self.check, self.chain = check, vgg()

    def forward(self, x: Any) -> Any:
        if self.check and x.shape[-1] % 2:
            x = functional.pad(x, (0, 1))
        return self.chain(x)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv_bn(3, 8), conv_bn(8, 16), conv_bn(19, 32)

    def forward(self, x: Any) -> Any:
        return self.three(torch.cat([x, self.two(self.one(x))], 1))


class AsksInside(nn.Module):
    """A forward that no run goes through; what is behind it is run as if it gave its input."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(conv_bn(8, 16), conv_bn(16, 8))

    def forward(self, x: Any) -> Any:
        y = self.f(x)
        return y if y.numpy().sum() > 0 else -y


def test_chains_are_seen_through_whatever_forward() -> None:
    def behind(factory: Callable[[], nn.Module]) -> tuple[str, ...]:
        [warning] = warnings_of(factory, **SYLVESTER)["batch-norm-chain"]
        return warning.tensors

    for check in (False, True):
        found = behind(partial(Checks, check=check))
        assert found == ("chain.2.1.weight", "chain.3.1.weight")
    assert behind(Dense) == ("three.1.weight",)
    assert behind(lambda: nn.Sequential(conv_bn(3, 8), AsksInside(), conv_bn(8, 16))) == (
        "2.1.weight",
    )


class Mixes(nn.Module):
    """FastViT's mixer: a norm and a convolution that begins closed, less the norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.identity, self.norm = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.conv = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        )
        self.gamma = nn.Parameter(torch.full((8, 1, 1), 1e-5))

    def forward(self, x: Any) -> Any:
        mixed = self.conv(x) + self.identity(x)
        return x + self.gamma * (mixed - (0 + self.norm(x)))


def test_a_difference_that_cancels_is_warned_of_until_a_branch_inside_is_open() -> None:
    """Whether it does is asked of torch: the scale has no gradient then."""
    assert texts(Mixes, "cancelled") == []
    assert texts(Mixes, "cancelled", last_norm=0.0) == [
        (
            "1 difference is of two values that are equal at the start, and so 0: what scales it "
            "has no gradient: sub in the model",
            "--override 'conv.1.weight=ones' opens a branch inside",
        )
    ]
    for overrides, learns in (((), False), (("conv.1.weight=ones",), True)):
        found = warnings_of(Mixes, *overrides, last_norm=0.0)
        assert [each.tensors for each in found.get("cancelled", [])] == [("gamma",)] * (not learns)
        module = Mixes()
        asked = Options.from_words({}, overrides=overrides)
        init_given(module, Mixes, replace(asked, policy=replace(DEFAULT, last_norm=0.0)))
        module(torch.randn(2, 8, 4, 4)).square().sum().backward()
        assert module.gamma.grad is not None
        assert bool(module.gamma.grad.any()) is learns

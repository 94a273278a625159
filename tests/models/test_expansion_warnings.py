"""Warnings of expansions that repeat rows, and of chains in which their channels cancel."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn
from torch.nn import functional

from tests.models.test_planning import plan_of
from tests.models.warned import texts, warnings_of
from zeroinit_cli.models.warnings.expansions import repeating
from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import Groups, Mirrored, Split, Taps, Transposed
from zeroinit_cli.plans.rules import Hadamard, Rule

PALEY = "--expansion paley makes all rows distinct"


def rows_of(factory: Callable[[], nn.Module], **words: str) -> list[tuple[str, str | None]]:
    plan = plan_of(factory, Options.from_words(words))
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

    assert rows_of(net) == [
        (
            "1 expansion repeats rows, and such units stay equal until later layers tell them "
            "apart: 0.weight (64 rows, 4 distinct)",
            PALEY,
        )
    ]
    assert rows_of(net, expansion="paley") == []
    assert rows_of(lambda: nn.Linear(64, 64)) == []


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
    kind, hint = "batch-norm-chain", "--expansion paley breaks the pattern that cancels"
    assert texts(vgg, kind) == [
        (
            "2 batch norms stand behind 3 or more Sylvester expansions in a row, without a skip "
            "that is closed: 2.1, 3.1; whole channels cancel to 0 there, and each such norm "
            "multiplies gradients by up to 316",
            hint,
        )
    ]
    [(text, _)] = texts(mobilenet, kind)
    assert text.startswith("3 batch norms stand behind")
    for net in (vgg, mobilenet):
        assert texts(net, kind, expansion="paley") == []
    assert set(warnings_of(resnet)) == {"shortcut-chain"}
    assert kind in warnings_of(resnet, residual="none")


def test_behind_one_channel_the_stem_has_to_be_a_patch_as_well() -> None:
    def net() -> nn.Module:
        return nn.Sequential(*(conv_bn(c_in, c_out) for c_in, c_out in ((1, 8), (8, 16), (16, 32))))

    [(_, hint)] = texts(net, "batch-norm-chain")
    assert hint == (
        "--expansion paley breaks the pattern that cancels; "
        "behind one channel it takes --override '0.0.weight=patch' as well"
    )


def test_a_chain_of_projections_of_shortcuts_is_warned_of_from_four_expansions_on() -> None:
    kind = "shortcut-chain"
    assert texts(resnet, kind) == [
        (
            "4 batch norms stand behind 4 or more Sylvester expansions in a row, along the "
            "shortcuts of branches that begin closed: 3.f.0.1, 3.shortcut.1, 4.f.0.1, "
            "4.shortcut.1; whole channels cancel to 0 there at first, and each such norm "
            "multiplies gradients by up to 316",
            "--expansion paley breaks the pattern that cancels",
        )
    ]
    assert kind not in warnings_of(vgg)
    assert texts(resnet, kind, expansion="paley") == []

    def three() -> nn.Module:
        return nn.Sequential(conv_bn(3, 8), Block(8, 16), Block(16, 32))

    assert texts(three, kind) == []


def test_a_norm_multiplies_gradients_by_one_over_the_root_of_its_own_eps() -> None:
    def net() -> nn.Module:
        module = vgg()
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.eps = 1e-3
        return module

    [(text, _)] = texts(net, "batch-norm-chain")
    assert text.endswith("by up to 32")

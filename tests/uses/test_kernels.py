"""Which convolutions read the net's input, and which cut it into patches."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.uses.started import Written, noise, rules
from zeroinit_cli.plans import policy
from zeroinit_cli.policies import DEFAULT

X = noise(2, 4, 16, 16)
SHAPE = (8, 4, 2, 2)
STEM = policy.stem_convolution(SHAPE, DEFAULT)
INSIDE = policy.convolution(SHAPE, 1, DEFAULT)
PATCHES_OF_THE_INPUT = policy.patch_stem(SHAPE, DEFAULT)
PATCHES_INSIDE = policy.patch_convolution(SHAPE, DEFAULT)

conv = functional.conv2d
cut = partial(functional.conv2d, stride=2)
Function = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.mark.parametrize(
    "function",
    [
        lambda w, m, x: conv(x, w),
        lambda w, m, x: conv((x - 0.5) / 0.25, w),
        lambda w, m, x: conv(functional.pad(x, (1, 1, 1, 1)), w),
        lambda w, m, x: conv(functional.interpolate(x, scale_factor=2.0), w),
        lambda w, m, x: conv(functional.pixel_unshuffle(x[:, :1], 2), w),
        lambda w, m, x: conv(torch.cat([x[:, :2], x[:, 2:].abs()], 1), w),
    ],
)
def test_a_stem_reads_the_input_by_way_of_no_parameter(function: Function) -> None:
    found = rules(partial(Written, function, w=SHAPE, m=(4, 4, 1, 1)), X)
    assert found["w"] == STEM


@pytest.mark.parametrize(
    "function",
    [
        lambda w, m, x: conv(conv(x, m), w),
        lambda w, m, x: conv(x + conv(x, m), w),
        lambda w, m, x: conv(x * m[:1], w),
    ],
)
def test_behind_a_parameter_there_is_no_stem(function: Function) -> None:
    build = partial(Written, function, w=SHAPE, m=(4, 4, 1, 1))
    overrides = ["m=zeros"]
    assert rules(build, X, overrides=overrides)["w"] == INSIDE


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (lambda w, m, x: cut(x, w), PATCHES_OF_THE_INPUT),
        (lambda w, m, x: cut(conv(x, m), w), PATCHES_INSIDE),
        (lambda w, m, x: cut(x, w, padding=1), STEM),
        (lambda w, m, x: cut(x, w, dilation=2), STEM),
        (lambda w, m, x: conv(x, w, stride=(2, 1)), STEM),
        (lambda w, m, x: cut(conv(x, m), w, dilation=2), INSIDE),
    ],
)
def test_patches_are_cut_without_padding_or_holes(function: Function, rule: object) -> None:
    assert rules(partial(Written, function, w=SHAPE, m=(4, 4, 1, 1)), X)["w"] == rule


def test_a_stem_in_groups_is_a_convolution_like_any_other() -> None:
    net = partial(nn.Conv2d, 4, 8, 3, groups=4, bias=False)
    assert rules(net, X) == {"weight": policy.convolution((8, 1, 3, 3), 4, DEFAULT)}


def test_only_the_first_of_two_layers_is_the_stem() -> None:
    found = rules(lambda: nn.Sequential(nn.Conv2d(4, 8, 2), nn.Conv2d(8, 8, 2)), X)
    assert found["0.weight"] == STEM
    assert found["1.weight"] == policy.convolution((8, 8, 2, 2), 1, DEFAULT)

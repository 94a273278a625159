"""What an override makes of a tensor, and which it refuses since it cannot mean anything there."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import zeroinit_cli
from zeroinit_cli.errors import UsageError
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Mirrored, Transposed, Viewed
from zeroinit_cli.plans.rules import Identity, Kept, Ones, Rule, Twisted, Zeros

EYE = Identity()
EXPANSION = Twisted(block=2, prime=7, half_exponent=-2)
CONTRACTION = Transposed(of=Twisted(block=8, prime=19, half_exponent=-5))
EXPANSION_OF_6 = Twisted(block=4, prime=7, half_exponent=-3)
KERNEL = "a convolution's floating kernel"


class Odd(nn.Module):
    """Tensors that no other rule is for, and convolutions of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.randn(4, 16, 8))
        self.table = nn.Parameter(torch.randn(8, 16))
        self.vector = nn.Parameter(torch.randn(8))
        self.counts = nn.Parameter(torch.eye(3, dtype=torch.int64), requires_grad=False)
        self.conv = nn.Conv2d(4, 8, 3, groups=2)
        self.bare = nn.Parameter(torch.randn(8, 2, 3, 3))
        self.bare_up = nn.Parameter(torch.randn(4, 6, 5))
        self.up = nn.ConvTranspose1d(4, 6, 5, groups=2)
        self.normed = parametrizations.weight_norm(nn.Conv1d(8, 8, 3))

    def forward(self, x: torch.Tensor, line: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of bare parameters only this says which are kernels, and of how many groups."""
        image = self.conv(x) + functional.conv2d(x, self.bare, groups=2)
        up = self.up(line) + functional.conv_transpose1d(line, self.bare_up)
        return image, up, self.normed(torch.cat([line, line], 1))


NORMED = "normed.parametrizations.weight.original"


def overridden(name: str, rule: str) -> Rule:
    inputs = torch.zeros(2, 4, 5, 5), torch.zeros(2, 4, 5)
    overrides = ["*=zeros", f"{name}={rule}"]
    plan = zeroinit_cli.plan(Odd, example_inputs=inputs, overrides=overrides)
    return next(tensor.rule for tensor in plan.tensors if tensor.info.name == name)


@pytest.mark.parametrize(
    ("name", "word", "rule"),
    [
        ("table", "algorithm-1", EYE),
        (
            "table",
            "transposed:algorithm-1",
            Transposed(of=Twisted(block=8, prime=19, half_exponent=-4)),
        ),
        ("table", "position", Mirrored(of=EYE)),
        (
            "experts",
            "algorithm-1",
            Viewed(rows=64, of=Groups(count=4, of=Twisted(block=8, prime=19, half_exponent=-4))),
        ),
        (
            "experts",
            "transposed:algorithm-1",
            Viewed(rows=64, of=Groups(count=4, of=Transposed(of=EYE))),
        ),
        ("experts", "ones", Ones()),
        (
            "conv.weight",
            "algorithm-2",
            Groups(count=2, of=Taps(ranges=((1, 2), (1, 2)), of=EXPANSION)),
        ),
        ("conv.weight", "patch", Viewed(rows=8, of=CONTRACTION)),
        ("up.weight", "algorithm-2", Taps(ranges=((2, 3),), of=replace(EXPANSION, block=4))),
        (
            "up.weight",
            "transposed:algorithm-2",
            Groups(count=2, of=Transposed(of=Taps(ranges=((2, 3),), of=EXPANSION))),
        ),
        (
            "bare",
            "algorithm-2",
            Groups(count=2, of=Taps(ranges=((1, 2), (1, 2)), of=EXPANSION)),
        ),
        ("bare", "patch", Viewed(rows=8, of=CONTRACTION)),
        (
            "bare_up",
            "transposed:algorithm-2",
            Transposed(of=Taps(ranges=((2, 3),), of=EXPANSION_OF_6)),
        ),
        (f"{NORMED}1", "algorithm-2", Taps(ranges=((1, 2),), of=EYE)),
        (f"{NORMED}0", "ones", Ones()),
    ],
)
def test_an_override_gives_the_rule_that_it_names(name: str, word: str, rule: Rule) -> None:
    assert overridden(name, word) == rule


def test_a_patch_is_the_whole_kernel_under_the_paper_policy_too() -> None:
    inputs = torch.zeros(2, 4, 5, 5), torch.zeros(2, 4, 5)
    overrides = ["*=zeros", "conv.weight=patch"]
    plan = zeroinit_cli.plan(Odd, example_inputs=inputs, policy="paper", overrides=overrides)
    [rule] = [tensor.rule for tensor in plan.tensors if tensor.info.name == "conv.weight"]
    assert rule == Viewed(rows=8, of=EYE)


@pytest.mark.parametrize(
    ("name", "word", "expected", "found"),
    [
        (
            "experts",
            "algorithm-2",
            f"{KERNEL} (c_out, c_in, *spatial)",
            "float32 [4, 16, 8] of Odd",
        ),
        ("experts", "patch", f"{KERNEL} (c_out, c_in, *spatial)", "float32 [4, 16, 8] of Odd"),
        (
            "experts",
            "transposed:algorithm-2",
            f"{KERNEL} (c_in, c_out, *spatial)",
            "float32 [4, 16, 8] of Odd",
        ),
        (
            "conv.weight",
            "algorithm-1",
            "a floating matrix (fan_out, fan_in), or a stack of such matrices",
            "float32 [8, 2, 3, 3] of Conv2d",
        ),
        (
            "vector",
            "transposed:algorithm-1",
            "a floating matrix (fan_in, fan_out), or a stack of such matrices",
            "float32 [8] of Odd",
        ),
        (
            "bare",
            "algorithm-1",
            "a floating matrix (fan_out, fan_in), or a stack of such matrices",
            "float32 [8, 2, 3, 3] of Odd",
        ),
        ("vector", "position", "a floating table (..., positions, dim)", "float32 [8] of Odd"),
        (
            "counts",
            "algorithm-1",
            "a floating matrix (fan_out, fan_in), or a stack of such matrices",
            "int64 [3, 3] of Odd",
        ),
        (
            f"{NORMED}0",
            "algorithm-2",
            f"{KERNEL} (c_out, c_in, *spatial)",
            "float32 [8, 1, 1] of ParametrizationList",
        ),
    ],
)
def test_an_override_that_cannot_mean_anything_is_refused(
    name: str, word: str, expected: str, found: str
) -> None:
    with pytest.raises(UsageError) as caught:
        overridden(name, word)
    assert str(caught.value) == (
        f"error: {word} does not fit {name} in --override '{name}={word}'\n"
        f"  expected: {expected}\n"
        f"  found: {found}"
    )


@pytest.mark.parametrize(("word", "kind"), [("zeros", Zeros), ("ones", Ones)])
@pytest.mark.parametrize("name", ["experts", "vector", "counts", "conv.weight", f"{NORMED}0"])
def test_constants_fit_everything(name: str, word: str, kind: type[Rule]) -> None:
    assert isinstance(overridden(name, word), kind)


def test_what_a_constructor_sets_is_kept_whatever_it_is() -> None:
    assert isinstance(overridden("counts", "kept"), Kept)

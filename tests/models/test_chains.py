"""Chains of kernels without norms: who stands in one, and that nothing adds up along it."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import zeroinit_cli
from tests.models.convolutions import conv
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.policies import DEFAULT, PAPER, Policy

IMAGE = torch.zeros(1, 3, 8, 8)


def chain(*between: Callable[[], nn.Module], kernels: int = 4) -> nn.Sequential:
    """A stem, and kernels with the same between any two of them."""
    layers: list[nn.Module] = [conv(3)]
    for _ in range(kernels - 1):
        layers += [*(make() for make in between), conv()]
    return nn.Sequential(*layers)


def chained(module: nn.Module) -> set[str]:
    names = find_structure(module, DEFAULT.ending, Example(args=(IMAGE,))).chains
    return {name.removesuffix(".weight") for name in names}


def test_kernels_in_a_row_with_activations_and_pools_between() -> None:
    pool = nn.Sequential
    assert chained(chain(nn.ReLU)) == {"0", "2", "4", "6"}
    assert chained(chain(nn.ReLU, lambda: nn.MaxPool2d(1), pool)) == {"0", "4", "8", "12"}


@pytest.mark.parametrize(
    "between",
    [
        lambda: nn.BatchNorm2d(8),
        lambda: nn.GroupNorm(2, 8),
        lambda: nn.InstanceNorm2d(8),
        nn.Sigmoid,
        nn.Tanh,
        nn.SiLU,
        nn.GELU,
    ],
)
def test_what_sets_the_size_of_values_ends_a_chain(between: Callable[[], nn.Module]) -> None:
    assert chained(chain(between)) == set()


def test_two_kernels_are_no_chain() -> None:
    assert chained(chain(nn.ReLU, kernels=2)) == set()


def test_maps_between_kernels_and_behind_them_stand_in_it() -> None:
    """SqueezeNet's; and a classifier's."""
    layers = [conv(3), nn.ReLU(), conv(8, 2, 1), nn.ReLU(), conv(2), nn.ReLU(), conv()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 64, 16), nn.ReLU(), nn.Linear(16, 4))
    assert chained(net) == {"0", "2", "4", "6", "8", "10"}


class Residual(nn.Module):
    """A stem, then x + f(x) with so many kernels in f, time and again."""

    def __init__(self, kernels: int, blocks: int = 4) -> None:
        super().__init__()
        self.stem = conv(3)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(nn.Sequential(nn.ReLU(), conv()) for _ in range(kernels)))
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return x


def test_a_branch_that_begins_closed_is_no_part_of_a_chain() -> None:
    """So neither the kernel before its end nor those of other blocks are in a row with it."""
    assert chained(Residual(2)) == set()


def test_a_long_branch_without_norms_is_a_chain() -> None:
    """As VDSR's, which is one branch over twenty kernels; its last one is 0."""
    inner = {f"blocks.0.{kernel}.1" for kernel in range(5)}
    assert chained(Residual(6, blocks=1)) == {"stem", *inner}


def test_a_chain_passes_on_what_is_not_negative() -> None:
    """At any depth and to the last bit: each square kernel is the identity."""
    net = chain(nn.ReLU, kernels=40)
    zeroinit_cli.init_(net, build=lambda: chain(nn.ReLU, kernels=40), example_inputs=IMAGE)
    images = torch.rand(2, 3, 8, 8)
    stem = net[0](images).relu()
    assert stem.any()
    assert torch.equal(net(images), stem)


class ReZero(nn.Module):
    """x + a f(x), with an a that its constructor sets to 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = conv(3), conv()
        self.blocks = nn.ModuleList(nn.Sequential(conv(), nn.ReLU()) for _ in range(3))
        self.factors = nn.ParameterList(torch.zeros(1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for factor, block in zip(self.factors, self.blocks, strict=True):
            x = x + factor * block(x)
        value: Tensor = self.last(x)
        return value


def test_a_factor_of_0_ends_a_way() -> None:
    assert chained(ReZero()) == set()


class Again(nn.Module):
    """One kernel, time and again, from the input on."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = conv(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = self.kernel(x).relu()
        return x


def test_what_is_used_again_is_no_stem() -> None:
    [tensor] = zeroinit_cli.plan(Again, example_inputs=IMAGE).tensors
    assert tensor.reason == "Conv2d in a chain: Algorithm 2"


def discriminator() -> nn.Sequential:
    wide, act = partial(conv, 16, 64), partial(nn.LeakyReLU, 0.1)
    kernels = (spectral_norm(each) for each in (conv(3, 16), wide(), conv(64, 64), conv(64)))
    return nn.Sequential(*(layer for each in kernels for layer in (each, act())))


def test_vectors_of_spectral_norm_are_of_length_1_in_a_chain_too() -> None:
    net = discriminator()
    zeroinit_cli.init_(net, build=discriminator, example_inputs=IMAGE)
    lengths = {
        name: float(vector.norm())
        for name, vector in net.named_buffers()
        if name.endswith(("_u", "_v"))
    }
    assert len(lengths) == 8
    assert all(0.9 < length < 1.1 for length in lengths.values()), lengths


class Detached(nn.Module):
    """Kernels in a row, the value between the second and the third detached, or read elsewhere."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.between = chain(nn.ReLU, kernels=2), conv(), between

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.last(self.between(self.first(x)))
        return value


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x.detach(),
        lambda x: nn.functional.normalize(x),
        lambda x: x / x.norm(dim=1, keepdim=True),
        lambda x: nn.functional.grid_sample(torch.ones_like(x), x[:, :2].movedim(1, -1)),
    ],
    ids=["detached", "of length 1", "of length 1, written out", "a place to read"],
)
def test_what_begins_anew_or_says_where_is_no_way(between: Callable[[Tensor], Tensor]) -> None:
    assert chained(Detached(between)) == set()
    assert chained(Detached(lambda x: x.clone())) == {"first.0", "first.2", "last"}


class Constant(nn.Module):
    """RAFT's flow: kernels that read what does not change with the input, at first."""

    def __init__(self) -> None:
        super().__init__()
        self.flow, self.last = chain(nn.ReLU, kernels=2), conv()

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = x.mean() + self.last(self.flow(torch.zeros_like(x)))
        return value


def test_a_way_may_begin_in_a_constant() -> None:
    assert chained(Constant()) == {"flow.0", "flow.2", "last"}


def squeezes(width: int = 16) -> nn.Sequential:
    """SqueezeNet's pairs, eight times: few channels, then many; and one more kernel."""
    layers: list[nn.Module] = [conv(3, 64), nn.ReLU()]
    for _ in range(8):
        layers += [conv(64, width, 1), nn.ReLU(), conv(width, 64), nn.ReLU()]
    return nn.Sequential(*layers, conv(64))


def gain(policy: Policy, width: int = 16) -> float:
    """The mean square of what the last kernel reads, over that behind the stem."""
    build = partial(squeezes, width)
    net = build()
    zeroinit_cli.init_(net, build=build, example_inputs=IMAGE, policy=policy)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        behind = net[:2](images)
        return float(net[2:-1](behind).square().mean() / behind.square().mean())


def test_expansions_keep_the_size_of_values() -> None:
    """A ReLU takes half of the mean square, which He's constant has doubled.

    It is a power of sqrt(2): of a width between two powers of 2 the eight pairs add that up.
    """
    assert 0.5 < gain(DEFAULT) < 2
    assert all(1 / 64 < gain(DEFAULT, width) < 64 for width in (12, 17, 24))
    assert gain(Policy(chains="none")) < 1e-4


def test_paper_knows_no_chains() -> None:
    plans = [
        zeroinit_cli.plan(lambda: chain(nn.ReLU), example_inputs=IMAGE, policy=policy)
        for policy in (PAPER, Policy(chains="none"))
    ]
    assert not any("in a chain" in tensor.reason for plan in plans for tensor in plan.tensors)


def test_a_plan_says_what_stands_in_a_chain() -> None:
    plan = zeroinit_cli.plan(lambda: chain(nn.ReLU), example_inputs=IMAGE)
    assert [tensor.reason for tensor in plan.tensors] == [
        "Conv2d of the input in a chain: signed means",
        *["Conv2d in a chain: Algorithm 2"] * 3,
    ]

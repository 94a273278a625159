"""Convolutional blocks as people write them, and what closes their branches."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Around,
    begins_as_identity,
    classes,
    closed,
    ends,
    images,
    left_open,
    obstacles,
)
from tests.models.convolutions import DropPath, conv
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.nets.torchvision import import_torchvision


class Basic(nn.Module):
    """ResNet's block, with the shortcut of the paper's options A or B, or ResNet-D's."""

    def __init__(self, shortcut: nn.Module | None = None, stride: int = 1, out: int = 8) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(8, out, stride=stride), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = conv(out, out), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Any) -> Any:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(identity)
        return self.relu(out)


class OptionA(nn.Module):
    def forward(self, x: Any) -> Any:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))


@pytest.mark.parametrize(
    "shortcut",
    [
        nn.Sequential(conv(8, 16, 1, stride=2), nn.BatchNorm2d(16)),
        nn.Sequential(nn.AvgPool2d(2, 2), conv(8, 16, 1), nn.BatchNorm2d(16)),
        OptionA(),
        nn.Sequential(nn.MaxPool2d(2), conv(8, 16, 1)),
    ],
    ids=["B", "D", "A", "pool and conv"],
)
def test_a_block_that_halves_is_closed_by_its_last_norm_whatever_the_shortcut(
    shortcut: nn.Module,
) -> None:
    block = Basic(shortcut, stride=2, out=16)
    assert ends(block) == {"bn2.weight"}
    assert ends(block, "layer") == {"conv2.weight"}
    assert classes(block) == ["FORK"]
    structure = find_structure(block, "none")
    assert (closed(structure), left_open(structure)) == (set(), ["the policy closes none"])


def test_a_block_with_an_identity_is_closed_by_its_last_norm() -> None:
    assert ends(Basic()) == {"bn2.weight"}
    assert classes(Basic()) == ["IDENTITY"]
    assert begins_as_identity(Basic(), images().relu())


class PreActivation(nn.Module):
    def __init__(self, shortcut: bool = False) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.conv1, self.conv2 = conv(), conv()
        self.shortcut = conv(size=1) if shortcut else None

    def forward(self, x: Any) -> Any:
        out = functional.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = self.conv1(out)
        out = self.conv2(functional.relu(self.bn2(out)))
        return out + shortcut


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_pre_activation_block_ends_in_its_last_convolution(shortcut: bool) -> None:
    for residual in ("end", "layer"):
        assert ends(PreActivation(shortcut), residual) == {"conv2.weight"}
    if not shortcut:
        assert begins_as_identity(PreActivation(), images())


@pytest.mark.parametrize(
    ("norm", "end"),
    [
        (lambda: nn.GroupNorm(2, 8), "branch.1.weight"),
        (lambda: nn.InstanceNorm2d(8, affine=True), "branch.1.weight"),
        (lambda: nn.SyncBatchNorm(8), "branch.1.weight"),
        (lambda: nn.BatchNorm2d(8, affine=False), None),
        (lambda: nn.InstanceNorm2d(8), None),
        (lambda: nn.GroupNorm(2, 8, affine=False), None),
    ],
)
def test_norms_of_every_type_end_a_branch_if_they_have_a_scale(norm: Any, end: str | None) -> None:
    block = Around(conv(), norm())
    if end is None:
        name = f"branch.1 ({type(norm()).__name__})"
        assert obstacles(block) == [f"{name} ends it and has no scale"]
    else:
        assert ends(block) == {end}
    assert ends(block, "layer") == {"branch.0.weight"}


def test_a_scale_that_is_a_buffer_is_no_scale_that_learns() -> None:
    import_torchvision()
    from torchvision.ops.misc import FrozenBatchNorm2d

    block = Around(conv(), FrozenBatchNorm2d(8))
    assert ends(block) == {"branch.0.weight"}


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout2d(0.0),
        nn.Identity(),
        nn.AvgPool2d(3, 1, 1),
        nn.MaxPool2d(3, 1, 1),
        nn.ZeroPad2d(0),
        nn.ReflectionPad2d(0),
        nn.ChannelShuffle(2),
        nn.Upsample(scale_factor=1),
        nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2)),
        nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (8, 8, 8))),
    ],
)
def test_what_only_moves_or_drops_values_is_looked_through(layer: nn.Module) -> None:
    block = Around(conv(), nn.BatchNorm2d(8), layer)
    assert ends(block) == {"branch.1.weight"}
    assert begins_as_identity(block, images())


class OldDropPath(DropPath):
    def forward(self, x: Any) -> Any:
        keep = 1 - self.drop
        mask = keep + torch.rand((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device)
        mask.floor_()
        return x / keep * mask


@pytest.mark.parametrize("drop", [DropPath, OldDropPath])
def test_stochastic_depth_written_by_hand_is_looked_through(drop: type[DropPath]) -> None:
    block = Around(conv(), nn.BatchNorm2d(8), drop())
    assert ends(block) == {"branch.1.weight"}
    assert begins_as_identity(block, images())


def test_a_constant_shift_in_a_branch_keeps_it_open() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shift = conv(), nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            return x + (self.conv(x) * 2 + self.shift)

    # a sum of three: the shift is a term of its own, and the branch ends in the convolution
    assert ends(Shifted()) == {"conv.weight"}


class Coupling(nn.Module):
    """RevNet's and NICE's: one half is changed by what the other becomes."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = conv(4, 4), conv(4, 4)

    def forward(self, x: Any) -> Any:
        a, b = torch.chunk(x, 2, dim=1)
        a = a + self.f(b)
        b = b + self.g(a)
        return torch.cat([a, b], dim=1)


def test_additive_coupling_is_residual_by_halves() -> None:
    assert ends(Coupling(), inputs=(images(),)) == {"f.weight", "g.weight"}
    assert begins_as_identity(Coupling(), images())


class SamePadded(nn.Conv2d):
    """TensorFlow's padding: what it pads depends on the size, which no graph knows."""

    def forward(self, x: Any) -> Any:
        if x.shape[-1] % 2 == 0:
            x = functional.pad(x, (0, 1, 0, 1))
        return functional.conv2d(x, self.weight, self.bias, self.stride)


class Padded(nn.Conv2d):
    def forward(self, x: Any) -> Any:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


@pytest.mark.parametrize("layer", [SamePadded(8, 8, 2), Padded(8, 8, 3)])
def test_a_subclass_of_a_layer_with_a_forward_of_its_own_is_that_layer(layer: nn.Conv2d) -> None:
    assert ends(Around(nn.ReLU(), layer)) == {"branch.1.weight"}
    assert begins_as_identity(Around(nn.ReLU(), layer), images())


class Standardized(nn.Conv2d):
    """BiT's and NFNet's: the weight is normalized before it is applied."""

    def forward(self, x: Any) -> Any:
        mean, deviation = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3))
        weight = (self.weight - mean) / (deviation.view(-1, 1, 1, 1) + 1e-8)
        return functional.conv2d(x, weight, self.bias, padding=1)


def test_unless_it_changes_its_weight_where_a_zero_may_not_be_meant() -> None:
    """A zero that is normalized gives gradients of 1 / eps."""
    block = Around(nn.ReLU(), Standardized(8, 8, 3))
    obstacle = "the weight of branch.1 (Standardized) is computed from others"
    assert obstacles(block) == [obstacle]


class Wrapped(nn.Module):
    """timm's way: a block of modules from here and there, drop path, and a flag."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(conv(), nn.GroupNorm(1, 8)) for _ in range(depth))
        self.drops = nn.ModuleDict({f"drop{i}": DropPath() for i in range(depth)})

    def forward(self, x: Any, return_all: bool = False) -> Any:
        kept = []
        for block, (_, drop) in zip(self.blocks, self.drops.items(), strict=True):
            x = x + drop(block(x))
            kept.append(x)
        return kept if return_all else x


def test_loops_over_lists_and_dicts_of_modules() -> None:
    assert ends(Wrapped()) == {f"blocks.{i}.1.weight" for i in range(3)}

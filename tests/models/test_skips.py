"""Skips over more than a block, and adds that are none: forks, towers, steps, concatenations."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Around,
    classes,
    closed,
    ends,
    images,
    left_open,
    obstacles,
)
from tests.models.convolutions import conv
from zeroinit_cli.models.structure import find_structure


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv(8 + 4 * i, 4) for i in range(3))

    def forward(self, x: Any) -> Any:
        features = [x]
        for layer in self.layers:
            features.append(functional.relu(layer(torch.cat(features, 1))))
        return torch.cat(features, 1)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(8, 4, 1), nn.Sequential(conv(8, 4, 1), conv(4, 4))

    def forward(self, x: Any) -> Any:
        return torch.cat([self.a(x), self.b(x)], dim=1)


def test_concatenations_are_no_adds() -> None:
    for module in (Dense(), Inception()):
        assert ends(module) == set()
        assert classes(module) == []


class InceptionResidual(nn.Module):
    """Inception-ResNet's: a concatenation, projected, scaled by a number, added."""

    def __init__(self) -> None:
        super().__init__()
        self.inception, self.project = Inception(), nn.Conv2d(8, 8, 1)

    def forward(self, x: Any) -> Any:
        return functional.relu(x + 0.17 * self.project(self.inception(x)))


def test_a_branch_that_ends_in_a_projected_concatenation() -> None:
    assert ends(InceptionResidual()) == {"project.weight"}


class RepVgg(nn.Module):
    """Three ways: two convolutions and a norm alone; the norm alone is the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.dense_bn = conv(), nn.BatchNorm2d(8)
        self.point, self.point_bn = conv(size=1), nn.BatchNorm2d(8)
        self.identity = nn.BatchNorm2d(8)

    def forward(self, x: Any) -> Any:
        dense, point = self.dense_bn(self.dense(x)), self.point_bn(self.point(x))
        return functional.relu(dense + point + self.identity(x))


def test_of_three_ways_the_shortest_is_the_shortcut() -> None:
    assert ends(RepVgg()) == {"dense_bn.weight", "point_bn.weight"}
    assert classes(RepVgg()) == ["PART", "FORK"]


class UNet(nn.Module):
    """One level, skips concatenated, added as they are (LinkNet), or added after a convolution."""

    def __init__(self, skip: str) -> None:
        super().__init__()
        self.skip = skip
        self.encode, self.down, self.middle = conv(), nn.MaxPool2d(2), conv()
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.side, self.decode = conv(size=1), conv(16 if skip == "cat" else 8)

    def forward(self, x: Any) -> Any:
        e = functional.relu(self.encode(x))
        d = self.up(functional.relu(self.middle(self.down(e))))
        if self.skip == "cat":
            return self.decode(torch.cat([d, e], dim=1))
        return self.decode(d + (self.side(e) if self.skip == "convolved" else e))


def test_a_u_nets_skips() -> None:
    assert classes(UNet("cat")) == []
    assert ends(UNet("cat")) == set()
    # (a) of the policy: the encoder's map goes into the decoder's, whatever lies between
    assert classes(UNet("added")) == ["IDENTITY"]
    assert ends(UNet("added")) == {"up.weight"}
    # as in a feature pyramid: the longer way alone is enlarged
    assert classes(UNet("convolved")) == ["RESIZED"]
    assert ends(UNet("convolved")) == set()


class SuperResolution(nn.Module):
    """Adds the enlarged input to what the net made of it: both ways are enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(), nn.ReLU(), conv(8, 32), nn.PixelShuffle(2))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, x: Any) -> Any:
        return self.up(x) + self.body(x)


def test_a_shortcut_that_is_enlarged_like_its_branch_is_a_shortcut() -> None:
    assert classes(SuperResolution()) == ["FORK"]
    assert ends(SuperResolution()) == {"body.2.weight"}


class LongSkip(nn.Module):
    """EDSR's: blocks, a last convolution, and the head's map added to it."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.head, self.blocks = conv(3, 8), nn.Sequential(*(Around(conv()) for _ in range(2)))
        self.last = conv() if last else None

    def forward(self, x: Any) -> Any:
        x = self.head(x)
        res = self.blocks(x)
        if self.last is not None:
            res = self.last(res)
        res += x
        return res


def test_a_skip_over_blocks_is_closed_by_the_convolution_after_them() -> None:
    inner = {f"blocks.{i}.branch.0.weight" for i in range(2)}
    assert ends(LongSkip(last=True)) == inner | {"last.weight"}


def test_a_skip_over_blocks_alone_is_left_open_since_its_end_is_their_trunk() -> None:
    structure = find_structure(LongSkip(last=False), "end")
    assert closed(structure) == {f"blocks.{i}.branch.0.weight" for i in range(2)}
    assert left_open(structure) == ["its end is where another branch begins"]


class Ghost(nn.Module):
    """Two streams that share one message."""

    def __init__(self) -> None:
        super().__init__()
        self.message = conv()

    def forward(self, a: Any, b: Any) -> Any:
        m = self.message(a)
        return a + m, b + m


def test_a_branch_that_is_also_used_elsewhere_is_left_open() -> None:
    assert obstacles(Ghost()) == ["what message (Conv2d) gives is used elsewhere too"]


class Towers(nn.Module):
    """Wide and deep; and a Siamese net, which calls one encoder on two inputs."""

    def __init__(self, wide: nn.Module, deep: nn.Module) -> None:
        super().__init__()
        self.wide, self.deep = wide, deep

    def forward(self, x: Any, y: Any) -> Any:
        return self.wide(x) + self.deep(y)


def test_adds_of_two_inputs_are_not_residual() -> None:
    encoder = nn.Sequential(conv(), nn.ReLU(), conv())
    for module in (Towers(encoder, encoder), Towers(conv(), encoder)):
        assert ends(module) == set()
        assert classes(module) == ["FORKS"]


class Fields(nn.Module):
    """One argument that holds two inputs: a dict, a tuple, or an object with fields."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.spelling = spelling
        self.image, self.time = conv(), nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 8))

    def forward(self, batch: Any) -> Any:
        if self.spelling == "dict":
            x, t = batch["image"], batch["time"]
        elif self.spelling == "tuple":
            x, t = batch
        else:
            x, t = batch.image, batch.time
        return self.image(x) + self.time(t)[:, :, None, None]


@pytest.mark.parametrize("spelling", ["dict", "tuple", "object"])
def test_two_fields_of_one_input_are_two_forks(spelling: str) -> None:
    image, time = images(), torch.randn(2, 4)
    fields = {"image": image, "time": time}
    batch = {"dict": fields, "tuple": (image, time), "object": SimpleNamespace(**fields)}[spelling]
    assert classes(Fields(spelling), (batch,)) == ["FORKS"]
    assert ends(Fields(spelling), inputs=(batch,)) == set()


class Unrolled(nn.Module):
    """A recurrent cell over the first steps of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        h = torch.tanh(self.x(x[:, 0]))
        for t in range(1, 4):
            h = torch.tanh(self.x(x[:, t]) + self.h(h))
        return h


def test_two_steps_of_one_sequence_are_two_forks() -> None:
    assert ends(Unrolled()) == set()
    assert set(classes(Unrolled())) <= {"FORKS", "TWO_BRANCHES"}

"""Convolutional blocks as people write them, and what closes their branches."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.architectures.closings import (
    Around,
    Written,
    begins_as_identity,
    classes,
    closed,
    ends,
    images,
    left_open,
    obstacles,
)
from zeroinit_cli.architectures.importing import import_torchvision
from zeroinit_cli.architectures.structure import find_structure


def conv(c_in: int = 8, c_out: int = 8, size: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=False, **options)


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
    assert (closed(structure), left_open(structure)) == (set(), ["--residual none"])


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
    assert obstacles(block) == ["the scale of branch.1 (FrozenBatchNorm2d) is a buffer"]
    assert ends(block, "layer") == {"branch.0.weight"}


@pytest.mark.parametrize(
    ("activation", "dead"),
    [
        (nn.ReLU(), True),
        (nn.ReLU6(), True),
        (nn.Hardtanh(0.0, 6.0), True),
        (nn.Softshrink(), True),
        (nn.Hardshrink(), True),
        (nn.Threshold(0.0, 0.0), True),
        (nn.Tanhshrink(), True),
        (nn.GELU(), False),
        (nn.SiLU(), False),
        (nn.Mish(), False),
        (nn.Hardswish(), False),
        (nn.LeakyReLU(), False),
        (nn.PReLU(), False),
        (nn.ELU(), False),
        (nn.Tanh(), False),
        (nn.Hardtanh(), False),
        (nn.Softsign(), False),
    ],
)
def test_behind_an_activation_that_is_dead_at_0_nothing_is_zeroed(
    activation: nn.Module, dead: bool
) -> None:
    """What is dead is not taken on trust: its derivative at 0 is asked of torch."""
    at_zero = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(activation(at_zero), at_zero)
    assert (slope.item() == 0) == dead
    assert activation(torch.zeros(())).item() == 0
    for residual in ("end", "layer"):
        block = Around(conv(), nn.BatchNorm2d(8), activation)
        if dead:
            name = f"branch.2 ({type(activation).__name__})"
            assert obstacles(block, residual) == [f"{name} stands before the add and is dead at 0"]
        else:
            zero = "branch.1.weight" if residual == "end" else "branch.0.weight"
            assert ends(block, residual) == {zero}


def test_a_norm_behind_a_dead_activation_is_closed_but_no_layer_before_it() -> None:
    block = Around(conv(), nn.ReLU(), nn.BatchNorm2d(8))
    assert ends(block) == {"branch.2.weight"}
    assert obstacles(block, "layer") == ["branch.1 (ReLU) stands before the add and is dead at 0"]


@pytest.mark.parametrize(
    "activation",
    [
        functional.relu,
        functional.relu_,
        torch.relu,
        functional.relu6,
        functional.tanhshrink,
        torch.square,
        torch.abs,
    ],
)
def test_the_same_holds_for_functions(activation: Any) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: Any) -> Any:
            return x + activation(self.conv(x))

    [obstacle] = obstacles(Block())
    assert obstacle.endswith("stands before the add and is dead at 0")


def _as_a_statement(m: Any, x: Any) -> Any:
    out = m.conv(x)
    out.relu_()
    return x + out


def _as_a_function(m: Any, x: Any) -> Any:
    out = m.conv(x)
    functional.relu(out, inplace=True)
    return x + out


def _as_a_module(m: Any, x: Any) -> Any:
    out = m.conv(x)
    m.relu(out)
    return x + out


@pytest.mark.parametrize("forward", [_as_a_statement, _as_a_function, _as_a_module])
def test_and_for_what_is_written_in_place_and_seen_by_later_uses(forward: Any) -> None:
    block = Written(forward, conv=conv(), relu=nn.ReLU(inplace=True))
    [obstacle] = obstacles(block)
    assert obstacle.endswith("stands before the add and is dead at 0")


@pytest.mark.parametrize(
    "activation", [nn.Sigmoid(), nn.Softplus(), nn.Softmax(1), nn.LogSigmoid()]
)
def test_behind_an_activation_that_is_not_0_at_0_nothing_is_zeroed(activation: nn.Module) -> None:
    block = Around(conv(), activation)
    assert obstacles(block) == [f"it ends in branch.1 ({type(activation).__name__})"]


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


class DropPath(nn.Module):
    """timm's, written by hand."""

    def __init__(self, drop: float = 0.5) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Any) -> Any:
        if self.drop == 0.0 or not self.training:
            return x
        keep = 1 - self.drop
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = x.new_empty(shape).bernoulli_(keep)
        return x.div(keep) * mask


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


class SqueezeExcite(nn.Module):
    def __init__(self, spelling: str = "x * gate") -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.spelling = spelling

    def forward(self, x: Any) -> Any:
        gate = self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        gate = functional.hardsigmoid(gate) if self.spelling == "hard" else gate.sigmoid()
        return gate * x if self.spelling == "gate * x" else x * gate.expand_as(x)


class Cbam(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Any) -> Any:
        average = self.mlp(functional.adaptive_avg_pool2d(x, 1))
        most = self.mlp(functional.adaptive_max_pool2d(x, 1))
        x = torch.sigmoid(average + most) * x
        maps = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], dim=1)
        return x * torch.sigmoid(self.spatial(maps))


@pytest.mark.parametrize(
    "gate",
    [SqueezeExcite(), SqueezeExcite("gate * x"), SqueezeExcite("hard"), Cbam()],
    ids=["x * gate", "gate * x", "hard", "CBAM"],
)
def test_a_gate_is_not_the_branch(gate: nn.Module) -> None:
    block = Around(conv(), nn.BatchNorm2d(8), gate)
    assert ends(block) == {"branch.1.weight"}
    assert begins_as_identity(block, images())


class Gated(nn.Module):
    """A branch that ends in a product of two halves of one layer."""

    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.conv, self.gate = conv(8, 16), gate

    def forward(self, x: Any) -> Any:
        a, b = self.conv(x).chunk(2, dim=1)
        return x + a * self.gate(b)


@pytest.mark.parametrize("gate", [nn.Identity(), functional.silu, functional.gelu, torch.tanh])
def test_a_product_whose_factors_vanish_together_is_not_closed(gate: Any) -> None:
    """NAFNet's and SwiGLU's: with both halves 0 neither would get a gradient."""
    [obstacle] = obstacles(Gated(gate))
    assert obstacle == (
        "a product of two values that both come from conv (Conv2d) stands before the add and is "
        "dead at 0"
    )


def test_a_product_with_a_squashed_half_is_closed() -> None:
    assert ends(Gated(torch.sigmoid)) == {"conv.weight"}
    assert ends(Around(conv(8, 16), nn.GLU(dim=1))) == {"branch.0.weight"}
    assert begins_as_identity(Gated(torch.sigmoid), images())


class Fixup(nn.Module):
    """Scalar biases and a scale of 1, no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.bias1a, self.bias1b, self.bias2a, self.bias2b = (
            nn.Parameter(torch.zeros(1)) for _ in range(4)
        )
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1, self.conv2 = conv(), conv()

    def forward(self, x: Any) -> Any:
        out = self.conv1(x + self.bias1a)
        out = functional.relu(out + self.bias1b)
        out = self.conv2(out + self.bias2a)
        out = out * self.scale + self.bias2b
        out += x
        return out


def test_a_scale_of_1_damps_nothing_and_the_last_convolution_is_zeroed() -> None:
    assert ends(Fixup()) == {"conv2.weight"}
    assert classes(Fixup()) == ["PARAMETER", "PARAMETER", "PARAMETER", "PART", "IDENTITY"]
    assert begins_as_identity(Fixup(), images())


class ReZero(nn.Module):
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(value))
        self.conv = conv()

    def forward(self, x: Any) -> Any:
        return x + self.alpha * torch.relu(self.conv(x))


@pytest.mark.parametrize("residual", ["end", "layer", "none"])
def test_rezero_is_closed_by_its_own_alpha(residual: str) -> None:
    assert ends(ReZero(), residual) == {"alpha: scale"}


def test_a_constant_shift_in_a_branch_keeps_it_open() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shift = conv(), nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            return x + (self.conv(x) * 2 + self.shift)

    # a sum of three: the shift is a term of its own, and the branch ends in the convolution
    assert ends(Shifted()) == {"conv.weight"}


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h, self.t = conv(), conv()

    def forward(self, x: Any) -> Any:
        t = torch.sigmoid(self.t(x))
        return t * functional.relu(self.h(x)) + (1 - t) * x


def test_a_gated_sum_is_not_residual() -> None:
    assert ends(Highway()) == set()
    assert classes(Highway()) == ["PRODUCTS"]


class ConvGru(nn.Module):
    """RAFT's, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.z, self.r, self.q = conv(16), conv(16), conv(16)

    def forward(self, h: Any, x: Any) -> Any:
        hx = torch.cat([h, x], dim=1)
        z, r = torch.sigmoid(self.z(hx)), torch.sigmoid(self.r(hx))
        q = torch.tanh(self.q(torch.cat([r * h, x], dim=1)))
        return (1 - z) * h + z * q


def test_a_convolutional_gru_is_not_residual() -> None:
    assert ends(ConvGru()) == set()
    assert classes(ConvGru()) == ["PRODUCTS"]


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


def test_a_branch_that_ends_in_a_concatenation_is_left_open() -> None:
    assert obstacles(Around(Inception())) == ["it ends in cat"]


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
    assert classes(Fields(spelling)) == ["FORKS"]
    assert ends(Fields(spelling)) == set()


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
    assert ends(Coupling()) == {"f.weight", "g.weight"}
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
    assert obstacles(Around(nn.ReLU(), Standardized(8, 8, 3))) == ["it ends in conv2d"]


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

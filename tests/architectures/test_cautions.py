"""Each warning of a plan: a module that must bring it about, one that must not, and its words."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.architectures.closings import Around, Written
from tests.architectures.test_planning import plan_of
from zeroinit_cli.architectures.cautions.expansions import repeating
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Caution, Groups, Hadamard, Mirrored, Rule, Split, Taps, Transposed

PALEY = "--expansion paley makes all rows distinct"


def cautions(
    factory: Callable[[], nn.Module], *overrides: str, **words: str
) -> dict[str, list[Caution]]:
    """The warnings of a plan by their kind, but for repeated rows, which most small nets have."""
    plan = plan_of(factory, Options.from_words(words, overrides=overrides))
    found: dict[str, list[Caution]] = {}
    for caution in plan.cautions:
        if caution.kind != "equal-rows":
            found.setdefault(caution.kind, []).append(caution)
    return found


def texts(
    factory: Callable[[], nn.Module], kind: str, *overrides: str, **words: str
) -> list[tuple[str, str | None]]:
    """What is warned of in one kind, and what would mend it; nothing else may be warned of."""
    found = cautions(factory, *overrides, **words)
    assert set(found) <= {kind}
    return [(caution.text, caution.hint) for caution in found.get(kind, [])]


def rows_of(factory: Callable[[], nn.Module], **words: str) -> list[tuple[str, str | None]]:
    plan = plan_of(factory, Options.from_words(words))
    return [(each.text, each.hint) for each in plan.cautions if each.kind == "equal-rows"]


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
    assert set(cautions(resnet)) == {"shortcut-chain"}
    assert kind in cautions(resnet, residual="none")


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
    assert kind not in cautions(vgg)
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


def test_open_branches_are_warned_of_with_the_reason_and_what_mends_it() -> None:
    kind = "open-branch"
    relu = "branch.1 (ReLU) stands before the add and is dead at 0"

    def dead() -> nn.Module:
        return nn.Sequential(*(Around(nn.Linear(8, 8), nn.ReLU()) for _ in range(6)))

    assert texts(dead, kind) == [
        (f"6 residual branches are left open, in 0, 1, 2, 3 and 2 more: {relu}", None)
    ]

    def scaleless() -> nn.Module:
        return nn.Sequential(Around(nn.Linear(8, 8), nn.BatchNorm1d(8, affine=False)))

    assert texts(scaleless, kind) == [
        (
            "1 residual branch is left open, in 0: branch.1 (BatchNorm1d) ends it and has no scale",
            "--residual layer zeroes the weight before it",
        )
    ]
    assert texts(scaleless, "zero-before-norm", residual="layer") != []

    def unknown() -> nn.Module:
        return Around(nn.Linear(8, 8), nn.Softmax(-1))

    assert texts(unknown, kind) == [
        (
            "1 residual branch is left open, in the model: it ends in branch.1 (Softmax)",
            "--override 'NAME=zeros' closes a branch by the name of its last weight",
        )
    ]
    assert texts(lambda: Around(nn.Linear(8, 8)), kind) == []


def test_residual_none_is_warned_of_where_there_are_branches() -> None:
    def net() -> nn.Module:
        return nn.Sequential(*(Around(nn.Linear(8, 8)) for _ in range(3)))

    assert texts(net, "residual-none", residual="none") == [
        (
            "3 residual branches are left open by --residual none: activations double in each, "
            "and overflow near 128 of them",
            "--residual end closes them",
        )
    ]
    assert texts(net, "residual-none") == []
    assert texts(lambda: nn.Linear(8, 8), "residual-none", residual="none") == []
    layer = partial(nn.TransformerEncoderLayer, 8, 2, 8)
    assert "residual-none" in cautions(layer, residual="none")


def test_activations_double_in_each_open_block() -> None:
    """What the warning says: 2^blocks, and not finite behind 128 of them."""
    net = nn.Sequential(*(Around(nn.Linear(2, 2, bias=False)) for _ in range(128)))
    for parameter in net.parameters():
        nn.init.eye_(parameter)
    ones = torch.ones(1, 2)
    assert net[:100](ones).tolist() == [[2.0**100] * 2]
    assert net(ones).isinf().all()


def test_a_zero_layer_before_a_norm_is_warned_of() -> None:
    def net() -> nn.Module:
        return Around(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.1), nn.BatchNorm2d(8))

    text = (
        "1 layer of weight 0 stands directly before a norm, which then sees no variance and "
        "multiplies gradients by up to 316: branch.0"
    )
    kind = "zero-before-norm"
    assert texts(net, kind) == []
    assert texts(net, kind, residual="layer") == [
        (text, "--residual end zeroes the norm's scale instead")
    ]

    def plain() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))

    assert texts(plain, kind) == []
    assert texts(plain, kind, "0.weight=zeros") == [
        (text.replace("branch.0", "0"), "leave out the --override that makes them 0")
    ]


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2)

    def forward(self, x: Any) -> Any:
        return x + self.attn(x, x, x)[0]


DOUBLE = {
    "two layers": (
        lambda: Around(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)),
        "branch.0.weight=zeros",
        "branch.0 before branch.2",
    ),
    "a layer and the norm behind it": (
        lambda: Around(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.LayerNorm(8)),
        "branch.0.weight=zeros",
        "branch.0 before branch.3",
    ),
    "v and output": (Attends, "attn.out_proj.weight=zeros", "attn"),
    "v and output of torch's layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 8),
        "self_attn.out_proj.weight=zeros",
        "self_attn",
    ),
    "both layers of torch's layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 8),
        "linear1.weight=zeros",
        "the model",
    ),
}


@pytest.mark.parametrize("name", DOUBLE)
def test_two_zeros_in_one_branch_are_warned_of(name: str) -> None:
    factory, override, where = DOUBLE[name]
    assert texts(factory, "double-zero") == []
    found = cautions(factory, override).get("double-zero", [])
    expected = "two zeros follow each other, so that neither ever gets a gradient: "
    assert [caution.text for caution in found] == [expected + where]
    assert found[0].hint == "leave out the --override that makes them 0"


def test_and_they_are_dead() -> None:
    """What the warning says, asked of torch: no step ever moves them."""
    net = Around(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 8)).square().sum().backward()
        optimizer.step()
    moved = {name for name, parameter in net.named_parameters() if parameter.any()}
    assert moved == {"branch.2.bias"}


def test_two_zeros_beside_each_other_or_around_a_skip_are_not_in_series() -> None:
    def nested() -> nn.Module:
        return Around(Around(nn.Linear(8, 8)), nn.Linear(8, 8))

    assert texts(nested, "double-zero") == []

    def gate(m: Any, x: Any) -> Any:
        return m.head(x + m.f(m.g(x)) * torch.sigmoid(m.h(x)))

    def gated() -> nn.Module:
        return Written(gate, **{name: nn.Linear(8, 8) for name in ("f", "g", "h", "head")})

    assert texts(gated, "double-zero", "h.weight=zeros") == []
    assert texts(gated, "double-zero", "g.weight=zeros") != []


def test_a_zero_that_also_goes_elsewhere_gets_its_gradient_there() -> None:
    def forward(m: Any, x: Any) -> Any:
        h = m.f(x)
        return m.head(x + m.g(h)), m.head(h)

    def net() -> nn.Module:
        return Written(forward, **{name: nn.Linear(8, 8) for name in ("f", "g", "head")})

    assert texts(net, "double-zero", "f.weight=zeros") == []


class ZeroTimesZero(nn.Module):
    """A raw weight that its constructor set to 0, under a scale that it set to 0 too."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(8, 8))
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Any) -> Any:
        return x + self.alpha * (x @ self.b)


def test_zeros_that_a_constructor_set_count_too() -> None:
    assert texts(ZeroTimesZero, "double-zero") == [
        (
            "two zeros follow each other, so that neither ever gets a gradient: matmul before mul",
            "leave out the --override that makes them 0",
        )
    ]


def test_a_zero_head_is_warned_of_where_nothing_normalizes() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))

    kind = "zero-head"
    assert texts(net, kind) == []
    assert texts(net, kind, "2.weight=zeros") == [
        (
            "1 last layer begins as 0 in a net without norms, where deep nets then stall: 2.weight",
            "leave out the --override that makes them 0",
        )
    ]
    assert texts(net, kind, "0.weight=zeros") == []

    def normalized() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2))

    assert texts(normalized, kind, "2.weight=zeros") == []
    assert texts(lambda: Around(nn.Linear(8, 8)), kind) == []  # the last layer closes a branch

    def two_heads() -> nn.Module:
        def forward(m: Any, x: Any) -> Any:
            return m.a(m.body(x)), m.b(m.body(x))

        return Written(forward, **{name: nn.Linear(8, 8) for name in ("body", "a", "b")})

    [(text, _)] = texts(two_heads, kind, "[ab].weight=zeros")
    assert text.endswith(": a.weight, b.weight")


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "holes"),
    [(2, 2, 0, False), (4, 2, 1, False), (3, 2, 1, False), (3, 2, 2, True), (2, 3, 0, True)],
)
def test_holes_are_warned_of_where_outputs_stay_0(
    kernel: int, stride: int, padding: int, holes: bool
) -> None:
    """Whether there are any is asked of torch, with the weight that the rule gives."""

    def net() -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(4, 4, kernel, stride, padding, output_padding=stride - 1)

    expected = [
        (
            "transposed convolutions leave some outputs at 0, since fewer taps than their stride "
            "are left of the kernel: weight",
            "a kernel of at least stride + padding has no holes",
        )
    ]
    assert texts(net, "holes") == (expected if holes else [])
    if kernel >= stride + padding:
        assert not holes


def test_parts_that_could_not_be_traced_are_warned_of() -> None:
    def forward(m: Any, x: Any) -> Any:
        return x + m.f(x) if x.sum() > 0 else x

    assert texts(lambda: nn.Sequential(Written(forward, f=nn.Linear(8, 8))), "untraced") == [
        (
            "the forward of 0 (Written) could not be traced: what it adds itself, or looks up by "
            "position, is not known; what it calls was looked at part by part",
            "--override 'NAME=zeros' closes a branch by the name of its last weight",
        )
    ]


def test_adds_in_disguise_are_warned_of() -> None:
    def factory() -> nn.Module:
        return Written(lambda m, x: x - m.f(x), f=nn.Linear(8, 8))

    assert texts(factory, "hidden-add") == [
        (
            "no plain adds, but of a value and what comes from it: sub in the model; no branch is "
            "looked for there",
            "--override 'NAME=zeros' closes a branch by the name of its last weight",
        )
    ]


class Scaled(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.f, self.gamma = nn.Linear(8, 8), nn.Parameter(torch.full((8,), value))

    def forward(self, x: Any) -> Any:
        return x + self.gamma * self.f(x)


@pytest.mark.parametrize(("value", "warned"), [(1e-6, False), (0.1, False), (0.5, True)])
def test_a_layer_scale_that_is_not_small_is_warned_of(value: float, warned: bool) -> None:
    expected = [
        (
            "layer scales that are kept as constructed hardly damp their residual branches: "
            "gamma (0.5)",
            "--residual layer zeroes the last weight of each branch",
        )
    ]
    assert texts(lambda: Scaled(value), "damped-branch") == (expected if warned else [])
    assert texts(lambda: Scaled(value), "damped-branch", residual="layer") == []


def test_a_last_bias_that_is_kept_is_warned_of() -> None:
    def factory(value: float) -> nn.Module:
        layer = nn.Linear(8, 8)
        nn.init.constant_(layer.bias, value)
        return Around(layer)

    assert texts(lambda: factory(0.0), "kept-bias") == []
    assert texts(lambda: factory(1.0), "kept-bias") == [
        (
            "residual branches begin as a constant, not as 0, since their last bias is kept as "
            "constructed: branch.0.bias",
            "--override 'branch.0.bias=zeros'",
        )
    ]

    def attends() -> nn.Module:
        module = Attends()
        nn.init.ones_(module.attn.in_proj_bias)
        return module

    [(text, hint)] = texts(attends, "kept-bias")
    assert text.endswith(": attn.in_proj_bias")
    assert hint == "--override 'attn.in_proj_bias=zeros'"

"""Branches that are closed by several zeros, by some rows of a weight, or by a learned factor."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Around,
    Written,
    begins_as_identity,
    classes,
    closed,
    ends,
    images,
    left_open,
    obstacles,
    tokens,
)
from tests.models.warned import texts
from zeroinit_cli import init_
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.structure import find_structure


def layers(forward: Callable[..., Any], **modules: Any) -> Written:
    """A module over three Linear layers, a norm and a factor of 1."""
    made: dict[str, Any] = {name: nn.Linear(8, 8) for name in ("f", "g", "h")}
    made |= {"norm": nn.LayerNorm(8), "one": nn.Parameter(torch.ones(8))}
    return Written(forward, **{**made, **modules})


def _learns(module: nn.Module, *inputs: torch.Tensor, steps: int = 3) -> set[str]:
    """Names of what has a gradient in one of a few steps from the start."""
    found: set[str] = set()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        output = module(*inputs)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        named = module.named_parameters()
        found |= {name for name, each in named if each.grad is not None and bool(each.grad.any())}
        optimizer.step()
    return found


class Ghost(nn.Module):
    """GhostNet's module: half the channels, and what a cheap layer makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.cheap = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.last = nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        x = self.norm(self.conv(x))
        return torch.cat([x, self.last(self.cheap(x))], 1)[:, :8]


def test_each_part_of_a_joined_branch_is_closed_by_its_own_end() -> None:
    """Also where one part is made of the other, as long as they are joined by channels."""
    module = Around(Ghost())
    assert ends(module) == {"branch.0.norm.weight", "branch.0.last.weight"}
    assert begins_as_identity(module, images())
    init_(module, build=lambda: Around(Ghost()), example_inputs=(images(),))
    everything = {name for name, _ in module.named_parameters()}
    assert _learns(module, images()) == everything


@pytest.mark.parametrize("dim", [1, 2])
def test_parts_of_positions_need_not_all_go_on_from_the_add(dim: int) -> None:
    """A norm that gives one part, and what the other is made of: closed if they are channels."""

    def forward(m: Any, x: Any) -> Any:
        y = m.norm(x)
        return m.h(x + torch.cat([m.f(y).narrow(dim, 0, 4), y.narrow(dim, 4, 4)], dim))

    made = {"norm": nn.BatchNorm1d(8), "f": nn.Conv1d(8, 8, 1), "h": nn.Conv1d(8, 8, 1)}
    structure = find_structure(
        Written(forward, **made), "end", Example(args=(torch.randn(2, 8, 8),))
    )
    if dim == 1:
        assert closed(structure) == {"f.weight", "norm.weight"}
    else:
        assert left_open(structure) == ["what norm (BatchNorm1d) gives is used elsewhere too"]


def test_a_sum_in_place_writes_into_what_was_joined_and_uses_nothing_of_it() -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.ghost(x)
        y += x
        return y

    assert ends(Written(forward, ghost=Ghost())) == {"ghost.norm.weight", "ghost.last.weight"}


def _halves(m: Any, x: Any) -> Any:
    return x + torch.cat([m.f(x)[..., :4], m.norm(m.g(x))[..., 4:]], -1)


def _tokens_of_two_kinds(m: Any, x: Any) -> Any:
    """A class token and the rest, normed as the layer before them is given them."""
    y = m.norm(x)
    return m.h(x + torch.cat([m.f(y)[:, :1], y[:, 1:]], 1))


def test_parts_are_followed_as_any_branch_is() -> None:
    assert ends(layers(_halves)) == {"f.weight", "norm.weight"}
    assert left_open(find_structure(layers(_tokens_of_two_kinds), "end")) == [
        "what norm (LayerNorm) gives is used elsewhere too"
    ]

    def unchanged(m: Any, x: Any) -> Any:
        return m.h(x + torch.cat([m.f(x)[:, :1], x[:, 1:]], 1))

    structure = find_structure(layers(unchanged), "end")
    assert closed(structure) == {"f.weight"}
    assert left_open(structure) == ["a part of it is what it leaves, as it is"]


FACTORS = {
    "behind an activation": lambda m, x: x + m.one * functional.relu(m.f(x)),
    "shifted": lambda m, x: x + (m.one * functional.relu(m.f(x)) + m.shift),
    "of what is not known": lambda m, x: x + m.one * torch.sin(m.f(x)),
    "of parts that feed each other": (
        lambda m, x: (lambda y: m.h(x + m.one * torch.cat([m.f(y)[:, :1], y[:, 1:]], 1)))(m.norm(x))
    ),
}


@pytest.mark.parametrize("spelling", FACTORS)
def test_a_factor_closes_what_nothing_before_it_can(spelling: str) -> None:
    """Though it damps nothing as constructed: HGNet's affine blocks, XCiT's class tokens."""
    module = layers(FACTORS[spelling], shift=nn.Parameter(torch.zeros(8)))
    structure = find_structure(module, "end")
    assert left_open(structure) == []
    assert structure.zero_factors == {"one": "the model"}
    init_(module, build=lambda: module, example_inputs=(tokens(),))
    assert not module.get_parameter("one").any()
    assert {"one", "f.weight"} <= _learns(module, tokens())


def test_a_factor_stays_where_a_layer_can_close() -> None:
    for forward in (
        lambda m, x: x + m.one * m.f(x),
        lambda m, x: x + m.one * functional.gelu(m.f(x)),
    ):
        assert ends(layers(forward)) == {"f.weight"}
    assert obstacles(layers(lambda m, x: m.h(m.f(x).relu() + x))) == [
        "relu stands before the add and is dead at 0"
    ]


def _exchanged(m: Any, x: Any) -> Any:
    """CoaT's parallel blocks: what each gives is added to all."""
    one, other = m.one_of(x), m.other_of(x)
    a, b = m.f(m.norm(one)), m.g(m.norm(other))
    return m.h(one + a + b), m.h(other + a.flip(1) + b)


def test_a_zero_may_go_into_several_adds_which_have_another_start() -> None:
    towers = {"one_of": nn.Linear(8, 8), "other_of": nn.Linear(8, 8)}
    assert ends(layers(_exchanged, **towers)) == {"f.weight", "g.weight"}

    def into_a_layer(m: Any, x: Any) -> Any:
        y = m.f(m.norm(x))
        return m.h(x + y), m.g(y)

    def into_a_start(m: Any, x: Any) -> Any:
        y = m.f(x)
        return m.h(x + y), y + m.g(m.norm(y))

    def into_a_branch(m: Any, x: Any) -> Any:
        one, other = m.one_of(x), m.other_of(x)
        y = m.f(m.norm(one))
        return m.h(one + y), m.h(other + m.g(y))

    for forward in (into_a_layer, into_a_start, into_a_branch):
        structure = find_structure(layers(forward, **towers), "end")
        assert left_open(structure) == ["what f (Linear) gives is used elsewhere too"]


def _dual_path(m: Any, x: Any) -> Any:
    """Some channels are added, others are joined."""
    y = m.last(m.conv(x))
    return torch.cat([x[:, :5] + y[:, :5], x[:, 5:], y[:, 5:]], 1)


def test_rows_that_go_into_the_add_are_zero_and_the_others_are_as_if_alone() -> None:
    def build() -> nn.Module:
        return Written(_dual_path, conv=nn.Conv2d(8, 8, 1), last=nn.Conv2d(8, 7, 1))

    assert texts(build, "open-branch") == []
    x = images()
    module = init_(build(), build=build, example_inputs=(x,))
    weight = module.get_parameter("last.weight")
    assert not weight[:5].any()
    assert torch.equal(weight[5:, :, 0, 0], torch.eye(2, 8))
    assert torch.equal(module(x)[:, :5], x[:, :5])


PARTLY = {
    "not a range": lambda m, x: lambda y: m.h(x[..., ::2] + y[..., ::2]) + m.k(y[..., 1::2]),
    "overlapping": lambda m, x: lambda y: m.h(x[..., :4] + y[..., :4]) + m.k(y[..., 3:7]),
    "of a sum": lambda m, x: lambda y: m.h(x[..., :4] + y[..., :4]) + m.k(y[..., 4:] + y[..., :4]),
}


@pytest.mark.parametrize("spelling", PARTLY)
def test_rows_that_go_elsewhere_too_stay(spelling: str) -> None:
    def forward(m: Any, x: Any) -> Any:
        return PARTLY[spelling](m, x)(m.f(x))

    module = layers(forward, h=nn.Linear(4, 8), k=nn.Linear(4, 8))
    assert obstacles(module) == ["what f (Linear) gives is used elsewhere too"]


def _pooled_query(m: Any, x: Any) -> Any:
    """MViT adds the queries to what their attention gives."""
    q, k, v = m.f(x), m.g(x), m.h(x)
    scores = (q * 0.5) @ k.mT
    return x + m.out((scores + q @ m.relative).softmax(-1) @ v + q)


def _fused_pooled_query(m: Any, x: Any) -> Any:
    q, k, v = m.f(x), m.g(x), m.h(x)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=q @ m.relative)
    return x + m.out(mixed + q)


def _linear_attention(m: Any, x: Any) -> Any:
    """CoaT's: products of queries with what becomes of the values, by a layer and by none."""
    q, k, v = m.f(x), m.g(x).softmax(1), m.h(x)
    return x + m.out(0.5 * (q @ (k.mT @ v)) + q * m.k(v))


@pytest.mark.parametrize(
    ("forward", "kind"),
    [
        (_pooled_query, "QUERY"),
        (_fused_pooled_query, "QUERY"),
        (_linear_attention, "PRODUCTS"),
    ],
)
def test_sums_inside_of_attention_are_not_residual(forward: Any, kind: str) -> None:
    relative = nn.Parameter(torch.zeros(8, 5))
    module = layers(forward, out=nn.Linear(8, 8), k=nn.Linear(8, 8), relative=relative)
    found = classes(module, (tokens(),))
    assert (found[-2:], ends(module)) == ([kind, "IDENTITY"], {"out.weight"})

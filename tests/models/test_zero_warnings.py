"""Warnings of zeros where they do harm: before a norm, behind each other, in a last layer."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.models.closings import Around, Written
from tests.models.warned import Attends, texts, warnings_of


def test_a_zero_layer_before_a_norm_is_warned_of() -> None:
    def net() -> nn.Module:
        return Around(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.1), nn.BatchNorm2d(8))

    text = (
        "1 layer of weight 0 stands directly before a norm, which then sees no variance and "
        "multiplies gradients by up to 316: branch.0"
    )
    kind = "zero-before-norm"
    assert texts(net, kind) == []
    assert texts(net, kind, residual="layer") == [(text, "--policy default damps the norm instead")]

    def plain() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))

    assert texts(plain, kind) == []
    assert texts(plain, kind, "0.weight=zeros") == [
        (text.replace("branch.0", "0"), "leave out the --override that makes them 0")
    ]


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
        "linear1 before linear2",
    ),
}


@pytest.mark.parametrize("name", DOUBLE)
def test_two_zeros_in_one_branch_are_warned_of(name: str) -> None:
    factory, override, where = DOUBLE[name]
    closing = {"last_norm": 0.0, "last_weight": 0.0}
    assert texts(factory, "double-zero", **closing) == []
    found = warnings_of(factory, override, **closing).get("double-zero", [])
    expected = "two zeros follow each other, so that neither ever gets a gradient: "
    assert [warning.text for warning in found] == [expected + where]
    assert found[0].hint == "leave out the --override that makes them 0"
    assert override.removesuffix("=zeros") in found[0].tensors
    assert len(found[0].tensors) == 2


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


def _with_frozen_end(*, all_of_it: bool) -> nn.Module:
    """As where low-rank maps are learned beside frozen ones."""
    net = Around(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    net.branch[2].requires_grad_(False)
    net.branch[0].requires_grad_(not all_of_it)
    return net


def test_a_zero_that_is_not_trained_is_warned_of_where_something_else_is() -> None:
    assert texts(lambda: _with_frozen_end(all_of_it=False), "frozen-zero") == [
        (
            "1 residual branch begins as 0 by what is not trained, so that nothing inside ever "
            "learns: branch.2.weight",
            "--override 'branch.2.weight=algorithm-1' opens its branch",
        )
    ]
    assert texts(lambda: _with_frozen_end(all_of_it=True), "frozen-zero") == []


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

    [warning] = warnings_of(two_heads, "[ab].weight=zeros")[kind]
    assert warning.text.endswith(": a.weight, b.weight")
    assert warning.tensors == ("a.weight", "b.weight")

"""Tokens that a norm sees alone must not be 0."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zeroinit_cli
from tests.models.test_planning import plan_of
from tests.models.test_reach import Block
from tests.models.warned import texts
from zeroinit_cli.models.given import init_given
from zeroinit_cli.options import Options


class Classifies(nn.Module):
    """A small ViT: its class token may have a position, a segment, and a norm behind a branch."""

    def __init__(
        self,
        *,
        tokens: int = 1,
        position: bool = False,
        segment: bool = False,
        post: bool = False,
        drawn: bool = False,
    ) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 3)
        self.token = nn.Parameter((torch.randn if drawn else torch.zeros)(1, tokens, 8))
        self.position = nn.Parameter(torch.randn(1, 16 + tokens, 8)) if position else None
        self.segment = nn.Parameter(torch.zeros(1, 1, 8)) if segment else None
        self.f = nn.Linear(8, 8) if post else None
        self.norm = nn.LayerNorm(8) if post else None
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        token = self.token.expand(len(x), -1, -1)
        if self.segment is not None:
            token = token + self.segment
        x = torch.cat([token, x], 1)
        if self.position is not None:
            x = x + self.position
        if self.f is not None and self.norm is not None:
            x = self.norm(x + self.f(x))
        return self.head(self.blocks(x)[:, 0])


ALONE = {
    "set to 0": Classifies,
    "drawn": lambda: Classifies(drawn=True),
    "several": lambda: Classifies(tokens=3),
    "with a segment of 0": lambda: Classifies(segment=True),
    "normed behind a branch that is closed": lambda: Classifies(post=True),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_token_that_a_norm_sees_alone_is_the_last_unit_vector(name: str) -> None:
    """What gradients are, is asked of torch: 0 would make them grow by 316 in each norm."""
    build: Callable[[], Any] = ALONE[name]
    model = build()
    init_given(model, build, Options())
    assert torch.equal(model.token.data, torch.eye(8)[-1].expand_as(model.token))
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert model.token.grad.abs().max() < 10
    model.zero_grad()
    model.token.data.zero_()
    if model.segment is not None:
        model.segment.data.zero_()
    model.head.weight.data.copy_(torch.randn(3, 8))
    model.blocks[0].f.weight.data.copy_(torch.eye(8))
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    if model.norm is None:
        assert model.token.grad.abs().max() > 100
    reasons = {each.info.name: each.reason for each in plan_of(build).tensors}
    assert reasons["token"] == "token that a norm sees alone: the last unit vector"


def test_a_token_with_a_position_is_0() -> None:
    reasons = {
        each.info.name: each.reason for each in plan_of(lambda: Classifies(position=True)).tensors
    }
    assert reasons["token"] == "class token: 0"


class Joined(nn.Module):
    """MViT's: what is added is joined as the tokens are, the token's own position beside others."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.own = (nn.Parameter(torch.randn(1, 1, 8)) for _ in range(2))
        self.table = nn.Parameter(torch.randn(1, 5, 8))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        joined = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        joined = joined + torch.cat([self.own, self.table], 1)
        return self.head(self.norm(joined))


def test_a_position_of_its_own_is_not_that_of_the_others() -> None:
    found = zeroinit_cli.plan(Joined, example_inputs=torch.randn(2, 5, 8))
    reasons = {each.info.name: each.reason for each in found.tensors}
    assert reasons["token"] == "token that a norm sees alone: the last unit vector"
    assert reasons["own"] == "class token: 0"
    assert reasons["table"] == "position table: mirrored"


def test_a_token_of_0_is_warned_of_where_an_override_makes_it() -> None:
    text = (
        "1 token of 0 is all that a norm sees in a place, which then has no variance and "
        "multiplies gradients by up to 316: token"
    )
    for override in ("token=zeros", "token=kept"):
        assert texts(Classifies, "zero-before-norm", override) == [
            (text, "leave out the --override that makes them 0")
        ]
    assert texts(Classifies, "zero-before-norm") == []

"""Positions, tokens and biases are what they are added to, or put beside."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.uses.started import Written, noise, rules
from zeroinit_cli.plans.layouts import Mirrored, Viewed
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros

X = noise(2, 5, 8)
Function = Callable[..., Tensor]


def one_rule(function: Function, shape: tuple[int, ...], x: Tensor = X) -> Any:
    [rule] = rules(partial(Written, function, w=shape), x).values()
    return rule


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda w, x: x + w, (1, 5, 8)),
        (lambda w, x: w + x, (5, 8)),
        (lambda w, x: x + w[None], (5, 8)),
        (lambda w, x: x + w.expand(2, -1, -1), (1, 5, 8)),
        (lambda w, x: x + w.repeat(2, 1, 1), (1, 5, 8)),
        (lambda w, x: x.clone().add_(w), (1, 5, 8)),
        (lambda w, x: torch.add(x, w), (1, 5, 8)),
        (lambda w, x: x + w[:, : x.shape[1]], (1, 5, 8)),
        (lambda w, x: x + w[:, 1:], (1, 6, 8)),
        (lambda w, x: x + w[torch.arange(5)], (6, 8)),
        (lambda w, x: x + functional.embedding(torch.arange(x.shape[1]), w), (6, 8)),
        (lambda w, x: x + functional.interpolate(w.mT, 5).mT, (1, 4, 8)),
        (lambda w, x: x.flatten(0, 1).view(2, 5, 8) + w.to(x.dtype), (1, 5, 8)),
    ],
)
def test_what_is_added_to_a_sequence_is_a_table_of_positions(
    function: Function, shape: tuple[int, ...]
) -> None:
    mirrored = Mirrored(of=Identity())
    expected = mirrored if len(shape) == 2 else Viewed(rows=shape[1], of=mirrored)
    assert one_rule(function, shape) == expected


def test_a_long_table_of_which_a_part_is_added_is_one_too() -> None:
    expected = Viewed(rows=64, of=Mirrored(of=Twisted(block=8, prime=67, half_exponent=-3)))
    assert one_rule(lambda w, x: x + w[:, : x.shape[1]], (1, 64, 8)) == expected


@pytest.mark.parametrize(
    ("function", "shape", "x"),
    [
        (lambda w, x: x + w, (8,), X),
        (lambda w, x: x + w, (1, 8, 1, 1), noise(2, 8, 3, 4)),
        (lambda w, x: x + w[:, None, None], (8,), noise(2, 8, 3, 4)),
        (lambda w, x: torch.baddbmm(w, x, noise(2, 8, 8)), (2, 1, 8), X),
    ],
)
def test_what_is_the_same_at_each_position_is_a_bias(
    function: Function, shape: tuple[int, ...], x: Tensor
) -> None:
    assert one_rule(function, shape, x) == Zeros()


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda w, x: torch.cat([w.expand(2, -1, -1), x], 1), (1, 1, 8)),
        (lambda w, x: torch.cat([x, w.expand(2, -1, -1)], dim=1), (1, 4, 8)),
        (lambda w, x: torch.cat((w.repeat(2, 1, 1), x), 1), (8,)),
        (lambda w, x: torch.cat([w + torch.zeros(2, 1, 8), x], 1), (1, 1, 8)),
        (lambda w, x: torch.cat([torch.stack([w] * 2)[:, None], x], 1), (8,)),
        (lambda w, x: torch.where(x[..., :1] > 0, w, x), (1, 1, 8)),
    ],
)
def test_what_is_put_beside_a_sequence_is_a_token(
    function: Function, shape: tuple[int, ...]
) -> None:
    assert one_rule(function, shape) == Zeros()


def test_tokens_and_positions_are_told_from_each_other() -> None:
    """As in a vision transformer: positions of all, the token's own among them or apart."""

    def together(w: Tensor, p: Tensor, x: Tensor) -> Tensor:
        return torch.cat([w.expand(2, -1, -1), x], 1) + p

    def apart(w: Tensor, p: Tensor, x: Tensor) -> Tensor:
        return torch.cat([w.expand(2, -1, -1), x + p], 1)

    for function, length in ((together, 6), (apart, 5)):
        found = rules(partial(Written, function, w=(1, 1, 8), p=(1, length, 8)), X)
        assert found == {"w": Zeros(), "p": Viewed(rows=length, of=Mirrored(of=Identity()))}


class Text(nn.Module):
    """Tokens, their positions and their segments, as of BERT."""

    def __init__(self, positions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(30, 8, padding_idx=0), nn.Embedding(12, 8)
        self.kinds, self.positions = nn.Embedding(2, 8), positions
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: Tensor) -> Any:
        kinds = self.kinds(torch.zeros_like(ids))
        return self.norm(self.tokens(ids) + self.places(self.positions(ids)) + kinds)


@pytest.mark.parametrize(
    "positions",
    [
        lambda ids: torch.arange(ids.shape[1]),
        lambda ids: torch.arange(ids.size(1), device=ids.device).expand(len(ids), -1),
        lambda ids: (ids != 0).long().cumsum(1),
        lambda ids: torch.cumsum(ids.ne(1).int(), 1) * ids.ne(1).int() + 1,  # RoBERTa's
        lambda ids: torch.ones_like(ids).cumsum(-1) - 1,  # OPT's
    ],
)
def test_tables_are_told_by_what_looks_them_up(positions: Callable[[Tensor], Tensor]) -> None:
    ids = torch.tensor([[3, 7, 9, 2, 5], [8, 1, 4, 6, 2]])
    found = rules(partial(Text, positions), ids)
    assert found["places.weight"] == Mirrored(of=Twisted(block=8, prime=19, half_exponent=-3))
    assert found["kinds.weight"] == Zeros()
    assert found["tokens.weight"].nonzeros((30, 8)) == 29 * 8

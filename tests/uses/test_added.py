"""Positions, tokens and biases are what they are added to, or put beside."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.uses.started import Written, noise, rules, started, without_gradient
from zeroinit_cli.plans import policy
from zeroinit_cli.plans.layouts import Mirrored, Transposed, Viewed
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros
from zeroinit_cli.policies import DEFAULT

X = noise(2, 5, 8)
Function = Callable[..., Tensor]


_REST = slice(None), slice(1, None)


def _written(x: Tensor, at: Any, value: Tensor) -> Tensor:
    x[at] = value
    return x


def _filled(x: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    return x * (1.0 - mask) + value * mask


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


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda w, x: functional.conv2d(x, torch.ones(4, 4, 1, 1)) + w, (1, 4, 3, 5)),
        (lambda w, x: functional.conv2d(x, torch.ones(4, 4, 1, 1)).relu() + w, (4, 3, 5)),
        (
            lambda w, x: functional.conv2d(functional.dropout(x + w), torch.ones(2, 4, 3, 3)),
            (1, 4, 3, 5),
        ),
        (lambda w, x: functional.batch_norm(x + w, torch.zeros(4), torch.ones(4)), (1, 4, 3, 5)),
        (lambda w, x: x.flatten(2).mT + w.flatten(2).mT, (1, 4, 3, 5)),
        (lambda w, x: x.permute(0, 2, 3, 1) + w.permute(0, 2, 3, 1), (1, 4, 3, 5)),  # Hiera's
        (lambda w, x: x.flatten(2).mT + w.mT, (1, 4, 15)),
        (lambda w, x: x.flatten(2).mT + w.T, (4, 15)),
    ],
)
def test_a_table_of_maps_is_one_of_positions_stored_transposed(
    function: Function, shape: tuple[int, ...]
) -> None:
    mirrored = Transposed(of=Mirrored(of=Twisted(block=4, prime=19, half_exponent=-2)))
    expected = mirrored if len(shape) == 2 else Viewed(rows=4, of=mirrored)
    assert one_rule(function, shape, noise(2, 4, 3, 5)) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda r, c, x: x + r + c,
        lambda r, c, x: r + (x + c),
        lambda r, c, x: x + (r + c),
        lambda r, c, x: (x + r.expand(1, 3, 7, 8)).clone() + c,
        lambda r, c, x: x.add(r).add_(c),
    ],
)
def test_of_rows_and_columns_the_larger_table_is_mirrored_and_the_other_0(
    function: Function,
) -> None:
    shapes = {"r": (1, 3, 1, 8), "c": (1, 1, 7, 8)}
    found = rules(partial(Written, function, **shapes), noise(2, 3, 7, 8))
    assert found == {"r": Zeros(), "c": Viewed(rows=7, of=Mirrored(of=Identity()))}


def test_tables_that_are_added_to_different_sums_are_each_mirrored() -> None:
    def function(one: Tensor, other: Tensor, x: Tensor) -> Tensor:
        x = x + one
        return x + functional.layer_norm(x, (8,)) @ torch.ones(8, 8) + other

    found = rules(partial(Written, function, one=(5, 8), other=(1, 5, 8)), X)
    assert Zeros() not in found.values()


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
        (lambda w, x: _written(x.clone(), (slice(None), 0), w), (8,)),
        (lambda w, x: _written(x.clone(), (slice(None), slice(2)), w), (1, 2, 8)),
        (
            lambda w, x: _written(_written(torch.zeros(2, 6, 8), (slice(None), 0), w), _REST, x),
            (8,),
        ),
        (lambda w, x: _filled(x, x[..., :1], w), (1, 1, 8)),
        (lambda w, x: _filled(x, (x[..., 0] > 0)[..., None].type_as(w), w.expand(2, 5, -1)), (8,)),
    ],
)
def test_what_is_put_beside_a_sequence_is_a_token(
    function: Function, shape: tuple[int, ...]
) -> None:
    assert one_rule(function, shape) == Zeros()


class Pooled(nn.Module):
    """A learned query of all positions, as of attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.randn(1, 1, 8))
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(self.latent).expand(len(x), -1, -1)
        return functional.scaled_dot_product_attention(q, self.k(x), self.v(x))


def test_a_vector_that_a_layer_is_applied_to_is_a_token() -> None:
    assert rules(Pooled, X)["latent"] == Zeros()
    assert "latent" not in without_gradient(started(Pooled, X), X)


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


@pytest.mark.parametrize(("first", "second"), [(40, 100), (100, 40)])
def test_positions_are_half_as_long_as_the_rows_of_the_largest_tied_table(
    first: int, second: int
) -> None:
    def function(a: Tensor, b: Tensor, places: Tensor, x: Tensor) -> Tensor:
        tokens = functional.embedding(x, a) + functional.embedding(x, b)
        y = functional.gelu(tokens + functional.embedding(torch.arange(6), places))
        return torch.cat([functional.linear(y, a), functional.linear(y, b)], -1)

    build = partial(Written, function, a=(first, 8), b=(second, 8), places=(6, 8))
    found = rules(build, torch.zeros(2, 6, dtype=torch.long))
    assert found["places"] == policy.position_table((6, 8), DEFAULT, beside=(100, 8))

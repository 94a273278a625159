"""What is added to the scores of attention is a bias of it, and no branch, however it is added."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.uses.started import Written, noise, planned, rules, started
from zeroinit_cli.plans.rules import Zeros

HEADS, SIZE, LENGTH = 2, 4, 5
WIDTH = HEADS * SIZE
X = noise(2, LENGTH, WIDTH)
BIAS = (HEADS, LENGTH, LENGTH)
BY_HEAD = (2, HEADS, LENGTH, LENGTH)
Scored = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def written_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT * SIZE**-0.5 + bias, dim=-1) @ v


def in_front(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return torch.matmul(torch.softmax(bias.unsqueeze(0) + (q * SIZE**-0.5) @ k.mT, -1), v)


def in_place(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k)
    scores *= SIZE**-0.5
    scores += bias[None]
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)


def as_mask(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(2, -1, -1, -1))


def by_baddbmm(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    scores = torch.baddbmm(bias.repeat(2, 1, 1), q, k.mT, alpha=SIZE**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(2, HEADS, LENGTH, SIZE)


SPELLINGS = (written_out, in_front, in_place, as_mask, by_baddbmm)


def block(scored: Scored, fused: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    q, k, v = ((x @ fused).unflatten(-1, (3, HEADS, SIZE))).permute(2, 0, 3, 1, 4)
    mixed: Tensor = scored(q, k, v, bias)
    return x + mixed.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("scored", SPELLINGS, ids=lambda scored: str(scored.__name__))
def test_a_bias_of_scores_is_0_and_its_branch_begins_closed(scored: Scored) -> None:
    build = partial(Written, partial(block, scored), fused=(WIDTH, 3 * WIDTH), bias=BIAS)
    plan = planned(build, X)
    [bias] = [each for each in plan.tensors if each.info.name == "bias"]
    assert (bias.rule, bias.reason) == (Zeros(), "relative-position table: 0")
    assert not plan.warnings
    assert torch.equal(started(build, X)(X), X)


def test_it_does_not_matter_where_it_is_added() -> None:
    plans = (
        planned(partial(Written, partial(block, each), fused=(WIDTH, 3 * WIDTH), bias=BIAS), X)
        for each in SPELLINGS
    )
    assert len({plan.digest() for plan in plans}) == 1


class Relative(nn.Module):
    """Attention with a table of relative positions, looked up in one of several ways."""

    def __init__(self, looked_up: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(shape))
        self.fused = nn.Linear(WIDTH, 3 * WIDTH)
        steps = torch.arange(LENGTH)
        places = steps[:, None] - steps + LENGTH - 1
        self.register_buffer("places", places, persistent=False)
        self.looked_up = looked_up

    def forward(self, x: Tensor) -> Tensor:
        places: Any = self.places
        bias = self.looked_up(self.table, places)
        q, k, v = self.fused(x).unflatten(-1, (3, HEADS, SIZE)).permute(2, 0, 3, 1, 4)
        return x + written_out(q, k, v, bias).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("looked_up", "shape"),
    [
        (lambda table, at: table[at].permute(2, 0, 1), (2 * LENGTH - 1, HEADS)),  # Swin's
        (
            lambda table, at: table[at.view(-1)].view(LENGTH, LENGTH, -1).permute(2, 0, 1),
            (2 * LENGTH - 1, HEADS),
        ),
        (
            lambda table, at: functional.embedding(at, table).permute(2, 0, 1),
            (2 * LENGTH - 1, HEADS),
        ),  # T5's
        (lambda table, at: table[:, at], (HEADS, 2 * LENGTH - 1)),  # LeViT's
        (
            lambda table, at: table.index_select(1, at.flatten()).view(BIAS),
            (HEADS, 2 * LENGTH - 1),
        ),
        (
            lambda table, at: table.gather(1, at.flatten()[None].expand(HEADS, -1)).view(BIAS),
            (HEADS, 2 * LENGTH - 1),
        ),
    ],
)
def test_a_table_of_relative_positions_is_0_however_it_is_looked_up(
    looked_up: Any, shape: tuple[int, ...]
) -> None:
    build = partial(Relative, looked_up, *shape)
    assert rules(build, X)["table"] == Zeros()
    assert torch.equal(started(build, X)(X), X)


def by_kind(fused: Tensor, kinds: Tensor, shift: Tensor, x: Tensor) -> Tensor:
    """Scores for what is of one segment and of another, as of XLNet and Funnel."""
    q, k, v = ((x @ fused).unflatten(-1, (3, HEADS, SIZE))).permute(2, 0, 1, 3, 4)
    of_kind = torch.einsum("bind,snd->bnis", q * SIZE**-0.5 + shift, kinds)
    other, same = torch.split(of_kind, 1, dim=-1)
    is_same = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    of_kind = torch.where(is_same, same.expand(BY_HEAD), other.expand(BY_HEAD)) * torch.ones(LENGTH)
    scores = torch.einsum("bind,bjnd->bnij", q, k) + of_kind
    return x + torch.einsum("bnij,bjnd->bind", scores.softmax(-1), v).flatten(2)


def test_segments_in_scores_and_a_bias_of_each_head_are_0() -> None:
    shapes = {"fused": (WIDTH, 3 * WIDTH), "kinds": (2, HEADS, SIZE), "shift": (HEADS, SIZE)}
    plan = planned(partial(Written, by_kind, **shapes), X)
    reasons = {each.info.name: each.reason for each in plan.tensors}
    assert reasons["kinds"] == "relative-position table: 0"
    assert reasons["shift"] == "Written: bias 0"


class Grouped(nn.Module):
    """Fewer keys than queries, repeated or left to torch."""

    def __init__(self, *, repeats: bool) -> None:
        super().__init__()
        self.fused, self.repeats = nn.Linear(WIDTH, 2 * WIDTH), repeats

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (-1, SIZE)).transpose(1, 2)
            for each in self.fused(x).split([WIDTH, SIZE, SIZE], -1)
        )
        if self.repeats:
            k, v = (each.repeat_interleave(HEADS, 1) for each in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, enable_gqa=not self.repeats)
        return x + mixed.transpose(1, 2).flatten(2)


def test_grouped_queries_are_the_same_whoever_repeats_the_keys() -> None:
    digests = {planned(partial(Grouped, repeats=each), X).digest() for each in (True, False)}
    assert len(digests) == 1
    assert torch.equal(started(partial(Grouped, repeats=False), X)(X), X)


class Cross(nn.Module):
    """Attention to a memory, whose keys and values lie in one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(6, 2 * WIDTH)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q = self.one(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2)
        k, v = self.other(memory).unflatten(-1, (2, HEADS, SIZE)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + mixed.transpose(1, 2).flatten(2)


def test_attention_to_a_memory_is_closed_by_the_weight_of_its_keys_and_values() -> None:
    memory = noise(2, 7, 6)
    module = started(Cross, X, memory)
    assert torch.equal(module(X, memory), X)
    assert not module.get_parameter("other.weight").any()
    assert torch.equal(module.get_parameter("one.weight"), torch.eye(WIDTH))

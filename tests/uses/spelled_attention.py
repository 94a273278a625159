"""Attention as people spell it: where queries, keys and values lie, and how they are mixed.

A way gives a module its weights, and from these and an input the queries, keys and values, each of
shape (batch, heads, positions, size). A mix is a function of these three. A block is any pair.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS, GROUPS, SIZE = 4, 2, 3
WIDTH = HEADS * SIZE
NARROW = GROUPS * SIZE  # keys of grouped queries

Weights = dict[str, nn.Module | nn.Parameter]
Three = Iterable[Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How queries, keys and values are made.

    Attributes:
        weights: makes those of a block, by their names in it.
        three: queries, keys and values of a block's input.
        one: the block's fused weight as PyTorch's `in_proj_weight` has it, if it has one.
    """

    weights: Callable[[], Weights]
    three: Callable[[Any, Tensor], Three]
    one: Callable[[Tensor], Tensor] | None = None


class Block(nn.Module):
    """Attention of one way and mix, in a residual branch or alone."""

    def __init__(self, way: Way, mix: Callable[..., Tensor], *, residual: bool = True) -> None:
        super().__init__()
        for name, weight in way.weights().items():
            setattr(self, name, weight)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.way, self.mix, self.residual = way, mix, residual

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.way.three(self, x)
        mixed: Tensor = self.out(self.mix(q, k, v).transpose(1, 2).flatten(2))
        return x + mixed if self.residual else mixed


# How they are mixed.


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(SIZE), dim=-1) @ v


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * SIZE**-0.5
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)


def by_batches(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    batch, heads, length, size = q.shape
    q, k, v = (each.reshape(-1, length, size) for each in (q, k, v))
    nothing = torch.empty(batch * heads, length, length)
    scores = torch.baddbmm(nothing, q, k.transpose(1, 2), beta=0, alpha=SIZE**-0.5)
    mixed = torch.bmm(functional.softmax(scores, dim=-1), v)
    return mixed.view(batch, heads, length, size)


def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """With a mask that lets all pass, a dropout, and scores in another type, as of GPT-2."""
    scores = q.mul(SIZE**-0.25) @ (k * SIZE**-0.25).mT
    scores = scores.masked_fill(torch.zeros(scores.shape[-2:], dtype=torch.bool), -1e9)
    weights = functional.dropout(scores.float().softmax(-1).type_as(v), 0.0)
    return torch.matmul(weights, v)


MIXES = (fused, written_out, by_einsum, by_batches, masked)


# Where they lie.


def heads(x: Tensor, count: int = HEADS) -> Tensor:
    """(batch, positions, heads * size) by heads."""
    parted: Tensor = x.unflatten(-1, (count, SIZE))
    return parted.transpose(1, 2)


def all_heads(parts: Iterable[Tensor]) -> Three:
    return map(heads, parts)


def turned(parts: Iterable[Tensor]) -> Three:
    """(batch, positions, heads, size) each by heads."""
    return (each.transpose(1, 2) for each in parts)


def layer(fan_out: int = 3 * WIDTH) -> Callable[[], Weights]:
    return lambda: {"w": nn.Linear(WIDTH, fan_out, bias=False)}


def bare(*shape: int) -> Callable[[], Weights]:
    return lambda: {"w": nn.Parameter(torch.randn(shape))}


def separate(*fan_outs: int) -> Callable[[], Weights]:
    """Layers with names that mean nothing."""
    return lambda: {
        name: nn.Linear(WIDTH, fan_out, bias=False)
        for name, fan_out in zip("xyz", fan_outs, strict=False)
    }


def sliced(module: Any, x: Tensor) -> Three:
    given = module.w(x)
    return all_heads((given[..., :WIDTH], given[:, :, WIDTH:-WIDTH], given[..., -WIDTH:]))


def grouped(module: Any, x: Tensor) -> Three:
    """In each group its queries, a key and a value, as of the newer Falcon."""
    given = module.w(x).unflatten(-1, (GROUPS, HEADS // GROUPS + 2, SIZE))
    yield given[:, :, :, :-2].flatten(2, 3).transpose(1, 2)
    for place in (-2, -1):
        shared = given[:, :, :, [place]].expand(-1, -1, -1, HEADS // GROUPS, -1)
        yield shared.flatten(2, 3).transpose(1, 2)


def repeated(q: Tensor, k: Tensor, v: Tensor) -> Three:
    """Fewer keys and values than queries, each for several."""
    yield heads(q)
    yield heads(k, GROUPS).repeat_interleave(HEADS // GROUPS, 1)
    group = heads(v, GROUPS)[:, :, None]
    yield group.expand(-1, -1, HEADS // GROUPS, -1, -1).reshape(len(q), HEADS, -1, SIZE)


def added(module: Any, x: Tensor) -> Three:
    """As by transformers' Conv1D."""
    flat = torch.addmm(torch.zeros(3 * WIDTH), x.view(-1, WIDTH), module.w)
    return all_heads(flat.view(*x.shape[:2], -1).split(WIDTH, dim=2))


def by_head(w: Tensor) -> Tensor:
    """Rows that lie (head, letter, size), by letter first."""
    parted: Tensor = w.unflatten(0, (HEADS, 3, SIZE))
    return parted.transpose(0, 1).flatten(0, 2)


WAYS: dict[str, Way] = {
    "three layers": Way(
        weights=separate(WIDTH, WIDTH, WIDTH),
        three=lambda module, x: all_heads((module.x(x), module.y(x), module.z(x))),
    ),
    "chunk": Way(
        weights=layer(),
        three=lambda module, x: all_heads(module.w(x).chunk(3, dim=-1)),
        one=lambda w: w,
    ),
    "split": Way(
        weights=layer(),
        three=lambda module, x: all_heads(torch.split(module.w(x), [WIDTH] * 3, -1)),
        one=lambda w: w,
    ),
    "slices": Way(weights=layer(), three=sliced, one=lambda w: w),
    "unbind after view": Way(
        weights=layer(),
        three=lambda module, x: turned(
            module.w(x).view(*x.shape[:2], 3, HEADS, SIZE).unbind(dim=2)
        ),
        one=lambda w: w,
    ),
    "permute and unpack": Way(
        weights=layer(),
        three=lambda module, x: (
            module.w(x).reshape(*x.shape[:2], 3, HEADS, SIZE).permute(2, 0, 3, 1, 4)
        ),
        one=lambda w: w,
    ),
    "head by head": Way(
        weights=layer(),
        three=lambda module, x: turned(
            module.w(x).view(*x.shape[:2], HEADS, 3 * SIZE).chunk(3, dim=-1)
        ),
        one=by_head,
    ),
    "head by head, unbind": Way(
        weights=layer(),
        three=lambda module, x: turned(module.w(x).unflatten(-1, (HEADS, 3, SIZE)).unbind(3)),
        one=by_head,
    ),
    "entry by entry": Way(
        weights=layer(),
        three=lambda module, x: turned(module.w(x).unflatten(-1, (HEADS, SIZE, 3)).unbind(-1)),
        one=lambda w: w.unflatten(0, (WIDTH, 3)).transpose(0, 1).flatten(0, 1),
    ),
    "1 x 1 convolution": Way(
        weights=lambda: {"w": nn.Conv2d(WIDTH, 3 * WIDTH, 1, bias=False)},
        three=lambda module, x: all_heads(
            each.flatten(2).mT for each in module.w(x.mT[..., None]).chunk(3, dim=1)
        ),
        one=lambda w: w[..., 0, 0],
    ),
    "convolution of lines": Way(
        weights=lambda: {"w": nn.Conv1d(WIDTH, 3 * WIDTH, 1, bias=False)},
        three=lambda module, x: all_heads(each.mT for each in module.w(x.mT).split(WIDTH, 1)),
        one=lambda w: w[..., 0],
    ),
    "x @ w": Way(
        weights=bare(WIDTH, 3 * WIDTH),
        three=lambda module, x: all_heads((x @ module.w).chunk(3, -1)),
        one=lambda w: w.T,
    ),
    "x @ w.T": Way(
        weights=bare(3 * WIDTH, WIDTH),
        three=lambda module, x: all_heads(torch.matmul(x, module.w.T).chunk(3, -1)),
        one=lambda w: w,
    ),
    "w @ x": Way(
        weights=bare(3 * WIDTH, WIDTH),
        three=lambda module, x: all_heads(each.mT for each in (module.w @ x.mT).chunk(3, 1)),
        one=lambda w: w,
    ),
    "F.linear of a transpose": Way(
        weights=bare(WIDTH, 3 * WIDTH),
        three=lambda module, x: all_heads(functional.linear(x, module.w.t()).chunk(3, -1)),
        one=lambda w: w.T,
    ),
    "F.linear of parts": Way(
        weights=bare(3 * WIDTH, WIDTH),
        three=lambda module, x: all_heads(functional.linear(x, w) for w in module.w.chunk(3)),
        one=lambda w: w,
    ),
    "addmm": Way(weights=bare(WIDTH, 3 * WIDTH), three=added, one=lambda w: w.T),
    "einsum (out, in)": Way(
        weights=bare(3 * WIDTH, WIDTH),
        three=lambda module, x: all_heads(
            torch.einsum("btc,oc->bto", x, module.w).chunk(3, dim=-1)
        ),
        one=lambda w: w,
    ),
    "einsum, weight first": Way(
        weights=bare(WIDTH, 3 * WIDTH),
        three=lambda module, x: all_heads(
            torch.einsum("io, b t i -> b t o", module.w, x).chunk(3, dim=-1)
        ),
        one=lambda w: w.T,
    ),
    "einsum of any batch": Way(
        weights=bare(3 * WIDTH, WIDTH),
        three=lambda module, x: all_heads(
            torch.einsum("...i,oi->...o", x, module.w).chunk(3, dim=-1)
        ),
        one=lambda w: w,
    ),
    "einsum (in, letter, head, size)": Way(
        weights=bare(WIDTH, 3, HEADS, SIZE),
        three=lambda module, x: torch.einsum("btc,ckhd->kbhtd", x, module.w),
        one=lambda w: w.flatten(1).T,
    ),
    "einsum (letter, head, size, in)": Way(
        weights=bare(3, HEADS, SIZE, WIDTH),
        three=lambda module, x: torch.einsum("btc,khdc->kbhtd", x, module.w),
        one=lambda w: w.flatten(0, 2),
    ),
}
"""Ways that compute the same, if their weights do."""

SHARED: dict[str, Way] = {
    "grouped queries": Way(
        weights=separate(WIDTH, NARROW, NARROW),
        three=lambda module, x: repeated(module.x(x), module.y(x), module.z(x)),
    ),
    "grouped queries, fused": Way(
        weights=layer(WIDTH + 2 * NARROW),
        three=lambda module, x: repeated(*module.w(x).split([WIDTH, NARROW, NARROW], -1)),
        one=lambda w: w,
    ),
    "grouped queries, group by group": Way(
        weights=layer(WIDTH + 2 * NARROW),
        three=grouped,
        one=lambda w: torch.cat(
            [
                each.flatten(0, 1)
                for each in w.unflatten(0, (GROUPS, -1)).split([WIDTH // GROUPS, SIZE, SIZE], 1)
            ]
        ),
    ),
}
"""The same with one key and value for several queries."""

OTHERS: dict[str, Way] = {
    "keys and values in one": Way(
        weights=separate(WIDTH, 2 * WIDTH),
        three=lambda module, x: all_heads((module.x(x), *module.y(x).chunk(2, -1))),
    ),
    "keys and values in one, head by head": Way(
        weights=separate(WIDTH, 2 * WIDTH),
        three=lambda module, x: (
            heads(module.x(x)),
            *turned(module.y(x).unflatten(-1, (HEADS, 2, SIZE)).unbind(3)),
        ),
    ),
    "queries are keys": Way(
        weights=separate(WIDTH, WIDTH),
        three=lambda module, x: (lambda same: all_heads((same, same, module.y(x))))(module.x(x)),
    ),
    "keys are values": Way(
        weights=separate(WIDTH, WIDTH),
        three=lambda module, x: (lambda same: all_heads((module.x(x), same, same)))(module.y(x)),
    ),
    "queries are keys and values": Way(
        weights=separate(WIDTH),
        three=lambda module, x: [heads(module.x(x))] * 3,
    ),
}
"""Attention whose parts are shared, or lie beside each other."""

"""Nets of a few lines, each as its kind is usually written."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

_WIDTH = 32
_ROWS = 64


def seq2seq() -> nn.Module:
    """Torch's own encoder and decoder."""
    return nn.Transformer(_WIDTH, 4, 2, 2, 64, batch_first=True)


def stacked_encoder() -> nn.Module:
    """Torch's own encoder with norms before its branches."""
    layer = nn.TransformerEncoderLayer(_WIDTH, 4, 64, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, nn.LayerNorm(_WIDTH), enable_nested_tensor=False)


class RotaryAttention(nn.Module):
    """Causal attention with fused q, k, v and the rotary-embedding-torch package."""

    def __init__(self, heads: int = 4):
        super().__init__()
        from rotary_embedding_torch import RotaryEmbedding

        self.heads = heads
        self.rotary = RotaryEmbedding(dim=4)
        self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH, bias=False)
        self.out = nn.Linear(_WIDTH, _WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(2, 0).transpose(2, 3)
        q, k, v = parts.unbind(0)
        q, k = self.rotary.rotate_queries_or_keys(q), self.rotary.rotate_queries_or_keys(k)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Residual(nn.Module):
    """x + branch(norm(x))."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(self.norm(x))
        return x + branch


def _feed_forward() -> nn.Module:
    return nn.Sequential(nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH))


class RotaryLM(nn.Module):
    """A small language model, its head tied to its table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(_ROWS, _WIDTH)
        branches = [RotaryAttention(), _feed_forward(), RotaryAttention(), _feed_forward()]
        self.blocks = nn.Sequential(*map(Residual, branches))
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, _ROWS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.blocks(self.table(ids))))
        return logits


class Scan(nn.Module):
    """A selective state space written out in torch, after mamba-minimal."""

    def __init__(self, states: int = 4, rank: int = 2):
        super().__init__()
        inner = 2 * _WIDTH
        self.states, self.rank = states, rank
        self.in_proj = nn.Linear(_WIDTH, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, 4, groups=inner, padding=3)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, states + 1).repeat(inner, 1)))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, _WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.in_proj(x).chunk(2, -1)
        u = functional.silu(self.conv(u.mT)[..., : x.shape[1]].mT)
        dt, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)
        dt = functional.softplus(self.dt_proj(dt))
        decay = torch.exp(dt[..., None] * -torch.exp(self.A_log))  # (B, L, inner, states)
        fed = (dt * u)[..., None] * b[:, :, None]
        state, seen = torch.zeros_like(fed[:, 0]), []
        for step in range(x.shape[1]):
            state = decay[:, step] * state + fed[:, step]
            seen.append((state * c[:, step, None]).sum(-1))
        y = torch.stack(seen, 1) + u * self.D
        out: Tensor = self.out_proj(y * functional.silu(gate))
        return out


class ScanLM(nn.Module):
    """Two state spaces in a row, RMS norms between."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(_ROWS, _WIDTH)
        self.norms = nn.ModuleList(nn.RMSNorm(_WIDTH) for _ in range(2))
        self.mixers = nn.ModuleList(Scan() for _ in range(2))
        self.head = nn.Linear(_WIDTH, _ROWS, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        logits: Tensor = self.head(x)
        return logits


class MixerBlock(nn.Module):
    """Mixes tokens, then channels, with einops between."""

    def __init__(self, tokens: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(_WIDTH) for _ in range(2))
        self.tokens = nn.Sequential(nn.Linear(tokens, 24), nn.GELU(), nn.Linear(24, tokens))
        self.channels = _feed_forward()

    def forward(self, x: Tensor) -> Tensor:
        from einops import rearrange

        mixed = self.tokens(rearrange(self.norms[0](x), "b t c -> b c t"))
        x = x + rearrange(mixed, "b c t -> b t c")
        branch: Tensor = self.channels(self.norms[1](x))
        return x + branch


class MixerNet(nn.Module):
    """Patches by einops, mixers, and the mean of what they give."""

    def __init__(self) -> None:
        super().__init__()
        from einops.layers.torch import Rearrange, Reduce

        patches: Any = Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=8, q=8)
        mean: Any = Reduce("b t c -> b c", "mean")
        self.net = nn.Sequential(
            patches,
            nn.Linear(192, _WIDTH),
            MixerBlock(16),
            MixerBlock(16),
            nn.LayerNorm(_WIDTH),
            mean,
            nn.Linear(_WIDTH, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


class Tagger(nn.Module):
    """A word's tag from a recurrent net that reads both ways."""

    def __init__(self, kind: type[nn.RNNBase]):
        super().__init__()
        self.table = nn.Embedding(_ROWS, 16)
        made: Any = kind
        self.net = made(16, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 5)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.net(self.table(ids))[0])
        return logits


class TemporalBlock(nn.Module):
    """Two causal convolutions with weight norm, as in temporal convolutional networks."""

    def __init__(self, channels_in: int, channels: int, dilation: int):
        super().__init__()
        self.padding = 2 * dilation
        self.one = weight_norm(nn.Conv1d(channels_in, channels, 3, dilation=dilation))
        self.two = weight_norm(nn.Conv1d(channels, channels, 3, dilation=dilation))
        self.shortcut = nn.Conv1d(channels_in, channels, 1) if channels_in != channels else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.one(functional.pad(x, (self.padding, 0))))
        y = functional.relu(self.two(functional.pad(y, (self.padding, 0))))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class TemporalNet(nn.Module):
    """Three of them, ever further back."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            TemporalBlock(8, 16, 1), TemporalBlock(16, 16, 2), TemporalBlock(16, 16, 4)
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.net(x)[..., -1])
        return logits


class Discriminator(nn.Module):
    """A residual discriminator, every map under spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = spectral_norm(nn.Conv2d(3, 16, 3, padding=1))
        self.one = spectral_norm(nn.Conv2d(16, 16, 3, padding=1))
        self.two = spectral_norm(nn.Conv2d(16, 16, 3, padding=1))
        self.head = spectral_norm(nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.two(functional.relu(self.one(functional.relu(x))))
        score: Tensor = self.head(functional.relu(x).sum((2, 3)))
        return score

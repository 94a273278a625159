"""Attention, feed-forwards and blocks as people write them, to make transformers of in tests."""

import math
from typing import Any

from torch import nn
from torch.nn import functional


class SeparateAttention(nn.Module):
    """q, k, v and output as Linear layers of their own, scores written out."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Any, mask: Any = None) -> Any:
        b, t, c = x.shape
        q, k, v = (
            layer(x).view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.heads)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        mixed = nn.Softmax(dim=-1)(scores) @ v
        return self.out(mixed.transpose(1, 2).contiguous().view(b, t, c))


class FusedAttention(nn.Module):
    """timm's: one Linear for q, k and v, functional.scaled_dot_product_attention."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v)
        return self.drop(self.proj(x.transpose(1, 2).reshape(b, n, c)))


class Mlp(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        return self.fc2(functional.gelu(self.fc1(x)))


class SwiGlu(nn.Module):
    """Llama's feed-forward."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.up_proj = nn.Linear(width, 2 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Any) -> Any:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class PreNorm(nn.Module):
    def __init__(self, attn: nn.Module, mlp: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn, self.mlp = attn, mlp or Mlp()

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PostNorm(nn.Module):
    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn, self.mlp = attn, Mlp()

    def forward(self, x: Any, src_mask: Any = None) -> Any:
        x = self.norm1(x + self.attn(x))
        return self.norm2(self.mlp(x) + x)


class Multihead(nn.Module):
    """torch's own attention, called as people call it."""

    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        out, _ = self.mha(x, x, x, need_weights=False)
        return out


class Cross(nn.Module):
    """A decoder's block: attention to itself, to a memory, and a feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(8, 2, batch_first=True)
        self.other = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = Mlp()

    def forward(self, x: Any, memory: Any) -> Any:
        x = x + self.own(x, x, x)[0]
        x = x + self.other(query=x, key=memory, value=memory)[0]
        return x + self.mlp(x)

"""A small vision transformer and a small GPT, both with norms before each branch."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Self-attention with one fused projection to query, key and value."""

    def __init__(self, dim: int, heads: int, *, causal: bool):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.heads, self.causal = heads, causal

    def forward(self, tokens: Tensor) -> Tensor:
        """Of tokens (batch, count, dim), the same shape."""
        batch, count, dim = tokens.shape
        q, k, v = (
            each.view(batch, count, self.heads, dim // self.heads).transpose(1, 2)
            for each in self.qkv(tokens).chunk(3, dim=-1)
        )  # each (batch, heads, count, dim / heads)
        value = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.proj(value.transpose(1, 2).reshape(batch, count, dim))
        return out


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, *, causal: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, causal=causal)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        value: Tensor = self.fc2(self.act(self.fc1(self.norm2(tokens))))
        return tokens + value


class ViT(nn.Module):
    """Patches of 8 x 8 or 16 x 16 images, a table of positions, blocks, the mean of all tokens."""

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        *,
        pixels: int = 8,
        patch: int = 2,
        dim: int = 48,
        layers: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels, dim, patch, patch)
        self.positions = nn.Embedding((pixels // patch) ** 2, dim)
        self.blocks = nn.Sequential(*(_Block(dim, heads, causal=False) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        tokens = self.stem(images).flatten(2).transpose(1, 2)  # (batch, count, dim)
        tokens = tokens + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        logits: Tensor = self.fc(self.norm(self.blocks(tokens)).mean(1))
        return logits


class GPT(nn.Module):
    """Tokens and positions from tables, causal blocks, a head of its own (not tied)."""

    def __init__(
        self,
        vocabulary: int = 128,
        context: int = 64,
        *,
        dim: int = 64,
        layers: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, dim)
        self.positions = nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*(_Block(dim, heads, causal=True) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, context, vocabulary) of tokens (batch, context)."""
        where = torch.arange(tokens.shape[1], device=tokens.device)
        value = self.blocks(self.tokens(tokens) + self.positions(where))
        logits: Tensor = self.head(self.norm(value))
        return logits

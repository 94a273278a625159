"""Swin: attention inside windows that move, and a table of relative positions."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class _WindowAttention(nn.Module):
    """Attention among the tokens of each window; every second time the windows are moved."""

    pairs: Tensor

    def __init__(self, dim: int, heads: int, window: int, shift: int):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative, std=0.02)
        self.heads, self.window, self.shift = heads, window, shift
        at = torch.arange(window)
        rows = at[:, None] - at[None, :] + window - 1
        pairs = rows[:, None, :, None] * (2 * window - 1) + rows[None, :, None, :]
        self.register_buffer("pairs", pairs.reshape(window**2, window**2))

    def forward(self, images: Tensor) -> Tensor:
        """Of images (batch, side, side, dim), the same shape."""
        batch, side, _, dim = images.shape
        window, count = self.window, side // self.window
        moved = torch.roll(images, (-self.shift, -self.shift), (1, 2))
        cut = moved.view(batch, count, window, count, window, dim).transpose(2, 3)
        tokens = cut.reshape(batch * count**2, window**2, dim)
        q, k, v = (
            each.view(*tokens.shape[:2], self.heads, dim // self.heads).transpose(1, 2)
            for each in self.qkv(tokens).chunk(3, dim=-1)
        )
        bias = self.relative[self.pairs.flatten()].view(window**2, window**2, self.heads)
        value = scaled_dot_product_attention(q, k, v, attn_mask=bias.permute(2, 0, 1))
        value = self.proj(value.transpose(1, 2).reshape(tokens.shape))
        back = value.view(batch, count, count, window, window, dim).transpose(2, 3)
        return torch.roll(back.reshape(images.shape), (self.shift, self.shift), (1, 2))


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, shift: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = _WindowAttention(dim, heads, window, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, images: Tensor) -> Tensor:
        images = images + self.attention(self.norm1(images))
        value: Tensor = self.fc2(self.act(self.fc1(self.norm2(images))))
        return images + value


class _Merge(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        quarters = [images[:, y::2, x::2] for x in (0, 1) for y in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(quarters, -1)))
        return merged


class Swin(nn.Module):
    """Patches, two stages of two blocks, the mean of all tokens."""

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        *,
        dim: int = 32,
        patch: int = 2,
        window: int = 2,
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)
        self.blocks = nn.Sequential(
            _Block(dim, 4, window, 0),
            _Block(dim, 4, window, window // 2),
            _Merge(dim),
            _Block(2 * dim, 4, window, 0),
            _Block(2 * dim, 4, window, 0),
        )
        self.last = nn.LayerNorm(2 * dim)
        self.fc = nn.Linear(2 * dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = self.blocks(self.norm(self.stem(images).permute(0, 2, 3, 1)))
        logits: Tensor = self.fc(self.last(value).mean((1, 2)))
        return logits

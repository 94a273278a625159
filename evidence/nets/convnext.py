"""ConvNeXt: depthwise convolution, layer norm, a wide MLP, a layer scale."""

import torch
from torch import Tensor, nn


class _ChannelNorm(nn.Module):
    """Layer norm over the channels of images."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        normed: Tensor = self.norm(images.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class _Block(nn.Module):
    def __init__(self, width: int, scale: float):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)
        self.layer_scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, images: Tensor) -> Tensor:
        value = self.depthwise(images).permute(0, 2, 3, 1)
        value = self.fc2(self.act(self.fc1(self.norm(value)))) * self.layer_scale
        summed: Tensor = images + value.permute(0, 3, 1, 2)
        return summed


class ConvNeXt(nn.Module):
    """A patch stem, two stages with a patch convolution between them, two blocks in each."""

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        *,
        width: int = 24,
        patch: int = 2,
        scale: float = 1e-2,
    ):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, patch, patch), _ChannelNorm(width))
        self.stage1 = nn.Sequential(*(_Block(width, scale) for _ in range(2)))
        self.down = nn.Sequential(_ChannelNorm(width), nn.Conv2d(width, 2 * width, 2, 2))
        self.stage2 = nn.Sequential(*(_Block(2 * width, scale) for _ in range(2)))
        self.norm = nn.LayerNorm(2 * width, eps=1e-6)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = self.stage2(self.down(self.stage1(self.stem(images))))
        logits: Tensor = self.fc(self.norm(value.mean((2, 3))))
        return logits

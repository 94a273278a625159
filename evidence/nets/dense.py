"""DenseNet: each layer sees all earlier ones of its block."""

import torch
from torch import Tensor, nn


class _Layer(nn.Module):
    """Norm, activation, convolution, twice; what comes out is laid beside what went in."""

    def __init__(self, c_in: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        value = self.conv1(self.act(self.norm1(images)))
        return torch.cat([images, self.conv2(self.act(self.norm2(value)))], dim=1)


def _transition(c_in: int, c_out: int) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    return nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU(), conv, nn.AvgPool2d(2))


class DenseNet(nn.Module):
    """Three blocks of layers with halvings between them."""

    def __init__(
        self, channels: int = 1, classes: int = 10, *, growth: int = 8, layers: int = 3
    ) -> None:
        super().__init__()
        width = 2 * growth
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        for block in range(3):
            for _ in range(layers):
                parts.append(_Layer(width, growth))
                width += growth
            if block < 2:
                parts.append(_transition(width, width // 2))
                width //= 2
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(width), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.fc(self.pool(self.features(images)).flatten(1))
        return logits

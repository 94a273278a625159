"""MobileNetV2: inverted residuals with linear ends."""

from torch import Tensor, nn


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class _Inverted(nn.Module):
    """Wide by a pointwise convolution, a depthwise one, narrow again without an activation."""

    def __init__(self, c_in: int, c_out: int, stride: int, factor: int):
        super().__init__()
        wide = c_in * factor
        self.branch = nn.Sequential(
            *_conv(c_in, wide, 1),
            nn.ReLU6(),
            *_conv(wide, wide, 3, stride, wide),
            nn.ReLU6(),
            *_conv(wide, c_out, 1),
        )
        self.residual = stride == 1 and c_in == c_out

    def forward(self, images: Tensor) -> Tensor:
        value: Tensor = self.branch(images)
        return images + value if self.residual else value


class MobileNetV2(nn.Module):
    """A stem, seven inverted residuals (four of them with a shortcut), a wide last convolution."""

    def __init__(self, channels: int = 1, classes: int = 10, *, width: int = 8, factor: int = 4):
        super().__init__()
        self.stem = nn.Sequential(*_conv(channels, width, 3), nn.ReLU6())
        blocks: list[nn.Module] = []
        c_in = width
        for c_out, stride in (
            (width, 1),
            (2 * width, 1),
            (2 * width, 1),
            (3 * width, 2),
            (3 * width, 1),
            (4 * width, 2),
            (4 * width, 1),
        ):
            blocks.append(_Inverted(c_in, c_out, stride, factor))
            c_in = c_out
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(*_conv(c_in, 16 * width, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = self.last(self.blocks(self.stem(images)))
        logits: Tensor = self.fc(self.pool(value).flatten(1))
        return logits

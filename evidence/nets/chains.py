"""Chains without shortcuts: VGG, MobileNetV1, even kernels."""

from torch import Tensor, nn


class Chain(nn.Module):
    """Layers, then the mean over the image, then a classifier."""

    def __init__(self, layers: list[nn.Module], width: int, classes: int):
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.fc(self.pool(self.features(images)).flatten(1))
        return logits


def _conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


def vgg_bn(channels: int = 1, classes: int = 10, *, width: int = 16) -> Chain:
    """VGG with batch norm: eight convolutions in three stages, each twice as wide as the last."""
    layers: list[nn.Module] = []
    c_in = channels
    for c_out, count in ((width, 2), (2 * width, 3), (4 * width, 3)):
        for _ in range(count):
            layers.append(_conv(c_in, c_out))
            c_in = c_out
        layers.append(nn.MaxPool2d(2))
    return Chain(layers, c_in, classes)


def mobilenet_v1(channels: int = 1, classes: int = 10, *, width: int = 16) -> Chain:
    """MobileNetV1: a stem, then pairs of a depthwise and a pointwise convolution."""
    layers = [_conv(channels, width)]
    c_in = width
    for factor, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        layers += [_conv(c_in, c_in, 3, stride, c_in), _conv(c_in, width * factor, 1)]
        c_in = width * factor
    return Chain(layers, c_in, classes)


def even(channels: int = 1, classes: int = 10, *, width: int = 16) -> Chain:
    """Kernels of 4 x 4 and 2 x 2 with batch norm, two of them with stride 2, as critics have."""
    layers: list[nn.Module] = []
    c_in = channels
    for c_out, kernel, stride in (
        (width, 4, 1),
        (2 * width, 4, 2),
        (2 * width, 2, 1),
        (4 * width, 4, 2),
        (4 * width, 2, 1),
    ):
        layers.append(_conv(c_in, c_out, kernel, stride))
        c_in = c_out
    return Chain(layers, c_in, classes)

"""Residual nets for ImageNet and CIFAR; parameters have the names that torchvision gives them."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class PaddingShortcut(nn.Module):
    """Option A of arXiv:1512.03385: every second row and column, and channels of zeros around."""

    def __init__(self, stride: int, before: int, after: int):
        super().__init__()
        self.stride = stride
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, before + C + after, H / stride, W / stride)."""
        x = x[:, :, :: self.stride, :: self.stride]
        return pad(x, (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """Convolutions and norms with a skip around them.

    Args:
        convolutions: two or three.
        norms: one for each.
        downsample: what the skip goes through; None for x itself.
    """

    def __init__(
        self, convolutions: list[nn.Module], norms: list[nn.Module], downsample: nn.Module | None
    ):
        super().__init__()
        self.conv1, self.bn1 = convolutions[0], norms[0]
        self.conv2, self.bn2 = convolutions[1], norms[1]
        self.bottleneck = len(convolutions) == 3
        if self.bottleneck:
            self.conv3, self.bn3 = convolutions[2], norms[2]
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        y += x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(y)
        return output


class ResNet(nn.Module):
    """Images in, scores of classes out. The arguments are the fields of a spec's `resnet`."""

    def __init__(
        self,
        *,
        in_channels: int,
        block: str,
        layers: list[int],
        num_classes: int,
        stem: str,
        width: int,
        norm: str,
        norm_groups: int,
        shortcut: str,
        groups: int,
        width_per_group: int,
    ):
        super().__init__()
        self._norm, self._norm_groups = norm, norm_groups
        self._padded, self._bottleneck = shortcut == "padding", block == "Bottleneck"
        self._groups, self._width_per_group = groups, width_per_group
        for_images = stem == "imagenet"
        size, stride = (7, 2) if for_images else (3, 1)
        self.conv1 = self._convolution(in_channels, width, size, stride)
        self.bn1 = self._make_norm(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if for_images else nn.Identity()
        stages, channels = [], width
        for number, blocks in enumerate(layers):
            planes = width * 2**number
            stages.append(self._stage(channels, planes, blocks, 1 if number == 0 else 2))
            channels = planes * (4 if self._bottleneck else 1)
        for number, stage in enumerate(stages, 1):
            self.add_module(f"layer{number}", stage)
        self._stages = len(stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, self._stages + 1):
            x = getattr(self, f"layer{number}")(x)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores

    def _stage(self, channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
        output = planes * (4 if self._bottleneck else 1)
        made = [self._block(channels, planes, stride)]
        made += [self._block(output, planes, 1) for _ in range(blocks - 1)]
        return nn.Sequential(OrderedDict((str(number), one) for number, one in enumerate(made)))

    def _block(self, channels: int, planes: int, stride: int) -> Block:
        make = self._convolution
        if self._bottleneck:
            inner, output = planes * self._width_per_group // 64 * self._groups, 4 * planes
            convolutions = [
                make(channels, inner, 1),
                make(inner, inner, 3, stride, self._groups),
                make(inner, output, 1),
            ]
            sizes = [inner, inner, output]
        else:
            output = planes
            convolutions = [make(channels, planes, 3, stride), make(planes, planes, 3)]
            sizes = [planes, planes]
        norms = [self._make_norm(size) for size in sizes]
        return Block(convolutions, norms, self._shortcut(channels, output, stride))

    def _shortcut(self, channels: int, output: int, stride: int) -> nn.Module | None:
        if stride == 1 and channels == output:
            return None
        if self._padded:
            more = output - channels
            return PaddingShortcut(stride, more // 2, more - more // 2)
        return nn.Sequential(
            self._convolution(channels, output, 1, stride), self._make_norm(output)
        )

    def _convolution(
        self, channels: int, output: int, size: int, stride: int = 1, groups: int = 1
    ) -> nn.Module:
        return nn.Conv2d(
            channels,
            output,
            size,
            stride=stride,
            padding=size // 2,
            groups=groups,
            bias=self._norm == "none",
        )

    def _make_norm(self, channels: int) -> nn.Module:
        if self._norm == "none":
            return nn.Identity()
        if self._norm == "GroupNorm":
            return nn.GroupNorm(self._norm_groups, channels)
        return nn.BatchNorm2d(channels)

"""ResNets for small images with batch norm, and deep nets, residual and plain, without any norm."""

from torch import Tensor, nn


class _Block(nn.Module):
    """Two convolutions; where the size changes, a convolution with norm as the shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(c_out))
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        value = self.act(self.bn1(self.conv1(images)))
        summed: Tensor = self.act(self.bn2(self.conv2(value)) + self.shortcut(images))
        return summed


class ResNet(nn.Module):
    """CIFAR's ResNet: three stages of n blocks, 6 n + 2 layers deep; 20 by default."""

    def __init__(self, channels: int = 1, classes: int = 10, *, blocks: int = 3, width: int = 16):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        stages: list[nn.Module] = []
        c_in = width
        for i, c_out in enumerate((width, 2 * width, 4 * width)):
            strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
            for stride in strides:
                stages.append(_Block(c_in, c_out, stride))
                c_in = c_out
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = self.stages(self.act(self.bn1(self.conv1(images))))
        logits: Tensor = self.fc(self.pool(value).flatten(1))
        return logits


class _Pair(nn.Module):
    """Two convolutions without norm, with or without a shortcut around them."""

    def __init__(self, width: int, *, residual: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU()
        self.residual = residual

    def forward(self, images: Tensor) -> Tensor:
        value = self.conv2(self.act(self.conv1(images)))
        out: Tensor = self.act(images + value if self.residual else value)
        return out


class Deep(nn.Module):
    """`depth` layers without any norm: a stem, pairs of convolutions at half the size, a head."""

    def __init__(
        self,
        depth: int,
        channels: int = 1,
        classes: int = 10,
        *,
        width: int = 16,
        residual: bool = True,
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 2, padding=1)
        self.act = nn.ReLU()
        self.pairs = nn.Sequential(
            *(_Pair(width, residual=residual) for _ in range((depth - 2) // 2))
        )
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        value = self.pairs(self.act(self.stem(images)))
        logits: Tensor = self.fc(self.pool(value).flatten(1))
        return logits

"""ResNeXt: bottlenecks with a grouped convolution, behind a large stem."""

from torch import Tensor, nn


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class _Bottleneck(nn.Module):
    """Narrow, grouped 3 x 3, wide again; where the size changes, a convolution as the shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int, groups: int):
        super().__init__()
        middle = c_out // 2
        self.branch = nn.Sequential(
            *_conv(c_in, middle, 1),
            nn.ReLU(),
            *_conv(middle, middle, 3, stride, groups),
            nn.ReLU(),
            *_conv(middle, c_out, 1),
        )
        same = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(c_in, c_out, 1, stride))
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        summed: Tensor = self.act(self.branch(images) + self.shortcut(images))
        return summed


class ResNeXt(nn.Module):
    """A stem of 7 x 7, three stages of bottlenecks."""

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        *,
        width: int = 32,
        blocks: int = 2,
        groups: int = 4,
    ):
        super().__init__()
        self.stem = nn.Sequential(*_conv(channels, width // 2, 7), nn.ReLU())
        stages: list[nn.Module] = []
        c_in = width // 2
        for i, c_out in enumerate((width, 2 * width, 4 * width)):
            for block in range(blocks):
                stages.append(_Bottleneck(c_in, c_out, 2 if i and not block else 1, groups))
                c_in = c_out
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.fc(self.pool(self.stages(self.stem(images))).flatten(1))
        return logits

"""Convolutions and drop paths of which blocks for tests are made."""

from typing import Any

from torch import nn


def conv(c_in: int = 8, c_out: int = 8, size: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=False, **options)


class DropPath(nn.Module):
    """timm's, written by hand."""

    def __init__(self, drop: float = 0.5) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Any) -> Any:
        if self.drop == 0.0 or not self.training:
            return x
        keep = 1 - self.drop
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = x.new_empty(shape).bernoulli_(keep)
        return x.div(keep) * mask

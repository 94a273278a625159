"""Fully connected nets."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them, as in the paper's notebook; no biases there either."""

    def __init__(self, sizes: Sequence[int] = (64, 64, 256, 256, 10), *, bias: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(fan_in, fan_out, bias=bias) for fan_in, fan_out in pairwise(sizes)
        )
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of images of any shape."""
        value = images.flatten(1)
        for layer in self.layers[:-1]:
            value = self.act(layer(value))
        logits: Tensor = self.layers[-1](value)
        return logits

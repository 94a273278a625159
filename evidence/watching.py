"""Whether activations and gradients are finite, and how large, looked at from outside."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.models.classes import is_batch_norm


class Watch:
    """Looks at the output of every module without children, and of every block of attention."""

    def __init__(self) -> None:
        self.largest = 0.0
        self.not_finite: str | None = None
        self.channels = 0  # of batch norms
        self.flat = 0  # of these, whose variance over the batch is less than the norm's eps

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """While the model runs."""
        handles = [
            module.register_forward_hook(self._hook(path))
            for path, module in model.named_modules()
            if next(module.children(), None) is None or isinstance(module, nn.MultiheadAttention)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, path: str) -> Any:
        def look(module: nn.Module, arguments: Any, output: Any) -> None:
            if is_batch_norm(module):
                self._add_norm(module, arguments[0])
            value = output[0] if isinstance(output, tuple) else output
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                self._add(path, float(value.detach().abs().max()))

        return look

    def _add_norm(self, norm: Any, value: Tensor) -> None:
        variance = value.detach().transpose(0, 1).flatten(1).var(1, correction=0)
        self.channels += len(variance)
        self.flat += int((variance < norm.eps).sum())

    def _add(self, path: str, magnitude: float) -> None:
        if not math.isfinite(magnitude) and self.not_finite is None:
            self.not_finite = f"the output of {path}"
        self.largest = max(self.largest, math.inf if math.isnan(magnitude) else magnitude)


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """The norm of each parameter's gradient; summed in float64, which no float32 overflows."""
    return {
        name: float(torch.linalg.vector_norm(parameter.grad, dtype=torch.float64))
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }

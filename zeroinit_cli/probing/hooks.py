"""Forward hooks that look at every layer while a model runs, and norms of its gradients."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.models.classes import (
    CONVOLUTION,
    is_batch_norm,
    is_convolution,
    is_norm,
    is_weight_layer,
    type_name,
)
from zeroinit_cli.probing.report import NO_NUMBERS, NOT_CALLED, NOT_FINITE, LayerReport

_POSITIONS = 256  # of a layer's output that are looked at for ranks and equal units
_RANK_TOLERANCE = 1e-5  # of the largest singular value: above the noise of float32
_SAFE = 1e-15  # norms between this and its inverse are right even in float32
_EQUAL = 1e-5  # of the layer's largest output


class Watch:
    """Forward hooks on every layer, a module with parameters of its own; they see its first output.

    Args:
        units: compare the units of weight layers, too.
        ranks: compute the ranks of their outputs, too.

    Attributes:
        layers: what was seen, by the module's path.
        called: paths of all modules that were called, whatever they gave.
        not_finite: the first output that was not, in words.
    """

    def __init__(self, *, units: bool = True, ranks: bool = True) -> None:
        self.layers: dict[str, LayerReport] = {}
        self.called: set[str] = set()
        self.not_finite: str | None = None
        self._units, self._ranks = units, ranks

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Register the hooks while the block runs."""
        handles = [
            module.register_forward_hook(self._hook(path)) for path, module in layers_of(model)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, arguments: Any, output: Any) -> None:
            self.called.add(path)
            value = output[0] if isinstance(output, tuple) and output else output
            if path in self.layers or not isinstance(value, Tensor):
                return
            if value.is_floating_point() and value.numel():
                given = arguments[0] if arguments else None
                with torch.no_grad():
                    self.layers[path] = self._layer(path, module, given, value.detach())

        return look

    def _layer(self, path: str, module: nn.Module, given: Any, value: Tensor) -> LayerReport:
        activation = root_mean_square(value)
        finite = math.isfinite(activation)
        if not finite and self.not_finite is None:
            self.not_finite = f"the output of {path or 'the model'}"
        found: dict[str, Any] = {}
        if is_norm(module) and isinstance(given, Tensor):
            found["channels"], found["flat"] = _flat(module, given.detach())
        if self._units and _has_units(module):
            matrix = _positions_by_units(module, value)
            found["units"] = matrix.shape[1]
            found["distinct"] = found["distinct_after"] = _distinct(matrix)
            if self._ranks:
                found["rank"], found["most_rank"] = _rank(matrix), min(matrix.shape)
        return LayerReport(
            name=path,
            kind=type_name(module),
            activation=activation if finite else None,
            no_activation=None if finite else NOT_FINITE,
            **found,
        )

    def unseen(self, path: str, module: nn.Module) -> LayerReport:
        """Report a layer that gave nothing to look at."""
        why = NO_NUMBERS if path in self.called else NOT_CALLED
        return LayerReport(name=path, kind=type_name(module), no_activation=why)


def layers_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the modules with parameters of their own; attention includes its projections."""
    found, inside = [], ""
    for path, module in model.named_modules():
        if inside and path.startswith(inside):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside = f"{path}."
        if any(parameter is not None for parameter in module._parameters.values()):
            found.append((path, module))
    return found


def own_parameters(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the trainable parameters of a module of `layers_of`, by name in the model."""
    whole = isinstance(module, nn.MultiheadAttention)
    for name, parameter in module.named_parameters(path, recurse=whole, remove_duplicate=False):
        if parameter.requires_grad:
            yield name, parameter


def root_mean_square(value: Tensor) -> float:
    """Compute the root of the mean square."""
    return norm_of(value) / math.sqrt(value.numel())


def norm_of(value: Tensor) -> float:
    """Compute the root of the sum of squares, in float64, which no float32 overflows.

    Squares of a float64 may overflow or vanish: then all are divided by the largest first.
    """
    norm = float(torch.linalg.vector_norm(value, dtype=_wide(value)))
    if _SAFE < norm < 1 / _SAFE or not value.numel():
        return norm
    largest = float(value.abs().max())
    if not largest or not math.isfinite(largest):
        return norm
    return largest * float(torch.linalg.vector_norm(value.to(_wide(value)) / largest))


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Compute the norm of each parameter's gradient; of tied parameters under every name."""
    return {
        name: norm_of(parameter.grad)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if parameter.grad is not None
    }


def _wide(value: Tensor) -> torch.dtype:
    return torch.float32 if value.device.type == "mps" else torch.float64  # mps has no float64


def _has_units(module: nn.Module) -> bool:
    return is_weight_layer(module) or isinstance(module, nn.Embedding | nn.MultiheadAttention)


def _positions_by_units(module: nn.Module, value: Tensor) -> Tensor:
    """Pick up to 256 positions of an output, spread evenly: float64 of (positions, units)."""
    if is_convolution(module) or isinstance(module, CONVOLUTION):
        axis = 1 if value.ndim == module.weight.ndim else 0  # without a batch
        value = value.movedim(axis, -1)
    rows = value.flatten(0, -2) if value.ndim > 1 else value[None]
    step = max(1, -(-len(rows) // _POSITIONS))
    # an even step could pick the same columns of an image again and again
    return rows[:: step + (step % 2 == 0)][:_POSITIONS].cpu().to(torch.float64)


def _distinct(matrix: Tensor) -> int:
    """Count different columns; they are rounded first, since equal units may differ by rounding."""
    largest = float(matrix.abs().max())
    if not math.isfinite(largest):
        return 0
    rounded = torch.round(matrix / (largest * _EQUAL or 1.0)).to(torch.int64)
    columns = rounded.T.contiguous().numpy()
    return len({column.tobytes() for column in columns})


def _rank(matrix: Tensor) -> int | None:
    """Count the singular values above the tolerance, by the smaller Gram matrix."""
    if not bool(torch.isfinite(matrix).all()):
        return None
    scaled = matrix / (float(matrix.abs().max()) or 1.0)
    small = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
    values = torch.linalg.eigvalsh(small)
    most = float(values[-1])
    return 0 if most <= 0 else int((values > most * _RANK_TOLERANCE**2).sum())


def _flat(module: Any, given: Tensor) -> tuple[int, int]:
    """Count the variances that a norm divides by, and those below its eps."""
    eps = float(getattr(module, "eps", None) or 1e-5)
    if isinstance(module, nn.GroupNorm):
        groups = given.reshape(given.shape[0], module.num_groups, -1)
        variance = groups.var(2, correction=0)
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        rows = given.reshape(-1, math.prod(module.normalized_shape))
        variance = rows.var(1, correction=0)
        if isinstance(module, nn.RMSNorm):
            variance = rows.square().mean(1)
    elif is_batch_norm(module) or given.ndim < 3:
        variance = given.transpose(0, 1).flatten(1).var(1, correction=0)
    else:  # of each sample by itself
        variance = given.flatten(2).var(2, correction=0)
    return variance.numel(), int((variance < eps).sum())

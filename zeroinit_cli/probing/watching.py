"""Looks at what every layer gives, from outside, while a model runs."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.models.classes import (
    CONVOLUTION,
    is_batch_norm,
    is_convolution,
    is_norm,
    is_weight_layer,
)

_PLACES = 256  # of a layer's output that are looked at for ranks and equal units
_RANK_TOLERANCE = 1e-5  # of the largest singular value: above the noise of float32
_EQUAL = 1e-5  # of the layer's largest output


@dataclass(slots=True)
class Seen:
    """What was seen of a layer, at its first call.

    Attributes:
        activation: root mean square of its output.
        channels: that it normalizes.
        flat: of these, without variance.
        units: of a weight layer.
        distinct: among them.
        rank: of places by units.
        most_rank: what that could be.
    """

    activation: float = math.nan
    channels: int = 0
    flat: int = 0
    units: int = 0
    distinct: int = 0
    rank: int | None = None
    most_rank: int | None = None


class Watch:
    """Looks at the outputs of every module with parameters of its own.

    Args:
        ranks: compute ranks, too.
    """

    def __init__(self, *, ranks: bool = True) -> None:
        self.layers: dict[str, Seen] = {}
        self.not_finite: str | None = None
        self._ranks = ranks

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """While the model runs."""
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
            value = output[0] if isinstance(output, tuple) and output else output
            if path in self.layers or not isinstance(value, Tensor):
                return
            if value.is_floating_point() and value.numel():
                with torch.no_grad():
                    given = arguments[0] if arguments else None
                    self.layers[path] = self._look(path, module, given, value.detach())

        return look

    def _look(self, path: str, module: nn.Module, given: Any, value: Tensor) -> Seen:
        seen = Seen(activation=root_mean_square(value))
        if not math.isfinite(seen.activation) and self.not_finite is None:
            self.not_finite = f"the output of {path or 'the model'}"
        if is_norm(module) and isinstance(given, Tensor):
            seen.channels, seen.flat = _flat(module, given.detach())
        if _has_units(module):
            matrix = _places_by_units(module, value)
            seen.units, seen.distinct = matrix.shape[1], _distinct(matrix)
            if self._ranks:
                seen.most_rank = min(matrix.shape)
                seen.rank = _rank(matrix)
        return seen


def layers_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules with parameters of their own; torch's attention is one with its projections."""
    found, inside = [], ""
    for path, module in model.named_modules():
        if inside and path.startswith(inside):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside = f"{path}."
        if any(each is not None for each in module._parameters.values()):
            found.append((path, module))
    return found


def own_parameters(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of such a module, by name in the model."""
    whole = isinstance(module, nn.MultiheadAttention)
    for name, parameter in module.named_parameters(path, recurse=whole, remove_duplicate=False):
        if parameter.requires_grad:
            yield name, parameter


def root_mean_square(value: Tensor) -> float:
    """In float64, which no float32 overflows."""
    return float(torch.linalg.vector_norm(value, dtype=_wide(value))) / math.sqrt(value.numel())


def norm_of(value: Tensor) -> float:
    """Root of the sum of squares, likewise."""
    return float(torch.linalg.vector_norm(value, dtype=_wide(value)))


def _wide(value: Tensor) -> torch.dtype:
    return torch.float32 if value.device.type == "mps" else torch.float64  # which has no float64


def _has_units(module: nn.Module) -> bool:
    return is_weight_layer(module) or isinstance(module, nn.Embedding | nn.MultiheadAttention)


def _places_by_units(module: nn.Module, value: Tensor) -> Tensor:
    """Up to `_PLACES` places of an output, spread evenly, as rows: (places, units), float64."""
    if is_convolution(module) or isinstance(module, CONVOLUTION):
        axis = 1 if value.ndim == module.weight.ndim else 0  # without a batch
        value = value.movedim(axis, -1)
    rows = value.flatten(0, -2) if value.ndim > 1 else value[None]
    step = max(1, -(-len(rows) // _PLACES))
    # an odd step does not stay in one column of an image
    return rows[:: step + (step % 2 == 0)][:_PLACES].cpu().to(torch.float64)


def _distinct(matrix: Tensor) -> int:
    """Different columns; equal units may differ by rounding, so they are compared rounded."""
    largest = float(matrix.abs().max())
    if not math.isfinite(largest):
        return 0
    rounded = torch.round(matrix / (largest * _EQUAL or 1.0)).to(torch.int64)
    columns = rounded.T.contiguous().numpy()
    return len({column.tobytes() for column in columns})


def _rank(matrix: Tensor) -> int | None:
    """Singular values above the tolerance, by the smaller Gram matrix."""
    if not bool(torch.isfinite(matrix).all()):
        return None
    scaled = matrix / (float(matrix.abs().max()) or 1.0)
    small = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
    values = torch.linalg.eigvalsh(small)
    most = float(values[-1])
    return 0 if most <= 0 else int((values > most * _RANK_TOLERANCE**2).sum())


def _flat(module: Any, given: Tensor) -> tuple[int, int]:
    """What a norm divides by, one by one, and how much of it is less than its eps."""
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

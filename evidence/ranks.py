"""How many directions a matrix has, and how much of it is near zero."""

import torch
from torch import Tensor


def rank(weight: Tensor) -> int:
    """Numerical rank of (fan_out, fan_in...): singular values above float32's rounding.

    The threshold is torch's and numpy's: max(shape) * eps * the largest singular value.
    """
    return int(torch.linalg.matrix_rank(_matrix(weight)))


def stable_rank(weight: Tensor) -> float:
    """Squared Frobenius norm over squared spectral norm: how many directions carry weight."""
    values = torch.linalg.svdvals(_matrix(weight))
    largest = float(values[0]) ** 2
    return float((values**2).sum()) / largest if largest > 0 else 0.0


def near_zero(weight: Tensor, share: float = 0.01) -> float:
    """The share of entries below `share` of the largest, in percent."""
    size = weight.abs()
    return 100 * float((size < share * size.max()).float().mean())


def _matrix(weight: Tensor) -> Tensor:
    return weight.detach().flatten(1)

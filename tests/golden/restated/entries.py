"""What a rule puts into a tensor, restated without a line of the package."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, prod

import numpy as np
import torch
from scipy.linalg import hadamard, toeplitz
from torch import Tensor

from tests.golden.make_values import constant, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The options that change bytes, by the names that the command line gives them."""

    expansion: str = "sylvester"
    scale: str = "orthonormal"
    residual: str = "end"


Rule = Callable[[Tensor, Choice], Tensor]
"""From the tensor that the constructor made (its shape, sometimes its values) to ours."""


# Algorithm 1 and its two expansions.


@lru_cache(maxsize=2)
def sylvester(order: int) -> np.ndarray:
    return np.asarray(hadamard(order, dtype=np.int8))


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))


@lru_cache(maxsize=2)
def residues(fan_out: int) -> np.ndarray:
    """The character chi of the smallest prime p > fan_out with p = 3 mod 4; chi(0) is 1."""
    p = fan_out + 1
    while p % 4 != 3 or not is_prime(p):
        p += 1
    squares = {a * a % p for a in range(p)}
    return np.array([1 if a in squares else -1 for a in range(p)], np.int8)


def signs(fan_out: int, fan_in: int, expansion: str) -> np.ndarray:
    if expansion == "sylvester":
        order = 1
        while order < fan_out:
            order *= 2
        return sylvester(order)[:fan_out, :fan_in]
    chi = residues(fan_out)
    return np.asarray(toeplitz(chi[:fan_out], chi[-np.arange(fan_in) % len(chi)]))


def algorithm1(fan_out: int, fan_in: int, choice: Choice) -> Tensor:
    if fan_out <= fan_in:
        return torch.eye(fan_out, fan_in)
    c = nearest(constant(fan_out, choice.scale), torch.float32)
    return torch.from_numpy(signs(fan_out, fan_in, choice.expansion).astype(np.float32)) * c


# Algorithm 2, and what the policy puts in its place for patches and for transposed convolutions.


def algorithm2(shape: torch.Size, groups: int, choice: Choice) -> Tensor:
    """Algorithm 1 on the channels of each group, at the tap floor(k / 2) of each dimension."""
    rows = shape[0] // groups
    weight = torch.zeros(shape)
    centre = weight
    for size in shape[2:]:
        centre = centre.select(2, size // 2)  # a view: (c_out, c_in / groups) in the end
    for group in range(groups):
        centre[group * rows : (group + 1) * rows] = algorithm1(rows, shape[1], choice)
    return weight


def grouped(tensor: Tensor, choice: Choice) -> Tensor:
    """A grouped convolution with as many channels out as in, depthwise ones among them."""
    return algorithm2(tensor.shape, tensor.shape[0] // tensor.shape[1], choice)


def patch(tensor: Tensor, choice: Choice) -> Tensor:
    return algorithm1(tensor.shape[0], prod(tensor.shape[1:]), choice).reshape(tensor.shape)


def transposed(*, stride: int, padding: int) -> Rule:
    """A transposed convolution, stored (c_in, c_out, k, k), that repeats its nearest input."""

    def rule(tensor: Tensor, choice: Choice) -> Tensor:
        taps = range(padding, padding + stride)
        weight = torch.zeros(tensor.shape)
        for i in taps:
            for j in taps:
                weight[:, :, i, j] = algorithm1(tensor.shape[1], tensor.shape[0], choice).T
        return weight

    return rule


# Attention and positions.


def closed_qkv(tensor: Tensor, choice: Choice) -> Tensor:
    """Attention that its values close: queries by Algorithm 1, keys and values 0."""
    weight = torch.zeros(tensor.shape)
    rows = tensor.shape[0] // 3
    weight[:rows] = algorithm1(rows, tensor.shape[1], choice)
    return weight


def open_qkv(tensor: Tensor, choice: Choice) -> Tensor:
    """Attention that something else closes: three blocks, each by Algorithm 1."""
    return torch.cat([algorithm1(tensor.shape[0] // 3, tensor.shape[1], choice)] * 3)


def positions(tensor: Tensor, choice: Choice) -> Tensor:
    """A table of positions: Algorithm 1 with its columns in reverse."""
    rows, dim = tensor.shape[-2:]
    return algorithm1(rows, dim, choice).flip(1).reshape(tensor.shape)


# What needs no entries of its own.


def zero(tensor: Tensor, choice: Choice) -> Tensor:
    return torch.zeros_like(tensor)


def one(tensor: Tensor, choice: Choice) -> Tensor:
    return torch.ones_like(tensor)


def last_unit(tensor: Tensor, choice: Choice) -> Tensor:
    """0, but for the last entry."""
    vector = torch.zeros_like(tensor)
    vector[..., -1] = 1
    return vector


def kept(tensor: Tensor, choice: Choice) -> Tensor:
    return tensor.clone()


def weight(tensor: Tensor, choice: Choice) -> Tensor:
    """Any other weight: of a norm, of a Linear, or of a convolution without groups."""
    if tensor.ndim == 1:
        return torch.ones_like(tensor)
    if tensor.ndim == 2:
        return algorithm1(tensor.shape[0], tensor.shape[1], choice)
    return algorithm2(tensor.shape, 1, choice)

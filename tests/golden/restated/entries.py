"""What a rule puts into a tensor, restated without a line of the package."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import ceil, isqrt, log2, prod

import numpy as np
import torch
from scipy.linalg import hadamard
from torch import Tensor

from tests.golden.make_values import constant, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What changes bytes, by the name that the command line gives it."""

    policy: str = "default"


Rule = Callable[[Tensor, Choice], Tensor]
"""From the tensor that the constructor made (its shape, sometimes its values) to ours."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Small integers, mostly 0, 1 and -1, and the exact constant that they are multiplied by."""

    integers: np.ndarray
    c: Decimal = Decimal(1)

    def tensor(self, shape: torch.Size) -> Tensor:
        c = nearest(self.c, torch.float32)  # rounded once
        return torch.from_numpy(self.integers.astype(np.float32, order="C")).reshape(shape) * c


# The matrices: Sylvester's, the twisted one, Algorithm 1 and F.


@lru_cache(maxsize=2)
def sylvester(order: int) -> np.ndarray:
    return np.asarray(hadamard(order, dtype=np.int8))


def power_of_two(least: int) -> int:
    """The smallest that is no less."""
    order = 1
    while order < least:
        order *= 2
    return order


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))


@lru_cache(maxsize=2)
def residues(above: int) -> np.ndarray:
    """The character chi of the smallest prime p above a number with p = 3 mod 4; chi(0) is 1."""
    p = above + 1
    while p % 4 != 3 or not is_prime(p):
        p += 1
    squares = {a * a % p for a in range(p)}
    return np.array([1 if a in squares else -1 for a in range(p)], np.int8)


@lru_cache(maxsize=4)
def twisted(rows: int, columns: int, above: int) -> np.ndarray:
    """The signs of T, with the smallest prime above a number."""
    block = max(2, power_of_two(columns))
    chi = residues(above)
    starts = np.arange(rows)[:, None] // block * block
    matrix = sylvester(power_of_two(max(rows, columns)))[:rows, :columns].copy()
    matrix *= chi[(starts + np.arange(columns)) % len(chi)]
    matrix[0] *= -1
    return matrix


def signs(rows: int, columns: int) -> np.ndarray:
    """A table of signs, which may have few rows."""
    return twisted(rows, columns, max(rows, max(2, power_of_two(columns)) + 1))


def algorithm1(fan_out: int, fan_in: int, choice: Choice) -> Entries:
    if fan_out <= fan_in:
        return Entries(np.eye(fan_out, fan_in, dtype=np.int8))
    c = constant(fan_out, choice.policy)
    if choice.policy == "paper":
        return Entries(sylvester(power_of_two(fan_out))[:fan_out, :fan_in], c)
    return Entries(twisted(fan_out, fan_in, fan_out), c)


def flattened(fan_out: int, fan_in: int, choice: Choice) -> Entries:
    """F: where Algorithm 1 would leave inputs out, an expansion transposed."""
    if fan_out >= fan_in:
        return algorithm1(fan_out, fan_in, choice)
    return Entries(twisted(fan_in, fan_out, fan_in).T, constant(fan_in, choice.policy))


# Kernels.


def at_the_centre(shape: torch.Size, groups: int, channels: Entries) -> Tensor:
    """A matrix on the channels of each group, at the tap floor(k / 2) of each dimension."""
    weight = torch.zeros(shape)
    centre = weight
    for size in shape[2:]:
        centre = centre.select(2, size // 2)  # a view: (c_out, c_in / groups) in the end
    rows = shape[0] // groups
    centre[:] = channels.tensor(torch.Size((rows, shape[1]))).repeat(groups, 1)
    return weight


def algorithm2(shape: torch.Size, groups: int, choice: Choice) -> Tensor:
    """Algorithm 1 on the channels of each group, at the tap in the middle."""
    return at_the_centre(shape, groups, algorithm1(shape[0] // groups, shape[1], choice))


def around_the_centre(shape: torch.Size, groups: int, choice: Choice) -> Tensor:
    """Algorithm 1 on the channels of each group, times signs at every tap, twice at the centre."""
    spatial = shape[2:]
    taps = prod(spatial)
    channels = algorithm1(shape[0] // groups, shape[1], choice)
    matrix = np.tile(channels.integers, (groups, 1))
    around = signs(shape[0], taps).copy()
    centre = np.ravel_multi_index([size // 2 for size in spatial], spatial)
    around *= around[:, [centre]]
    around[:, centre] = 2
    c = channels.c * constant(taps, "default")
    return Entries(matrix[:, :, None] * around[:, None, :], c).tensor(shape)


def convolution(shape: torch.Size, groups: int, choice: Choice) -> Tensor:
    if choice.policy == "paper" or prod(shape[2:]) == 1:
        return algorithm2(shape, groups, choice)
    return around_the_centre(shape, groups, choice)


def grouped(tensor: Tensor, choice: Choice) -> Tensor:
    """A grouped convolution with as many channels out as in, depthwise ones among them."""
    return convolution(tensor.shape, tensor.shape[0] // tensor.shape[1], choice)


def flat(tensor: Tensor, choice: Choice) -> Tensor:
    """A stem of the net, or patches of what layers gave: the kernel as a matrix."""
    if choice.policy == "paper":
        return algorithm2(tensor.shape, 1, choice)
    return flattened(tensor.shape[0], prod(tensor.shape[1:]), choice).tensor(tensor.shape)


def patches(tensor: Tensor, choice: Choice) -> Tensor:
    """Patches of the net's input."""
    if choice.policy == "paper" or tensor.shape[0] >= prod(tensor.shape[1:]):
        return flat(tensor, choice)
    return block_means(tensor.shape)


def block_means(shape: torch.Size) -> Tensor:
    c_out, c_in, *spatial = shape
    wanted = ceil(c_out / c_in)
    grid: list[int] = []
    for dimension in reversed(range(len(spatial))):
        side = 1
        while side ** (dimension + 1) < wanted:
            side += 1
        blocks = min(spatial[dimension], max(side, ceil(wanted / prod(spatial[:dimension]))))
        grid.insert(0, blocks)
        wanted = ceil(wanted / blocks)
    places = [np.arange(k) * g // k for k, g in zip(spatial, grid, strict=True)]
    block_of_tap = np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), grid)
    integers = np.zeros(shape, np.int8)
    for o in range(c_out):
        integers[o, o % c_in] = block_of_tap == o // c_in
    largest = prod(ceil(k / g) for k, g in zip(spatial, grid, strict=True))
    return Entries(integers, constant(largest, "default")).tensor(shape)


def transposed(*, stride: int, padding: int) -> Rule:
    """A transposed convolution, stored (c_in, c_out, k, k), that repeats its nearest input."""

    def rule(tensor: Tensor, choice: Choice) -> Tensor:
        c_in, c_out = tensor.shape[:2]
        matrix = algorithm1(c_out, c_in, choice).tensor(torch.Size((c_out, c_in)))
        taps = slice(padding, padding + stride)
        weight = torch.zeros(tensor.shape)
        weight[:, :, taps, taps] = matrix.T[:, :, None, None]
        return weight

    return rule


# Maps in chains of kernels without norms, none of them grouped. A Linear is a kernel without a
# dimension here. The paper knows no chains.


def chained_stem(tensor: Tensor, choice: Choice) -> Tensor:
    """The kernel that reads the net's input: means under signs, over all that it reads."""
    if choice.policy == "paper":
        return flat(tensor, choice)
    fan_out, fan_in = tensor.shape[0], prod(tensor.shape[1:])
    if fan_out >= fan_in:
        table = twisted(fan_out, fan_in, fan_out)
    else:
        table = twisted(fan_in, fan_out, fan_in).T
    return Entries(table, Decimal(1) / power_of_two(fan_in)).tensor(tensor.shape)


def chained(tensor: Tensor, choice: Choice) -> Tensor:
    """A map with another behind it: an expansion's c is sqrt(2) more than that of its inputs."""
    fan_out, fan_in = tensor.shape[:2]
    channels = algorithm1(fan_out, fan_in, choice)
    if fan_out > fan_in and choice.policy == "default":
        nearest = 2 ** round(log2(fan_in))
        channels = Entries(channels.integers, constant(nearest, "paper"))
    return at_the_centre(tensor.shape, 1, channels)


def chained_last(tensor: Tensor, choice: Choice) -> Tensor:
    """A map with none behind it, or none without a norm, a sigmoid or the like between them."""
    return algorithm2(tensor.shape, 1, choice)


# Attention and positions.


def closed_qkv(tensor: Tensor, choice: Choice) -> Tensor:
    """Attention that its values close: queries by Algorithm 1, keys and values 0."""
    weight = torch.zeros(tensor.shape)
    queries = weight.chunk(3)[0]
    queries[:] = algorithm1(len(queries), tensor.shape[1], choice).tensor(queries.shape)
    return weight


def open_qkv(tensor: Tensor, choice: Choice) -> Tensor:
    """Attention that something else closes: three blocks, each by Algorithm 1."""
    part = tensor.chunk(3)[0]
    return algorithm1(len(part), tensor.shape[1], choice).tensor(part.shape).repeat(3, 1)


def positions(tensor: Tensor, choice: Choice) -> Tensor:
    """A table of positions: Algorithm 1, or signs by default, with the columns in reverse."""
    rows, dim = tensor.shape[-2:]
    table = algorithm1(rows, dim, choice)
    if rows > dim and choice.policy == "default":
        table = Entries(signs(rows, dim), constant(dim, "default"))
    return table.tensor(torch.Size((rows, dim))).flip(1).reshape(tensor.shape)


# What needs no entries of its own.


def zero(tensor: Tensor, choice: Choice) -> Tensor:
    return torch.zeros_like(tensor)


def one(tensor: Tensor, choice: Choice) -> Tensor:
    return torch.ones_like(tensor)


def damped(tensor: Tensor, choice: Choice) -> Tensor:
    """The scale of a norm that ends a branch, by default."""
    return torch.full_like(tensor, 1 / 4)


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
        return algorithm1(tensor.shape[0], tensor.shape[1], choice).tensor(tensor.shape)
    return convolution(tensor.shape, 1, choice)


def damped_weight(tensor: Tensor, choice: Choice) -> Tensor:
    """The weight that ends a branch behind a norm, by default: 1/16 of what any other would be."""
    return weight(tensor, choice) / 16  # a power of two, so nothing is rounded again

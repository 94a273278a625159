"""What can be said of a matrix, and of matrices one after the other, without any training."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evidence.expansions.matrices import Family, Matrix

EPSILON = 1e-5  # of torch's batch norm
_SAMPLES = 2000
_EQUAL = 9  # decimals


class Shape(NamedTuple):
    """(fan_out, fan_in), and a net in which it occurs."""

    fan_out: int
    fan_in: int
    where: str


SHAPES = (
    Shape(32, 1, "a one-channel stem"),
    Shape(24, 3, "ShuffleNet's stem"),
    Shape(64, 3, "VGG's and ResNet's stems"),
    Shape(128, 64, "ResNet, VGG"),
    Shape(96, 16, "MobileNetV2"),
    Shape(144, 24, "MobileNetV2"),
    Shape(58, 24, "ShuffleNet"),
    Shape(104, 48, "RegNet"),
    Shape(65, 64, "the worst case"),
    Shape(1000, 768, "ViT's head"),
    Shape(3072, 768, "ViT"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Of one matrix.

    Attributes:
        rank: numerical.
        largest: singular value.
        smallest: singular value.
        distinct: rows, up to a positive factor: units that ReLU and a norm leave distinct.
        directions: rows, up to any factor.
        odd: whether some pattern of a row's signs occurs an odd number of times; only then can no
            combination of the units by signs be exactly 0.
        zero_sums: share of rows whose sum is 0: units that are 0 where all inputs are equal.
    """

    rank: int
    largest: float
    smallest: float
    distinct: int
    directions: int
    odd: bool
    zero_sums: float


def facts(matrix: Matrix) -> Facts:
    """Of (fan_out, fan_in)."""
    values = np.linalg.svd(matrix, compute_uv=False)
    units = np.round(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), _EQUAL) + 0.0
    patterns = _patterns(units)
    sums = np.abs(matrix.sum(1)) < 1e-9 * np.abs(matrix).sum(1)
    return Facts(
        rank=int(np.linalg.matrix_rank(matrix)),
        largest=float(values[0]),
        smallest=float(values[-1]),
        distinct=len(patterns),
        directions=len({_upright(row) for row in units}),
        odd=any(count % 2 for count in patterns.values()),
        zero_sums=float(sums.mean()),
    )


def _patterns(units: NDArray[np.float64]) -> Counter[bytes]:
    return Counter(map(bytes, units))


def even_stems(family: Family, fan_in: int) -> tuple[int, int]:
    """How many stems of 8, 16, ..., 512 units have every pattern of signs an even number of times.

    Returns:
        how many, and of how many.
    """
    sizes = [fan_out for fan_out in range(8, 513, 8) if fan_out > fan_in]
    counts = [_patterns(np.sign(family.entries(fan_out, fan_in))) for fan_out in sizes]
    return sum(all(n % 2 == 0 for n in each.values()) for each in counts), len(sizes)


def _upright(row: NDArray[np.float64]) -> bytes:
    """The row, or its negative, whichever begins with a positive number."""
    first = row[np.flatnonzero(row)[0]]
    return bytes(row * np.sign(first) + 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One expansion of a chain, each followed by batch norm and ReLU.

    Attributes:
        fan_out: its rows.
        flat: share of its channels whose variance is below the norm's eps.
        exact: share of its channels that are 0 but for rounding.
        rank: of its channels over the samples.
        gain: the largest factor of its batch norm, over the median.
    """

    fan_out: int
    flat: float
    exact: float
    rank: int
    gain: float


def chain(family: Family, widths: tuple[int, ...]) -> list[Link]:
    """Expansion, batch norm, ReLU, again and again, from random inputs of widths[0] channels."""
    values = np.random.default_rng(0).standard_normal((_SAMPLES, widths[0]))
    links = []
    for fan_out in widths[1:]:
        before = values @ family.entries(fan_out, values.shape[1]).T
        variance = before.var(0)
        factors = 1 / np.sqrt(variance + EPSILON)
        links.append(
            Link(
                fan_out=fan_out,
                flat=float((variance < EPSILON).mean()),
                exact=float((variance < 1e-20).mean()),
                rank=int(np.linalg.matrix_rank(before - before.mean(0), tol=1e-6 * _SAMPLES)),
                gain=float(factors.max() / np.median(factors)),
            )
        )
        values = np.maximum((before - before.mean(0)) * factors, 0)
    return links


def cancelled(fan_in: int, before: int) -> float:
    """Share of channels that are exactly 0 in a Sylvester expansion behind another.

    The first has `before` = 2^a rows, of which row i depends on i mod K alone, K the power of two
    from fan_in. Whatever is done to each unit alone, row r of the second sums equal units with
    signs (-1)^popcount(r & i), and that is 0 unless r mod 2^a < K.
    """
    block = 1 << (fan_in - 1).bit_length()
    return 1 - min(1.0, block / before)

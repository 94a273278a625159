"""Kernels of convolutions: stems, patches, transposed ones, and all others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps
from zeroinit_cli.plans.layouts import Transposed, Viewed
from zeroinit_cli.plans.policy.maps import algorithm_1, flattened, grouped, means, signs
from zeroinit_cli.plans.rules import Rule, Shape
from zeroinit_cli.policies import Policy


def algorithm_2(shape: Shape, groups: int, policy: Policy) -> Rule:
    """Rule a convolution weight (c_out, c_in / groups, *kernel): Algorithm 2 in each group.

    >>> algorithm_2((8, 8, 3, 3), 1, DEFAULT)
    Taps(ranges=((1, 2), (1, 2)), of=Identity())

    Source:
        arXiv:2110.12661, Algorithm 2: all taps 0 but for floor(k / 2) in each spatial dimension,
        which holds Algorithm 1 on (c_out, c_in).
    """
    fan_out, fan_in, *kernel = shape
    centre = tuple((size // 2, size // 2 + 1) for size in kernel)
    return grouped(groups, Taps(ranges=centre, of=algorithm_1(fan_out // groups, fan_in, policy)))


def convolution(shape: Shape, groups: int, policy: Policy) -> Rule:
    """Rule a convolution weight: Algorithm 1 in each group, times signs around the centre tap.

    >>> convolution((24, 24, 3, 3), 1, DEFAULT)  # nn.Conv2d(24, 24, 3).weight
    CentredTaps(of=Identity(), signs=Twisted(block=16, prime=31, half_exponent=-4))
    """
    taps = math.prod(shape[2:])
    if policy.kernels == "centre" or taps == 1:
        return algorithm_2(shape, groups, policy)
    return CentredTaps(
        of=grouped(groups, algorithm_1(shape[0] // groups, shape[1], policy)),
        signs=signs(shape[0], taps, -(taps - 1).bit_length()),
    )


def stem_convolution(shape: Shape, policy: Policy) -> Rule:
    """Rule a convolution (c_out, c_in, *kernel) that reads the net's input, its taps overlapping.

    >>> stem_convolution((64, 3, 3, 3), DEFAULT)  # a first nn.Conv2d(3, 64, 3).weight
    Viewed(rows=64, of=Twisted(block=32, prime=67, half_exponent=-6))
    """
    if policy.stems == "centre" or math.prod(shape[2:]) == 1:
        return algorithm_2(shape, 1, policy)
    if policy.stems == "means":
        return Viewed(rows=shape[0], of=means(shape[0], math.prod(shape[1:])))
    return flattened_kernel(shape, policy)


def patch_convolution(shape: Shape, policy: Policy) -> Rule:
    """Rule a convolution (c_out, c_in, *kernel) over patches that do not overlap.

    It is a linear map of whole patches: Algorithm 1 on (c_out, c_in * prod(kernel)).

    >>> patch_convolution((8, 3, 4, 4), DEFAULT)  # nn.Conv2d(3, 8, 4, stride=4).weight
    Viewed(rows=8, of=Transposed(of=Twisted(block=8, prime=59, half_exponent=-6)))
    """
    if policy.patches == "centre":
        return algorithm_2(shape, 1, policy)
    return flattened_kernel(shape, policy)


def flattened_kernel(shape: Shape, policy: Policy) -> Rule:
    """Rule a kernel (c_out, c_in, *kernel) as the matrix that it is in memory.

    >>> flattened_kernel((8, 3, 4), DEFAULT)
    Viewed(rows=8, of=Transposed(of=Twisted(block=8, prime=19, half_exponent=-4)))
    """
    return Viewed(rows=shape[0], of=flattened(shape[0], math.prod(shape[1:]), policy))


def patch_stem(shape: Shape, policy: Policy) -> Rule:
    """Rule such a convolution that reads the net's input: no more outputs than it has, block means.

    >>> patch_stem((12, 3, 16, 16), DEFAULT)  # nn.Conv2d(3, 12, 16, stride=16).weight
    BlockMeans(grid=(2, 2), half_exponent=-6)
    """
    fan_out, fan_in, *kernel = shape
    has_no_means = policy.patches == "centre" or policy.contraction != "twisted"
    if has_no_means or fan_out >= math.prod(shape[1:]):
        return patch_convolution(shape, policy)
    grid = _grid(-(-fan_out // fan_in), kernel)
    largest = math.prod(-(-size // blocks) for size, blocks in zip(kernel, grid, strict=True))
    return BlockMeans(grid=grid, half_exponent=-(largest - 1).bit_length())


def _grid(blocks: int, kernel: Sequence[int]) -> tuple[int, ...]:
    """Cut a kernel into so many blocks at least, about as many along each dimension."""
    grid: list[int] = []
    for axis in reversed(range(len(kernel))):
        others = math.prod(kernel[:axis])
        even = next(side for side in range(1, blocks + 1) if side ** (axis + 1) >= blocks)
        grid.append(min(kernel[axis], max(even, -(-blocks // others))))
        blocks = -(-blocks // grid[-1])
    return tuple(reversed(grid))


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The movement of a convolution over its input, a number for each spatial dimension."""

    groups: int
    stride: Shape
    padding: Shape
    dilation: Shape


def transposed_convolution(shape: Shape, geometry: Geometry, policy: Policy) -> Rule:
    """Rule a transposed convolution (c_in, c_out / groups, *kernel): nearest-neighbour upsampling.

    In each dimension the taps t with p <= d * t < p + s, clipped to the kernel, hold Algorithm 1 on
    (c_out, c_in), so that out[o] = in[floor(o / s)].

    >>> geometry = Geometry(groups=1, stride=(2,), padding=(0,), dilation=(1,))
    >>> transposed_convolution((8, 8, 2), geometry, DEFAULT)  # nn.ConvTranspose1d(8, 8, 2, 2)
    Transposed(of=Taps(ranges=((0, 2),), of=Identity()))
    """
    groups = geometry.groups
    fan_in, fan_out, *kernel = shape
    sizes = zip(kernel, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    taps = tuple(upsampling_taps(k, s, p, d) for k, s, p, d in sizes)
    matrix = algorithm_1(fan_out, fan_in // groups, policy)
    return grouped(groups, Transposed(of=Taps(ranges=taps, of=matrix)))


def upsampling_taps(kernel: int, stride: int, padding: int, dilation: int = 1) -> tuple[int, int]:
    """Find the first and last + 1 of the taps that copy an input position to `stride` outputs.

    Tap t of input position i reaches output s * i + d * t - p, which is one of the s that repeat i
    if p <= d * t < p + s. Where padding cuts so much off, or dilation skips so much, that fewer
    than min(stride, kernel) are left, the centre tap.

    >>> upsampling_taps(4, stride=2, padding=1)
    (1, 3)
    """
    first, last = (min(-(-end // dilation), kernel) for end in (padding, padding + stride))
    if last - first < min(stride, kernel):
        return kernel // 2, kernel // 2 + 1
    return first, last

"""The policy: kind of tensor -> rule. Numbers only; `models` says what kind a tensor is.

The two lines of code in each docstring are a call and the rule that it gives. They run as tests.
"""

import math
from dataclasses import dataclass

from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import Groups, Mirrored, Split, Taps, Transposed, Viewed, ZeroRow
from zeroinit_cli.plans.rules import Hadamard, Identity, Paley, Rule, Shape, Zeros


def algorithm_1(fan_out: int, fan_in: int, options: Options) -> Rule:
    """Rule a linear map (fan_out, fan_in): identity, partial identity, or scaled Hadamard.

    >>> algorithm_1(64, 24, Options())
    Hadamard(half_exponent=-6)

    Source:
        arXiv:2110.12661, Algorithm 1. The scale `orthonormal` is the authors' code, c = 2^(-m/2);
        `paper` is their printed text, c = 2^(-(m-1)/2); m = ceil(log2 fan_out).
    """
    if fan_out <= fan_in:
        return Identity()
    m = (fan_out - 1).bit_length()
    half_exponent = -m if options.scale == "orthonormal" else -(m - 1)
    if options.expansion == "paley":
        return Paley(prime=paley_prime(fan_out), half_exponent=half_exponent)
    return Hadamard(half_exponent=half_exponent)


def paley_prime(fan_out: int) -> int:
    """Find the smallest prime that is 3 modulo 4 and larger than fan_out.

    >>> paley_prime(64)
    67
    """
    candidate = fan_out + 1 + (2 - fan_out) % 4
    while not _is_prime(candidate):
        candidate += 4
    return candidate


def _is_prime(odd: int) -> bool:
    return odd > 1 and all(odd % divisor for divisor in range(3, math.isqrt(odd) + 1, 2))


def linear(shape: Shape, options: Options) -> Rule:
    """Rule a weight (fan_out, fan_in): Algorithm 1.

    >>> linear((64, 24), Options())  # nn.Linear(24, 64).weight
    Hadamard(half_exponent=-6)
    """
    fan_out, fan_in = shape
    return algorithm_1(fan_out, fan_in, options)


def transposed_linear(shape: Shape, options: Options) -> Rule:
    """Rule a weight that is stored (fan_in, fan_out): the matrix of `linear`, transposed.

    >>> transposed_linear((24, 64), Options())  # transformers' Conv1D(64, 24).weight
    Transposed(of=Hadamard(half_exponent=-6))
    """
    fan_in, fan_out = shape
    return Transposed(of=algorithm_1(fan_out, fan_in, options))


def fused_linear(shape: Shape, parts: int, options: Options) -> Rule:
    """Rule a weight (parts * fan_out, fan_in) of several projections, each by Algorithm 1.

    >>> fused_linear((16, 8), 2, Options())  # Phi3MLP.gate_up_proj.weight
    Split(parts=((8, Identity()), (8, Identity())))
    """
    fan_out = shape[0] // parts
    return Split(parts=((fan_out, algorithm_1(fan_out, shape[1], options)),) * parts)


def attention_projections(
    shape: Shape, options: Options, *, closed: bool, transposed: bool = False
) -> Rule:
    """Rule a fused weight (3 * fan_out, fan_in) of q, k and v, or the same transposed.

    Closed attention gives 0 at the start: q by Algorithm 1, which is the identity where the
    projection is square, k and v 0. In other attention each is by Algorithm 1.

    >>> attention_projections((24, 8), Options(), closed=True)  # MultiheadAttention.in_proj_weight
    Split(parts=((8, Identity()), (8, Zeros()), (8, Zeros())))

    Source:
        arXiv:2110.12661: W_Q = I, W_K = W_V = 0.
    """
    rows, fan_in = reversed(shape) if transposed else shape
    fan_out = rows // 3
    query = algorithm_1(fan_out, fan_in, options)
    rest: Rule = Zeros() if closed else query
    split = Split(parts=((fan_out, query), (fan_out, rest), (fan_out, rest)))
    return Transposed(of=split) if transposed else split


def convolution(shape: Shape, groups: int, options: Options) -> Rule:
    """Rule a convolution weight (c_out, c_in / groups, *kernel): Algorithm 2 in each group.

    >>> convolution((8, 8, 3, 3), 1, Options())  # nn.Conv2d(8, 8, 3).weight
    Taps(ranges=((1, 2), (1, 2)), of=Identity())

    Source:
        arXiv:2110.12661, Algorithm 2: all taps 0 but for floor(k / 2) in each spatial dimension,
        which holds Algorithm 1 on (c_out, c_in).
    """
    fan_out, fan_in, *kernel = shape
    centre = tuple((size // 2, size // 2 + 1) for size in kernel)
    return _grouped(groups, Taps(ranges=centre, of=algorithm_1(fan_out // groups, fan_in, options)))


def patch_convolution(shape: Shape, options: Options) -> Rule:
    """Rule a convolution (c_out, c_in, *kernel) over patches that do not overlap.

    It is a linear map of whole patches: Algorithm 1 on (c_out, c_in * prod(kernel)).

    >>> patch_convolution((8, 3, 4, 4), Options())  # nn.Conv2d(3, 8, 4, stride=4).weight
    Viewed(rows=8, of=Identity())
    """
    fan_out, fan_in = shape[0], math.prod(shape[1:])
    return Viewed(rows=fan_out, of=algorithm_1(fan_out, fan_in, options))


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The movement of a convolution over its input, a number for each spatial dimension."""

    groups: int
    stride: Shape
    padding: Shape
    dilation: Shape


def transposed_convolution(shape: Shape, geometry: Geometry, options: Options) -> Rule:
    """Rule a transposed convolution (c_in, c_out / groups, *kernel): nearest-neighbour upsampling.

    In each dimension the taps t with p <= d * t < p + s, clipped to the kernel, hold Algorithm 1 on
    (c_out, c_in), so that out[o] = in[floor(o / s)].

    >>> geometry = Geometry(groups=1, stride=(2,), padding=(0,), dilation=(1,))
    >>> transposed_convolution((8, 8, 2), geometry, Options())  # nn.ConvTranspose1d(8, 8, 2, 2)
    Transposed(of=Taps(ranges=((0, 2),), of=Identity()))
    """
    groups = geometry.groups
    fan_in, fan_out, *kernel = shape
    sizes = zip(kernel, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    taps = tuple(upsampling_taps(k, s, p, d) for k, s, p, d in sizes)
    matrix = algorithm_1(fan_out, fan_in // groups, options)
    return _grouped(groups, Transposed(of=Taps(ranges=taps, of=matrix)))


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


def embedding(shape: Shape, padding_idx: int | None, options: Options) -> Rule:
    """Rule an embedding table (rows, dim): Algorithm 1, the padding row 0.

    >>> embedding((100, 8), 0, Options())  # nn.Embedding(100, 8, padding_idx=0).weight
    ZeroRow(row=0, of=Hadamard(half_exponent=-7))
    """
    rows, dim = shape
    table = algorithm_1(rows, dim, options)
    return table if padding_idx is None else ZeroRow(row=padding_idx, of=table)


def position_table(shape: Shape, options: Options) -> Rule:
    """Rule a table (..., positions, dim): Algorithm 1 mirrored, so that position i is not token i.

    A table of one position says nothing, and is 0.

    >>> position_table((1, 16, 8), Options())  # a vision transformer's pos_embed
    Viewed(rows=16, of=Mirrored(of=Hadamard(half_exponent=-4)))
    """
    dim = shape[-1]
    positions = math.prod(shape[:-1])
    if positions == 1:
        return Zeros()
    mirrored = Mirrored(of=algorithm_1(positions, dim, options))
    return mirrored if len(shape) == 2 else Viewed(rows=positions, of=mirrored)


def _grouped(groups: int, rule: Rule) -> Rule:
    return rule if groups == 1 else Groups(count=groups, of=rule)

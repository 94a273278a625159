"""The policy: kind of tensor -> rule. Numbers only; `models` says what kind a tensor is.

The two lines of code in each docstring are a call and the rule that it gives. They run as tests.
"""

import math
from dataclasses import dataclass

from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import (
    Groups,
    Interleaved,
    Mirrored,
    Split,
    Taps,
    Transposed,
    Viewed,
    ZeroRow,
)
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


def stack_of_linear(
    shape: Shape, options: Options, *, parts: int = 1, transposed: bool = False
) -> Rule:
    """Rule a stack (..., fan_out, fan_in) of linear maps: in each matrix the rule of one alone.

    Args:
        shape: the last two dimensions are a matrix's.
        options: what the plan depends on.
        parts: how many projections of equal size each matrix holds, by rows; each has Algorithm 1.
        transposed: the matrices are stored (fan_in, fan_out), parts by columns.

    >>> stack_of_linear((4, 16, 8), Options(), parts=2)  # MixtralExperts.gate_up_proj
    Viewed(rows=64, of=Groups(count=4, of=Split(parts=((8, Identity()), (8, Identity())))))
    """
    *stack, height, width = shape
    fan_out, fan_in = (width, height) if transposed else (height, width)
    matrix = linear((fan_out, fan_in), options)
    if parts > 1:
        matrix = fused_linear((fan_out, fan_in), parts, options)
    if transposed:
        matrix = Transposed(of=matrix)
    count = math.prod(stack)
    rule = _grouped(count, matrix)
    return Viewed(rows=count * height, of=rule) if stack else rule


def recurrent_input(shape: Shape, gates: int, options: Options) -> Rule:
    """Rule a weight (gates * hidden, fan_in) of a recurrent net's input: Algorithm 1 in each gate.

    >>> recurrent_input((32, 8), 4, Options())  # nn.LSTM(8, 8).weight_ih_l0
    Split(parts=((8, Identity()), (8, Identity()), (8, Identity()), (8, Identity())))
    """
    return linear(shape, options) if gates == 1 else fused_linear(shape, gates, options)


def recurrent_state(shape: Shape, gates: int, options: Options) -> Rule:
    """Rule a weight (gates * hidden, fan_in) of a recurrent net's state, the same in each gate.

    Where fan_in = hidden, Paley's matrix with columns of length about 1, under all options. From
    the identity a unit would hear itself alone, and units whose rows in the input's weight are
    equal would stay equal. Where a projection makes fan_in another: Algorithm 1.

    >>> recurrent_state((8, 8), 1, Options())  # nn.RNN(8, 8).weight_hh_l0
    Paley(prime=11, half_exponent=-3)
    """
    hidden, fan_in = shape[0] // gates, shape[1]
    gate = algorithm_1(hidden, fan_in, options)
    if hidden == fan_in:
        gate = Paley(prime=paley_prime(hidden), half_exponent=-(hidden - 1).bit_length())
    return gate if gates == 1 else Split(parts=((hidden, gate),) * gates)


def bilinear(shape: Shape, options: Options) -> Rule:
    """Rule a weight (fan_out, fan_in1, fan_in2): Algorithm 1 on the products of both inputs.

    It is a linear map of all products: Algorithm 1 on (fan_out, fan_in1 * fan_in2).

    >>> bilinear((8, 4, 4), Options())  # nn.Bilinear(4, 4, 8).weight
    Viewed(rows=8, of=Identity())
    """
    fan_out, fan_in = shape[0], math.prod(shape[1:])
    return Viewed(rows=fan_out, of=algorithm_1(fan_out, fan_in, options))


def fused_projections(
    shape: Shape,
    parts: tuple[tuple[int, bool], ...],
    options: Options,
    *,
    blocks: int = 1,
    transposed: bool = False,
) -> Rule:
    """Rule a weight that holds several projections, by rows: each is 0 or by Algorithm 1.

    Args:
        shape: (fan_out, fan_in) or transposed, further dimensions all 1.
        parts: of each block in order, how many rows, and whether they are 0.
        options: what the plan depends on.
        blocks: how often the parts repeat: attention may store q, k and v head by head.
        transposed: it is stored (fan_in, fan_out), parts by columns.

    >>> fused_projections((12, 4), ((2, False), (1, True)), Options(), blocks=4)
    Interleaved(blocks=4, parts=((2, Hadamard(half_exponent=-3)), (1, Zeros())))

    Source:
        arXiv:2110.12661 for attention that is to give 0: W_Q = I, W_K = W_V = 0.
    """
    fan_out, fan_in = (shape[1], shape[0]) if transposed else shape[:2]
    rules = tuple(
        (rows, Zeros() if is_zero else algorithm_1(blocks * rows, fan_in, options))
        for rows, is_zero in parts
    )
    rule: Rule = Interleaved(blocks=blocks, parts=rules)
    if blocks == 1:
        rule = rules[0][1] if len(rules) == 1 else Split(parts=rules)
    if transposed:
        return Transposed(of=rule)
    return rule if len(shape) == len((fan_out, fan_in)) else Viewed(rows=fan_out, of=rule)


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

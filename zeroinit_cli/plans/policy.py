"""The policy: kind of tensor -> rule. Numbers only; `models` says what kind a tensor is.

The two lines of code in each docstring are a call and the rule that it gives. They run as tests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps
from zeroinit_cli.plans.layouts import (
    Groups,
    Interleaved,
    Mirrored,
    Split,
    Transposed,
    Viewed,
    ZeroRow,
)
from zeroinit_cli.plans.rules import Hadamard, Identity, Rule, Shape, Twisted, Zeros
from zeroinit_cli.policies import Policy


def algorithm_1(fan_out: int, fan_in: int, policy: Policy) -> Rule:
    """Rule a linear map (fan_out, fan_in): identity, partial identity, or scaled expansion.

    >>> algorithm_1(64, 24, DEFAULT), algorithm_1(24, 64, DEFAULT)
    (Twisted(block=32, prime=67, half_exponent=-6), Identity())

    Source:
        arXiv:2110.12661, Algorithm 1, whose expansion is Sylvester's. The scale `orthonormal` is
        the authors' code, c = 2^(-m/2); `paper` is their printed text, c = 2^(-(m-1)/2);
        m = ceil(log2 fan_out).
    """
    if fan_out <= fan_in:
        return Identity()
    m = (fan_out - 1).bit_length()
    half_exponent = -m if policy.scale == "orthonormal" else -(m - 1)
    if policy.expansion == "twisted":
        return _twisted(fan_out, fan_in, half_exponent)
    return Hadamard(half_exponent=half_exponent)


def _twisted(rows: int, columns: int, half_exponent: int) -> Rule:
    block = 1 << max((columns - 1).bit_length(), 1)
    return Twisted(block=block, prime=twisting_prime(rows), half_exponent=half_exponent)


def twisting_prime(rows: int) -> int:
    """Find the smallest prime that is 3 modulo 4 and larger than a number of rows.

    >>> twisting_prime(64)
    67
    """
    candidate = rows + 1 + (2 - rows) % 4
    while not _is_prime(candidate):
        candidate += 4
    return candidate


def _is_prime(odd: int) -> bool:
    return odd > 1 and all(odd % divisor for divisor in range(3, math.isqrt(odd) + 1, 2))


def flattened(fan_out: int, fan_in: int, policy: Policy) -> Rule:
    """Rule a kernel as a matrix (fan_out, channels and taps): where fan_out < fan_in contracted.

    The contraction is the expansion of (fan_in, fan_out) transposed: each output reads all inputs,
    where the partial identity would read the first few.

    >>> flattened(24, 64, DEFAULT)
    Transposed(of=Twisted(block=32, prime=67, half_exponent=-6))
    """
    if fan_out < fan_in and policy.contraction == "twisted":
        return Transposed(of=algorithm_1(fan_in, fan_out, policy))
    return algorithm_1(fan_out, fan_in, policy)


def flattened_kernel(shape: Shape, policy: Policy) -> Rule:
    """Rule a kernel (c_out, c_in, *kernel) as the matrix that it is in memory.

    >>> flattened_kernel((8, 3, 4), DEFAULT)
    Viewed(rows=8, of=Transposed(of=Twisted(block=8, prime=19, half_exponent=-4)))
    """
    return Viewed(rows=shape[0], of=flattened(shape[0], math.prod(shape[1:]), policy))


def linear(shape: Shape, policy: Policy) -> Rule:
    """Rule a weight (fan_out, fan_in): Algorithm 1.

    >>> linear((64, 24), DEFAULT)  # nn.Linear(24, 64).weight
    Twisted(block=32, prime=67, half_exponent=-6)
    """
    fan_out, fan_in = shape
    return algorithm_1(fan_out, fan_in, policy)


def transposed_linear(shape: Shape, policy: Policy) -> Rule:
    """Rule a weight that is stored (fan_in, fan_out): the matrix of `linear`, transposed.

    >>> transposed_linear((24, 64), DEFAULT)  # transformers' Conv1D(64, 24).weight
    Transposed(of=Twisted(block=32, prime=67, half_exponent=-6))
    """
    fan_in, fan_out = shape
    return Transposed(of=algorithm_1(fan_out, fan_in, policy))


def fused_linear(shape: Shape, parts: int, policy: Policy) -> Rule:
    """Rule a weight (parts * fan_out, fan_in) of several projections, each by Algorithm 1.

    >>> fused_linear((16, 8), 2, DEFAULT)  # Phi3MLP.gate_up_proj.weight
    Split(parts=((8, Identity()), (8, Identity())))
    """
    fan_out = shape[0] // parts
    return Split(parts=((fan_out, algorithm_1(fan_out, shape[1], policy)),) * parts)


def stack_of_linear(
    shape: Shape, policy: Policy, *, parts: int = 1, transposed: bool = False
) -> Rule:
    """Rule a stack (..., fan_out, fan_in) of linear maps: in each matrix the rule of one alone.

    Args:
        shape: the last two dimensions are a matrix's.
        policy: the choices.
        parts: how many projections of equal size each matrix holds, by rows; each has Algorithm 1.
        transposed: the matrices are stored (fan_in, fan_out), parts by columns.

    >>> stack_of_linear((4, 16, 8), DEFAULT, parts=2)  # MixtralExperts.gate_up_proj
    Viewed(rows=64, of=Groups(count=4, of=Split(parts=((8, Identity()), (8, Identity())))))
    """
    *stack, height, width = shape
    fan_out, fan_in = (width, height) if transposed else (height, width)
    matrix = linear((fan_out, fan_in), policy)
    if parts > 1:
        matrix = fused_linear((fan_out, fan_in), parts, policy)
    if transposed:
        matrix = Transposed(of=matrix)
    count = math.prod(stack)
    rule = _grouped(count, matrix)
    return Viewed(rows=count * height, of=rule) if stack else rule


def recurrent_input(shape: Shape, gates: int, policy: Policy) -> Rule:
    """Rule a weight (gates * hidden, fan_in) of a recurrent net's input: Algorithm 1 in each gate.

    >>> recurrent_input((32, 8), 4, DEFAULT)  # nn.LSTM(8, 8).weight_ih_l0
    Split(parts=((8, Identity()), (8, Identity()), (8, Identity()), (8, Identity())))
    """
    return linear(shape, policy) if gates == 1 else fused_linear(shape, gates, policy)


def recurrent_state(shape: Shape, gates: int, policy: Policy) -> Rule:
    """Rule a weight (gates * hidden, fan_in) of a recurrent net's state, the same in each gate.

    Where fan_in = hidden, the expansion's matrix with columns of length about 1, under both
    policies. From the identity a unit would hear itself alone, and units whose rows in the input's
    weight are equal would stay equal. Where a projection makes fan_in another: Algorithm 1.

    >>> recurrent_state((8, 8), 1, DEFAULT)  # nn.RNN(8, 8).weight_hh_l0
    Twisted(block=8, prime=11, half_exponent=-3)
    """
    hidden, fan_in = shape[0] // gates, shape[1]
    gate = algorithm_1(hidden, fan_in, policy)
    if hidden == fan_in:
        gate = _twisted(hidden, hidden, -(hidden - 1).bit_length())
    return gate if gates == 1 else Split(parts=((hidden, gate),) * gates)


def bilinear(shape: Shape, policy: Policy) -> Rule:
    """Rule a weight (fan_out, fan_in1, fan_in2): Algorithm 1 on the products of both inputs.

    It is a linear map of all products: Algorithm 1 on (fan_out, fan_in1 * fan_in2).

    >>> bilinear((8, 4, 4), DEFAULT)  # nn.Bilinear(4, 4, 8).weight
    Viewed(rows=8, of=Identity())
    """
    fan_out, fan_in = shape[0], math.prod(shape[1:])
    return Viewed(rows=fan_out, of=algorithm_1(fan_out, fan_in, policy))


def fused_projections(
    shape: Shape,
    parts: tuple[tuple[int, bool], ...],
    policy: Policy,
    *,
    blocks: int = 1,
    transposed: bool = False,
) -> Rule:
    """Rule a weight that holds several projections, by rows: each is 0 or by Algorithm 1.

    Args:
        shape: (fan_out, fan_in) or transposed, further dimensions all 1.
        parts: of each block in order, how many rows, and whether they are 0.
        policy: the choices.
        blocks: how often the parts repeat: attention may store q, k and v head by head.
        transposed: it is stored (fan_in, fan_out), parts by columns.

    >>> fused_projections((12, 4), ((2, False), (1, True)), DEFAULT, blocks=4)
    Interleaved(blocks=4, parts=((2, Twisted(block=4, prime=11, half_exponent=-3)), (1, Zeros())))

    Source:
        arXiv:2110.12661 for attention that is to give 0: W_Q = I, W_K = W_V = 0.
    """
    fan_out, fan_in = (shape[1], shape[0]) if transposed else shape[:2]
    rules = tuple(
        (rows, Zeros() if is_zero else algorithm_1(blocks * rows, fan_in, policy))
        for rows, is_zero in parts
    )
    rule: Rule = Interleaved(blocks=blocks, parts=rules)
    if blocks == 1:
        rule = rules[0][1] if len(rules) == 1 else Split(parts=rules)
    if transposed:
        return Transposed(of=rule)
    return rule if len(shape) == len((fan_out, fan_in)) else Viewed(rows=fan_out, of=rule)


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
    return _grouped(groups, Taps(ranges=centre, of=algorithm_1(fan_out // groups, fan_in, policy)))


def convolution(shape: Shape, groups: int, policy: Policy) -> Rule:
    """Rule a convolution weight: Algorithm 1 in each group, times signs around the centre tap.

    >>> convolution((24, 24, 3, 3), 1, DEFAULT)  # nn.Conv2d(24, 24, 3).weight
    CentredTaps(of=Identity(), signs=Twisted(block=16, prime=31, half_exponent=-4))
    """
    taps = math.prod(shape[2:])
    if policy.kernels == "centre" or taps == 1:
        return algorithm_2(shape, groups, policy)
    return CentredTaps(
        of=_grouped(groups, algorithm_1(shape[0] // groups, shape[1], policy)),
        signs=_signs(shape[0], taps, -(taps - 1).bit_length()),
    )


def stem_convolution(shape: Shape, policy: Policy) -> Rule:
    """Rule a convolution (c_out, c_in, *kernel) that reads the net's input, its taps overlapping.

    >>> stem_convolution((64, 3, 3, 3), DEFAULT)  # a first nn.Conv2d(3, 64, 3).weight
    Viewed(rows=64, of=Twisted(block=32, prime=67, half_exponent=-6))
    """
    if policy.stems == "centre" or math.prod(shape[2:]) == 1:
        return algorithm_2(shape, 1, policy)
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


def embedding(
    shape: Shape, padding_idx: int | None, policy: Policy, *, is_tied: bool = False
) -> Rule:
    """Rule an embedding table (rows, dim), the padding row 0: signs, or Algorithm 1 for a tied one.

    The signs' columns are in reverse order: with the same matrix in table and head the net would
    begin by predicting that every token repeats.

    >>> embedding((100, 8), 0, DEFAULT)  # nn.Embedding(100, 8, padding_idx=0).weight
    ZeroRow(row=0, of=Mirrored(of=Twisted(block=8, prime=103, half_exponent=0)))
    >>> embedding((100, 8), None, DEFAULT, is_tied=True)
    Twisted(block=8, prime=103, half_exponent=-7)
    """
    rows, dim = shape
    table = algorithm_1(rows, dim, policy)
    if policy.tables == "signs" and not is_tied:
        table = Mirrored(of=_signs(rows, dim, 0))
    return table if padding_idx is None else ZeroRow(row=padding_idx, of=table)


def _signs(rows: int, dim: int, half_exponent: int) -> Rule:
    """Return a table all of whose entries are +-c, also where it has few rows."""
    block = 1 << max((dim - 1).bit_length(), 1)
    return _twisted(max(rows, block + 1), dim, half_exponent)


def position_table(shape: Shape, policy: Policy, *, beside: Shape | None = None) -> Rule:
    """Rule a table (..., positions, dim): Algorithm 1 mirrored, so that position i is not token i.

    Its rows have norm 1, or a little less where positions are more than dim: signs then. Beside a
    tied token table, whose rows are shorter, they are signs half as large as its own. A table of
    one position says nothing, and is 0.

    Args:
        shape: of the table.
        policy: the choices.
        beside: shape (rows, dim) of the tied token table that its rows are added to.

    >>> position_table((1, 16, 8), DEFAULT)  # a vision transformer's pos_embed
    Viewed(rows=16, of=Mirrored(of=Twisted(block=8, prime=19, half_exponent=-3)))
    >>> position_table((16, 8), DEFAULT, beside=(100, 8))  # the tokens' are -7
    Mirrored(of=Twisted(block=8, prime=19, half_exponent=-9))
    """
    dim = shape[-1]
    positions = math.prod(shape[:-1])
    if positions == 1:
        return Zeros()
    rule = algorithm_1(positions, dim, policy)
    if policy.tables == "signs" and beside is not None and beside[0] > beside[1]:
        rule = _signs(positions, dim, -(beside[0] - 1).bit_length() - 2)
    elif policy.tables == "signs" and positions > dim:
        rule = _signs(positions, dim, -(dim - 1).bit_length())
    mirrored = Mirrored(of=rule)
    return mirrored if len(shape) == 2 else Viewed(rows=positions, of=mirrored)


def _grouped(groups: int, rule: Rule) -> Rule:
    return rule if groups == 1 else Groups(count=groups, of=rule)

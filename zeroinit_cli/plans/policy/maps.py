"""Linear maps in every layout: Algorithm 1, its expansion, fused, stacked and recurrent ones."""

import math
from dataclasses import replace

from zeroinit_cli.plans.layouts import (
    Groups,
    Interleaved,
    Scaled,
    Split,
    Transposed,
    Viewed,
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
        m = ceil(log2 fan_out). `he` has the latter with log2 fan_in rounded to the nearest, which
        is about sqrt(2 / fan_in): He et al., arXiv:1502.01852.
    """
    if fan_out <= fan_in:
        return Identity()
    m = (fan_out - 1).bit_length()
    if policy.scale == "he":
        m = ((2 * fan_in**2).bit_length() - 1) // 2  # log2 of fan_in, to the nearest
    half_exponent = -m if policy.scale == "orthonormal" else -(m - 1)
    if policy.expansion == "twisted":
        return _twisted(fan_out, fan_in, half_exponent)
    return Hadamard(half_exponent=half_exponent)


def _twisted(rows: int, columns: int, half_exponent: int) -> Rule:
    block = 1 << max((columns - 1).bit_length(), 1)
    return Twisted(block=block, prime=twisting_prime(rows), half_exponent=half_exponent)


def signs(rows: int, dim: int, half_exponent: int) -> Rule:
    """Rule a table all of whose entries are +-c, also where it has few rows.

    >>> signs(3, 8, 0)  # at least 8 + 1 rows decide the prime
    Twisted(block=8, prime=11, half_exponent=0)
    """
    block = 1 << max((dim - 1).bit_length(), 1)
    return _twisted(max(rows, block + 1), dim, half_exponent)


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


def means(fan_out: int, fan_in: int) -> Rule:
    """Rule a map each of whose outputs is about a mean of all inputs, under signs of its own.

    All entries are +-2^-ceil(log2 fan_in).

    >>> means(24, 64)
    Transposed(of=Twisted(block=32, prime=67, half_exponent=-12))
    """
    half_exponent = -2 * (fan_in - 1).bit_length()
    if fan_out >= fan_in:
        return _twisted(fan_out, fan_in, half_exponent)
    return Transposed(of=_twisted(fan_in, fan_out, half_exponent))


def flattened(fan_out: int, fan_in: int, policy: Policy) -> Rule:
    """Rule a kernel as a matrix (fan_out, channels and taps): where fan_out < fan_in contracted.

    The contraction is the expansion of (fan_in, fan_out) transposed: each output reads all inputs,
    where the partial identity would read the first few.

    >>> flattened(24, 64, DEFAULT)
    Transposed(of=Twisted(block=32, prime=67, half_exponent=-6))
    """
    if policy.scale == "he":  # which is of maps whose columns are their inputs
        policy = replace(policy, scale="orthonormal")
    if fan_out < fan_in and policy.contraction == "twisted":
        return Transposed(of=algorithm_1(fan_in, fan_out, policy))
    return algorithm_1(fan_out, fan_in, policy)


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
    rule = grouped(count, matrix)
    return Viewed(rows=count * height, of=rule) if stack else rule


def damped(rule: Rule, policy: Policy) -> Rule:
    """Rule a weight that ends a residual branch behind a norm: so much of what it would be.

    >>> damped(linear((64, 256), DEFAULT), DEFAULT)
    Scaled(half_exponent=-8, of=Identity())
    """
    if policy.last_weight in (0, 1):
        return rule if policy.last_weight else Zeros()
    return Scaled(half_exponent=2 * math.frexp(policy.last_weight)[1] - 2, of=rule)


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


def grouped(groups: int, rule: Rule) -> Rule:
    """Rule as many matrices as there are groups, one after the other.

    >>> grouped(4, Identity()), grouped(1, Identity())
    (Groups(count=4, of=Identity()), Identity())
    """
    return rule if groups == 1 else Groups(count=groups, of=rule)

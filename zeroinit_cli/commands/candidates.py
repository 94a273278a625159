"""Every rule that the policy can give a tensor of some shape. No torch."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from zeroinit_cli.commands.departures import SummarizedTensor, allows, departure
from zeroinit_cli.plans import parametrizations
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Elements, Range, Rule, Shape, Zeros
from zeroinit_cli.policies import POLICIES, Policy

_POLICIES = tuple(POLICIES.values())  # the default first
_IN_CHAINS = tuple(
    policy.in_chain(followed=followed)
    for policy in _POLICIES
    if policy.chains != "none"
    for followed in (True, False)
)
_ALL = _POLICIES + _IN_CHAINS

_FUSED_PARTS = (2, 3, 4)  # projections in one weight, as gate and up
_GATES = (1, 3, 4)  # of RNN, GRU, LSTM
_MOST_TAPS = 1 << 18  # in a kernel; a larger one is no convolution's
_MOST_DIMENSIONS = 6
_MOST_BITS = 40  # of the number of rows of a table


def candidates(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield every rule that the policy can give a tensor of this shape, some of them twice.

    Where several have the same bytes the first is reported, so the likelier come first. A new
    function of the policy is one more line in one of those below.
    """
    shape = tensor.info.shape
    if len(shape) == 1:
        yield from _vectors(tensor)
    elif len(shape) == 2:
        yield from _matrices(tensor)
        yield from _padded_embeddings(tensor)
    elif 2 < len(shape) <= _MOST_DIMENSIONS:
        yield from _kernels(tensor)
        if max(shape[2:]) == 1:
            yield from _projections(tensor)
        yield from _stacks(shape)
    yield from (rules.damped(rule, _POLICIES[0]) for rule in _ends(tensor))
    if len(shape) > 1 and tensor.summary.nonzeros == math.prod(shape[:-1]):
        yield parametrizations.unit_vectors(shape)  # tokens that a norm sees alone


def _vectors(tensor: SummarizedTensor) -> Iterator[Rule]:
    """What spectral norm holds beside a weight: a unit vector, and a column of the weight."""
    (size,) = tensor.info.shape
    nonzeros = tensor.summary.nonzeros
    firsts = (place.first for pattern, place in tensor.summary.patterns.items() if pattern)
    yield parametrizations.unit_vector(size, min(firsts))
    if size % nonzeros == 0:  # a column of the first of several groups, expanded from any width
        for policy in _POLICIES:
            for bits in range(nonzeros.bit_length() + 1):
                shape = (size, min(1 << bits, max(nonzeros - 1, 1)), 1)
                weight = rules.convolution(shape, size // nonzeros, policy)
                yield parametrizations.spectral_norm_left(weight, shape)


def _ends(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield what a weight would be that ends a residual branch."""
    shape = tensor.info.shape
    for policy in (_POLICIES[0], *_IN_CHAINS):
        if len(shape) == 2:
            yield rules.linear(shape, policy)
            yield rules.transposed_linear(shape, policy)
            if shape[0] % 2 == 0:
                yield rules.fused_linear(shape, 2, policy)  # as in front of a GLU
        if 2 < len(shape) <= _MOST_DIMENSIONS:
            yield from (rules.convolution(shape, groups, policy) for groups in _divisors(shape[0]))
    if 2 < len(shape) <= _MOST_DIMENSIONS:
        box = _tap_box(tensor)
        if box is not None:
            yield rules.transposed_convolution(shape, _upsampling(1, box), _POLICIES[0])
        yield rules.patch_convolution(shape, _POLICIES[0])
        yield rules.bilinear(shape, _POLICIES[0])
        yield rules.stack_of_linear(shape, _POLICIES[0])
        yield rules.stack_of_linear(shape, _POLICIES[0], transposed=True)


def _matrices(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield linear maps, fused and transposed ones, and tables."""
    shape, rows = tensor.info.shape, tensor.info.shape[0]
    yield from (rules.linear(shape, policy) for policy in _ALL)
    yield from _projections(tensor)
    yield from (rules.transposed_linear(shape, policy) for policy in _ALL)
    for policy in _POLICIES:
        yield rules.embedding(shape, None, policy)
        yield from _position_tables(tensor, policy)
        for gates in _GATES:
            if rows % gates == 0:
                yield rules.recurrent_state(shape, gates, policy)
    for policy in _ALL:
        for parts in _FUSED_PARTS:
            if rows % parts == 0:
                yield rules.fused_linear(shape, parts, policy)
    yield from _directions_of_zeros(shape)


def _projections(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield queries, keys and values in one weight, one after the other or head by head.

    Keys and values are as many, and no more than queries. Where they are 0, what is not tells how
    many queries there are; else those are taken for a third, or for as many as the inputs.
    """
    shape, nonzeros = tensor.info.shape, tensor.summary.nonzeros
    for transposed in (False, True) if len(shape) == 2 else (False,):
        fan_out, fan_in = (shape[1], shape[0]) if transposed else shape[:2]
        for queries in dict.fromkeys((fan_out // 3, fan_in, nonzeros, nonzeros // fan_in)):
            keys = (fan_out - queries) // 2
            if queries + 2 * keys != fan_out or not 0 < keys <= queries:
                continue
            for blocks in _divisors(math.gcd(queries, keys)):
                rows = queries // blocks, keys // blocks
                for closed in (True, False):
                    parts = (rows[0], False), (rows[1], closed), (rows[1], closed)
                    for policy in _POLICIES:
                        yield rules.fused_projections(
                            shape, parts, policy, blocks=blocks, transposed=transposed
                        )


def _position_tables(tensor: SummarizedTensor, policy: Policy) -> Iterator[Rule]:
    """Yield position tables, also beside a tied token table, whose rows their constant tells."""
    shape, elements = tensor.info.shape, Elements(dtype=tensor.info.dtype)
    yield rules.position_table(shape, policy)
    for m in range(1, _MOST_BITS):
        if elements.power(-m - 2) in tensor.summary.patterns:
            yield rules.position_table(shape, policy, beside=(1 << m, shape[-1]))


def _padded_embeddings(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield embedding tables with a row of zeros at the tensor's first unexpected zero."""
    shape = tensor.info.shape
    for policy in _POLICIES:
        for is_tied in (False, True):
            table = rules.embedding(shape, None, policy, is_tied=is_tied)
            away = departure(table, tensor) if allows(table, tensor, zeros=shape[1]) else None
            if away is not None and away.first_zero is not None:
                row = away.first_zero // shape[1]
                yield rules.embedding(shape, row, policy, is_tied=is_tied)


def _kernels(tensor: SummarizedTensor) -> Iterator[Rule]:
    """Yield convolutions, also in groups, patches, and position tables of more dimensions."""
    shape = tensor.info.shape
    divisors = _divisors(shape[0])
    # Some expansions in groups have the bytes of smaller identities, or of one whole expansion.
    identities = (groups for groups in divisors if shape[0] // groups <= shape[1])
    yield from (rules.convolution(shape, groups, _POLICIES[0]) for groups in identities)
    yield from (rules.convolution(shape, 1, policy) for policy in _ALL)
    yield from (rules.stem_convolution(shape, policy) for policy in _ALL)
    box = _tap_box(tensor)
    for policy in _POLICIES:
        yield rules.patch_convolution(shape, policy)
        yield rules.patch_stem(shape, policy)
        yield rules.flattened_kernel(shape, policy)
        yield rules.bilinear(shape, policy)
        yield from _position_tables(tensor, policy)
        for groups in divisors:
            yield rules.convolution(shape, groups, policy)
            yield rules.algorithm_2(shape, groups, policy)
            if box is not None:
                yield rules.transposed_convolution(shape, _upsampling(groups, box), policy)
    for policy in _IN_CHAINS:  # last: many of their bytes are also those of a rule above
        yield from (rules.convolution(shape, groups, policy) for groups in divisors)


def _stacks(shape: Shape) -> Iterator[Rule]:
    """Stacks of matrices, in either layout, and fused ones."""
    height, width = shape[-2:]
    for policy in _POLICIES:
        for transposed, rows in ((False, height), (True, width)):
            for parts in (1, *_FUSED_PARTS):
                if rows % parts == 0:
                    yield rules.stack_of_linear(shape, policy, parts=parts, transposed=transposed)
    yield from _directions_of_zeros(shape)


def _directions_of_zeros(shape: Shape) -> Iterator[Rule]:
    """What weight norm stores of a weight of 0; of another, where no slice is 0, the weight."""
    for dim in range(len(shape)):
        yield parametrizations.weight_norm_direction(Zeros(), shape, dim)


def _upsampling(groups: int, box: tuple[Range, ...]) -> rules.Geometry:
    """Return a geometry whose upsampling covers a box of taps."""
    return rules.Geometry(
        groups=groups,
        stride=tuple(last - first for first, last in box),
        padding=tuple(first for first, _ in box),
        dilation=(1,) * len(box),
    )


def _divisors(number: int) -> tuple[int, ...]:
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return tuple(sorted({*small, *(number // divisor for divisor in small)}))


def _tap_box(tensor: SummarizedTensor) -> tuple[Range, ...] | None:
    """Return first and last + 1 nonzero tap in each dimension, of the first kernel that has any.

    A magnitude that occurs once, and is not 1, is taken for an edit and not looked at.
    """
    kernel_shape = tensor.info.shape[2:]
    size = math.prod(kernel_shape)
    elements, patterns = Elements(dtype=tensor.info.dtype), tensor.summary.patterns
    counts = Counter[int]()
    for pattern, occurrence in patterns.items():
        counts[pattern & ~elements.sign] += occurrence.count
    counts[elements.one] += 1
    counts[0] = 0  # nor is a 0 of either sign a tap
    frequent = {
        pattern: occurrence.first
        for pattern, occurrence in patterns.items()
        if counts[pattern & ~elements.sign] > 1
    }
    if not frequent or size > _MOST_TAPS:
        return None
    kernel = tensor.read(min(frequent.values()) // size * size, size)
    taps = np.flatnonzero(np.isin(kernel, np.array(sorted(frequent), kernel.dtype)))
    axes = np.unravel_index(taps, kernel_shape)
    return tuple((int(axis.min()), int(axis.max()) + 1) for axis in axes)

"""Any rule that the policy gives, with a shape that has it."""

import math

from hypothesis import strategies as st

from zeroinit_cli.plans import parametrizations, policy
from zeroinit_cli.plans.rules import Rule, Zeros
from zeroinit_cli.policies import DEFAULT, POLICIES, Policy

Draw = st.DrawFn
Drawn = tuple[Rule, tuple[int, ...]]
Choices = st.SearchStrategy[Policy]
SIZES = st.integers(1, 24)
KERNELS = st.lists(st.integers(1, 4), min_size=1, max_size=3)
OPTIONS = st.sampled_from(list(POLICIES.values()))
MAPS = st.one_of(OPTIONS, st.sampled_from([DEFAULT.in_chain(), DEFAULT.in_chain(followed=False)]))
"""The choices for a map, which may stand in a chain."""
Z = Zeros()


def linear(draw: Draw, choices: Choices = MAPS) -> Drawn:
    shape = draw(SIZES), draw(SIZES)
    return policy.linear(shape, draw(choices)), shape


def transposed_linear(draw: Draw, choices: Choices = MAPS) -> Drawn:
    shape = draw(SIZES), draw(SIZES)
    return policy.transposed_linear(shape, draw(choices)), shape


def fused_linear(draw: Draw) -> Drawn:
    parts = draw(st.integers(2, 4))
    shape = parts * draw(SIZES), draw(SIZES)
    return policy.fused_linear(shape, parts, draw(MAPS)), shape


def fused_projections(draw: Draw) -> Drawn:
    """Queries, keys and values in blocks: if none are 0, a third or as many as inputs are q."""
    blocks, fan_in, queries, closed = draw(SIZES), draw(SIZES), draw(SIZES), draw(st.booleans())
    if draw(st.booleans()):
        queries = max(fan_in // blocks, 1)
    grouped = closed or queries * blocks == fan_in
    keys = draw(st.integers(1, queries)) if grouped else queries
    parts = (queries, False), (keys, closed), (keys, closed)
    shape: tuple[int, ...] = blocks * (queries + 2 * keys), fan_in
    transposed = draw(st.booleans())
    shape = shape[::-1] if transposed else (*shape, *draw(st.sampled_from([(), (1,), (1, 1)])))
    rule = policy.fused_projections(
        shape, parts, draw(OPTIONS), blocks=blocks, transposed=transposed
    )
    return rule, shape


def convolution(draw: Draw, choices: Choices = MAPS) -> Drawn:
    groups = draw(st.integers(1, 6))
    shape = groups * draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.convolution(shape, groups, draw(choices)), shape


def algorithm_2(draw: Draw) -> Drawn:
    groups = draw(st.integers(1, 6))
    shape = groups * draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.algorithm_2(shape, groups, draw(MAPS)), shape


def flattened_kernel(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.flattened_kernel(shape, draw(OPTIONS)), shape


def stem_convolution(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.stem_convolution(shape, draw(MAPS)), shape


def patch_stem(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.patch_stem(shape, draw(OPTIONS)), shape


def patch_convolution(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES), *draw(KERNELS)
    return policy.patch_convolution(shape, draw(OPTIONS)), shape


def transposed_convolution(draw: Draw) -> Drawn:
    groups, kernel = draw(st.integers(1, 6)), draw(KERNELS)
    shape = groups * draw(SIZES), draw(SIZES), *kernel
    stride, padding, dilation = (
        tuple(draw(st.integers(least, 4)) for _ in kernel) for least in (1, 0, 1)
    )
    geometry = policy.Geometry(groups=groups, stride=stride, padding=padding, dilation=dilation)
    return policy.transposed_convolution(shape, geometry, draw(OPTIONS)), shape


def embedding(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES)
    row = draw(st.none() | st.integers(0, shape[0] - 1))
    is_tied = draw(st.booleans())
    return policy.embedding(shape, row, draw(OPTIONS), is_tied=is_tied), shape


def position_table(draw: Draw) -> Drawn:
    shape = *draw(st.lists(st.integers(1, 4), max_size=2)), draw(SIZES), draw(SIZES)
    beside = draw(st.none() | st.tuples(st.integers(2, 10**6), st.just(shape[-1])))
    return policy.position_table(shape, draw(OPTIONS), beside=beside), shape


def stack_of_linear(draw: Draw) -> Drawn:
    stack, parts = (
        draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)),
        draw(st.integers(1, 4)),
    )
    height, width, transposed = parts * draw(SIZES), draw(SIZES), draw(st.booleans())
    shape = (*stack, width, height) if transposed else (*stack, height, width)
    rule = policy.stack_of_linear(shape, draw(OPTIONS), parts=parts, transposed=transposed)
    return rule, shape


def damped(draw: Draw) -> Drawn:
    """A layer of the default policy, in a chain or not."""
    choices = st.sampled_from([DEFAULT, DEFAULT.in_chain()])
    rule, shape = draw(st.sampled_from([linear, transposed_linear, convolution]))(draw, choices)
    return policy.damped(rule, DEFAULT), shape


def recurrent_input(draw: Draw) -> Drawn:
    gates = draw(st.sampled_from([1, 3, 4]))
    shape = gates * draw(SIZES), draw(SIZES)
    return policy.recurrent_input(shape, gates, draw(OPTIONS)), shape


def recurrent_state(draw: Draw) -> Drawn:
    gates, hidden = draw(st.sampled_from([1, 3, 4])), draw(SIZES)
    shape = gates * hidden, draw(st.just(hidden) | st.integers(1, hidden))
    return policy.recurrent_state(shape, gates, draw(OPTIONS)), shape


def bilinear(draw: Draw) -> Drawn:
    shape = draw(SIZES), draw(SIZES), draw(SIZES)
    return policy.bilinear(shape, draw(OPTIONS)), shape


def weight_norm_direction(draw: Draw) -> Drawn:
    """Of a weight of 0, or of one that has no slice of 0: the others are not looked for."""
    shape = draw(SIZES), draw(SIZES), *draw(st.lists(st.integers(1, 4), max_size=2))
    of = draw(st.sampled_from([Z, policy.patch_convolution(shape, draw(OPTIONS))]))
    dim = draw(st.integers(0, len(shape) - 1))
    rule = parametrizations.weight_norm_direction(of, shape, dim)
    return (rule if of == Z or rule == of else of), shape


def spectral_norm_left(draw: Draw) -> Drawn:
    rule, shape = convolution(draw, OPTIONS)  # vectors are those of no chain: lengths are 1
    return parametrizations.spectral_norm_left(rule, shape), shape[:1]


def spectral_norm_right(draw: Draw) -> Drawn:
    rule, shape = convolution(draw, OPTIONS)
    return parametrizations.spectral_norm_right(rule, shape), (math.prod(shape[1:]),)


def unit_vector(draw: Draw) -> Drawn:
    size = draw(SIZES)
    return parametrizations.unit_vector(size, draw(st.integers(0, size - 1))), (size,)


def unit_vectors(draw: Draw) -> Drawn:
    shape = (*draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)), draw(SIZES))
    return parametrizations.unit_vectors(shape), shape


POLICY = {
    function.__name__: function
    for function in (
        linear,
        transposed_linear,
        fused_linear,
        fused_projections,
        convolution,
        patch_convolution,
        algorithm_2,
        flattened_kernel,
        stem_convolution,
        patch_stem,
        transposed_convolution,
        embedding,
        position_table,
        stack_of_linear,
        damped,
        recurrent_input,
        recurrent_state,
        bilinear,
        weight_norm_direction,
        spectral_norm_left,
        spectral_norm_right,
        unit_vector,
        unit_vectors,
    )
}
"""How a rule of each of the policy's functions is drawn."""


@st.composite
def policy_tensors(draw: Draw) -> Drawn:
    """A rule of the policy and a shape that has it."""
    return draw(st.sampled_from(sorted(POLICY.items())))[1](draw)

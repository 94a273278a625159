"""The policy against number theory and torch's own layers."""

import doctest
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.plans.oracles import whole
from zeroinit_cli.dtypes import F64
from zeroinit_cli.plans import parametrizations, policy
from zeroinit_cli.plans.policy import kernels, maps, tables
from zeroinit_cli.plans.rules import Rule, Twisted
from zeroinit_cli.policies import DEFAULT, PAPER, POLICIES, Policy


def upsampling(
    shape: tuple[int, ...],
    groups: int,
    stride: int,
    padding: int,
    dilation: int,
    by: Policy = DEFAULT,
) -> Rule:
    both = [(size, size) for size in (stride, padding, dilation)]
    geometry = policy.Geometry(groups=groups, stride=both[0], padding=both[1], dilation=both[2])
    return policy.transposed_convolution(shape, geometry, by)


@pytest.mark.parametrize("fan_out", [2, 3, 10, 64, 65, 100])
def test_the_prime_of_a_twisted_matrix(fan_out: int) -> None:
    """By trial division; chi is held against Euler's criterion where rules are restated."""
    prime = policy.twisting_prime(fan_out)
    smaller = range(fan_out + 1, prime)
    assert prime % 4 == 3
    assert all(prime % divisor for divisor in range(2, prime))
    assert not any(
        each % 4 == 3 and all(each % divisor for divisor in range(2, each)) for each in smaller
    )


@pytest.mark.parametrize(("fan_out", "fan_in"), [(64, 24), (144, 24), (100, 64), (3, 2), (9, 1)])
def test_an_expansion_keeps_lengths_as_sylvesters_does_and_parts_more_rows(
    fan_out: int, fan_in: int
) -> None:
    shape = (fan_out, fan_in)
    twisted = whole(policy.linear(shape, DEFAULT), shape, F64).numpy()
    plain = whole(policy.linear(shape, replace(PAPER, scale="orthonormal")), shape, F64).numpy()
    gains = [np.linalg.svd(matrix, compute_uv=False) for matrix in (twisted, plain)]
    assert np.allclose(gains[0], gains[1])
    distinct = [len(np.unique(matrix, axis=0)) for matrix in (twisted, plain)]
    assert distinct[0] >= distinct[1]
    assert not (np.sign(twisted).sum(axis=0) == 0).any()


def test_a_kernel_alone_in_its_centre_is_so_whatever_it_reads() -> None:
    """Block means belong to flattened patches."""
    by, shape = Policy(stems="centre", patches="centre"), (8, 3, 4, 4)
    centre = policy.algorithm_2(shape, 1, by)
    functions = (policy.patch_stem, policy.patch_convolution, policy.stem_convolution)
    assert [function(shape, by) for function in functions] == [centre] * 3


@pytest.mark.parametrize("size", [3, 7])
def test_signs_around_the_centre_see_something_of_every_edge(size: int) -> None:
    shape, last = (96, 1, size, size), size // 2
    kernel = whole(policy.convolution(shape, 96, DEFAULT), shape, F64)
    seen = (
        kernel[..., last:, :],
        kernel[..., last:, last:],
        kernel[..., last:, last:][..., :2, :2],
    )
    for part in seen:
        assert (part.sum((-2, -1)) != 0).all()


def test_upsampling_taps_enlarge_a_picture() -> None:
    """A transposed convolution of any kernel and padding repeats each pixel `stride` times."""
    picture = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    for kernel, stride, padding, dilation in [
        (2, 2, 0, 1),
        (4, 2, 1, 1),
        (3, 3, 0, 1),
        (5, 2, 1, 1),
        (3, 1, 2, 2),
    ]:
        layer = torch.nn.ConvTranspose2d(
            3, 3, kernel, stride, padding, bias=False, dilation=dilation
        )
        shape = tuple(layer.weight.shape)
        layer.weight.data = whole(upsampling(shape, 1, stride, padding, dilation), shape)
        enlarged = picture.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
        with torch.no_grad():
            out = layer(picture)
        rows, columns = enlarged.shape[2:]
        assert torch.equal(out[:, :, :rows, :columns], enlarged), (kernel, stride, padding)


def test_upsampling_in_groups_enlarges_each_groups_channels() -> None:
    picture = torch.arange(2 * 6 * 4 * 5, dtype=torch.float32).reshape(2, 6, 4, 5)
    layer = torch.nn.ConvTranspose2d(6, 4, 2, 2, groups=2, bias=False)
    shape = tuple(layer.weight.shape)
    layer.weight.data = whole(upsampling(shape, 2, 2, 0, 1), shape)
    enlarged = picture.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert torch.equal(layer(picture), enlarged[:, [0, 1, 3, 4]])


def test_too_much_padding_leaves_the_centre_tap() -> None:
    assert policy.upsampling_taps(3, 2, 2) == (1, 2)
    assert policy.upsampling_taps(3, 2, 1) == (1, 3)
    assert policy.upsampling_taps(2, 4, 0) == (0, 2)
    assert policy.upsampling_taps(3, 2, 0, dilation=2) == (1, 2)
    assert policy.upsampling_taps(5, 1, 3, dilation=2) == (2, 3)


@pytest.mark.parametrize("by", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize(
    ("shape", "parts"), [((3, 5, 5), 1), ((2, 3, 8, 4), 2), ((2, 12, 2), 3), ((8, 4), 2)]
)
def test_each_matrix_of_a_stack_has_the_rule_of_one_alone(
    shape: tuple[int, ...], parts: int, by: Policy
) -> None:
    *_, height, width = shape
    rule = policy.linear((height // parts, width), by)
    alone = torch.cat([whole(rule, (height // parts, width))] * parts)
    stack = whole(policy.stack_of_linear(shape, by, parts=parts), shape)
    assert torch.equal(stack, alone.expand(shape))
    swapped = (*shape[:-2], width, height)
    rule = policy.stack_of_linear(swapped, by, parts=parts, transposed=True)
    assert torch.equal(whole(rule, swapped), alone.T.expand(swapped))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("blocks", "queries", "keys", "fan_in", "tail"),
    [(1, 8, 8, 8, ()), (4, 2, 2, 8, ()), (2, 6, 2, 8, ()), (2, 12, 3, 4, ()), (4, 2, 2, 6, (1, 1))],
)
def test_fused_projections_hold_what_separate_layers_would(
    blocks: int, queries: int, keys: int, fan_in: int, tail: tuple[int, ...], transposed: bool
) -> None:
    """Taken apart by a view, as GPT-NeoX and Falcon take them."""
    if transposed and tail:
        return
    shape: tuple[int, ...] = (blocks * (queries + 2 * keys), fan_in, *tail)
    stored = shape[::-1] if transposed else shape
    parts = (queries, False), (keys, True), (keys, False)
    rule = policy.fused_projections(stored, parts, DEFAULT, blocks=blocks, transposed=transposed)
    weight = whole(rule, stored).T if transposed else whole(rule, stored)
    q, k, v = weight.view(blocks, -1, fan_in).split([queries, keys, keys], 1)
    for part, rows, is_zero in ((q, queries, False), (k, keys, True), (v, keys, False)):
        alone = whole(policy.linear((blocks * rows, fan_in), DEFAULT), (blocks * rows, fan_in))
        assert torch.equal(part.reshape(-1, fan_in), alone * (not is_zero))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_each_gate_of_a_recurrent_net_has_the_matrix_of_one_alone(kind: Any) -> None:
    net = kind(5, 8)
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind.__name__.removesuffix("Cell")]
    inputs = whole(policy.linear((8, 5), DEFAULT), (8, 5))
    state = whole(Twisted(block=8, prime=11, half_exponent=-3), (8, 8))
    for name, rule_of, alone in (
        ("weight_ih", policy.recurrent_input, inputs),
        ("weight_hh", policy.recurrent_state, state),
    ):
        [weight] = [each for key, each in net.named_parameters() if key.startswith(name)]
        shape = tuple(weight.shape)
        expected = torch.cat([alone] * gates)
        assert torch.equal(whole(rule_of(shape, gates, DEFAULT), shape), expected)


def test_a_projected_state_is_a_linear_map_in_each_gate() -> None:
    net: Any = nn.LSTM(5, 8, proj_size=3)
    shape = tuple(net.weight_hh_l0.shape)
    alone = whole(policy.linear((8, 3), DEFAULT), (8, 3))
    state = whole(policy.recurrent_state(shape, 4, DEFAULT), shape)
    assert torch.equal(state, torch.cat([alone] * 4))


@pytest.mark.parametrize("by", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 8, 31, 64, 100])
def test_a_state_tells_all_units_apart_and_does_not_grow_fast(hidden: int, by: Policy) -> None:
    shape = (hidden, hidden)
    state = whole(policy.recurrent_state(shape, 1, by), shape)
    assert len(state.unique(dim=0)) == hidden
    assert torch.linalg.matrix_norm(state, 2) < 1.42


@pytest.mark.parametrize(
    "module", [kernels, maps, tables, parametrizations], ids=lambda module: module.__name__
)
def test_what_a_docstring_shows_is_what_its_function_gives(module: ModuleType) -> None:
    functions = [
        found
        for name, found in vars(module).items()
        if isinstance(found, FunctionType) and found.__module__ == module.__name__
        if not name.startswith("_")
    ]
    assert all(">>> " in (function.__doc__ or "") for function in functions)
    assert doctest.testmod(module, extraglobs={"DEFAULT": DEFAULT}).failed == 0

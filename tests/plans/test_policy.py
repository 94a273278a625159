"""The policy against number theory and torch's own layers."""

import doctest
from types import FunctionType

import numpy as np
import pytest
import torch

from tests.plans.oracles import whole
from zeroinit_cli.options import Options
from zeroinit_cli.plans import policy
from zeroinit_cli.plans.rules import Rule


@pytest.mark.parametrize("fan_out", [2, 3, 10, 64, 65, 100])
def test_the_paley_matrix_is_paleys(fan_out: int) -> None:
    """Chi by Euler's criterion; the prime by trial division; every row distinct."""
    prime = policy.paley_prime(fan_out)
    smaller = range(fan_out + 1, prime)
    assert prime % 4 == 3
    assert all(prime % divisor for divisor in range(2, prime))
    assert not any(
        each % 4 == 3 and all(each % divisor for divisor in range(2, each)) for each in smaller
    )
    fan_in = max(fan_out // 2, 1)
    values = whole(policy.linear((fan_out, fan_in), Options(expansion="paley")), (fan_out, fan_in))
    squares = {x * x % prime for x in range(prime)}
    chi = [[1 if (i - j) % prime in squares else -1 for j in range(fan_in)] for i in range(fan_out)]
    assert torch.equal(values.sign(), torch.tensor(chi, dtype=torch.float32))
    if fan_in > 8:
        assert len(np.unique(values.numpy(), axis=0)) == fan_out


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


def upsampling(
    shape: tuple[int, ...], groups: int, stride: int, padding: int, dilation: int
) -> Rule:
    both = [(size, size) for size in (stride, padding, dilation)]
    geometry = policy.Geometry(groups=groups, stride=both[0], padding=both[1], dilation=both[2])
    return policy.transposed_convolution(shape, geometry, Options())


def test_too_much_padding_leaves_the_centre_tap() -> None:
    assert policy.upsampling_taps(3, 2, 2) == (1, 2)
    assert policy.upsampling_taps(3, 2, 1) == (1, 3)
    assert policy.upsampling_taps(2, 4, 0) == (0, 2)
    assert policy.upsampling_taps(3, 2, 0, dilation=2) == (1, 2)
    assert policy.upsampling_taps(5, 1, 3, dilation=2) == (2, 3)


def test_what_a_docstring_shows_is_what_its_function_gives() -> None:
    functions = [
        found
        for name, found in vars(policy).items()
        if isinstance(found, FunctionType) and found.__module__ == policy.__name__
        if not name.startswith("_")
    ]
    assert all(">>> " in (function.__doc__ or "") for function in functions)
    assert doctest.testmod(policy).failed == 0

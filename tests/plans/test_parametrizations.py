"""What weight norm and spectral norm compute from the ruled tensors, by torch's own."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tests.plans.oracles import whole
from tests.plans.test_policy import upsampling
from zeroinit_cli.dtypes import F64
from zeroinit_cli.plans import policy
from zeroinit_cli.plans.parametrizations import (
    spectral_norm_left,
    spectral_norm_right,
    unit_vectors,
    weight_norm_direction,
    weight_norm_magnitude,
)
from zeroinit_cli.plans.rules import Rule, Zeros
from zeroinit_cli.policies import DEFAULT, PAPER

SYLVESTER = replace(PAPER, scale="orthonormal")

WEIGHTS: list[tuple[Any, Rule]] = [
    (nn.Linear(5, 9), policy.linear((9, 5), DEFAULT)),
    (nn.Linear(9, 5), policy.linear((5, 9), DEFAULT)),
    (nn.Linear(5, 9), policy.linear((9, 5), SYLVESTER)),
    (nn.Conv1d(3, 8, 3), policy.convolution((8, 3, 3), 1, DEFAULT)),
    (nn.Conv1d(8, 4, 5), policy.convolution((4, 8, 5), 1, DEFAULT)),
    (nn.Conv2d(6, 12, (3, 4), groups=3), policy.convolution((12, 2, 3, 4), 3, DEFAULT)),
    (nn.Conv2d(3, 16, 2, 2), policy.patch_convolution((16, 3, 2, 2), DEFAULT)),
    (nn.Conv2d(3, 8, 4, 4), policy.patch_convolution((8, 3, 4, 4), DEFAULT)),
    (nn.ConvTranspose2d(4, 8, 4, 2, 1), upsampling((4, 8, 4, 4), 1, 2, 1, 1)),
    (nn.ConvTranspose2d(4, 8, 4, 2, 1), upsampling((4, 8, 4, 4), 1, 2, 1, 1, SYLVESTER)),
    (nn.ConvTranspose2d(8, 4, 4, 2, 1), upsampling((8, 4, 4, 4), 1, 2, 1, 1)),
    (nn.ConvTranspose2d(4, 6, 2, 2, groups=2), upsampling((4, 3, 2, 2), 2, 2, 0, 1)),
]
"""Layers, and the rule of their weight."""


@pytest.mark.parametrize(("layer", "rule"), WEIGHTS, ids=str)
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_weight_norm_computes_the_weight_that_was_ruled(layer: Any, rule: Rule, dim: int) -> None:
    """Through torch's own parametrization; where the weight is 0, too."""
    if dim >= layer.weight.ndim:
        return
    normed: Any = parametrizations.weight_norm(copy.deepcopy(layer), dim=dim)
    held = normed.parametrizations.weight
    shape = tuple(held.original1.shape)
    for of in (rule, Zeros()):
        magnitude = weight_norm_magnitude(of, shape, dim)
        direction = weight_norm_direction(of, shape, dim)
        held.original0.data = whole(magnitude, tuple(held.original0.shape))
        held.original1.data = whole(direction, shape)
        assert torch.allclose(normed.weight, whole(of, shape), rtol=1e-6, atol=0)
        assert not torch.equal(held.original1, torch.zeros(shape))


def test_the_magnitudes_are_those_that_weight_norm_computes_itself() -> None:
    for layer, rule in WEIGHTS:
        shape = tuple(layer.weight.shape)
        for dim in range(layer.weight.ndim):
            expected = torch.norm_except_dim(whole(rule, shape, F64), 2, dim)
            magnitude = weight_norm_magnitude(rule, shape, dim)
            given = whole(magnitude, tuple(expected.shape), F64)
            assert torch.allclose(given, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("layer", "rule"), WEIGHTS, ids=str)
def test_spectral_norm_begins_beside_the_gain_that_it_finds(layer: Any, rule: Rule) -> None:
    """What u and v say before the first step; after one the gain is an expansion's or a map's."""
    dim = int(isinstance(layer, nn.modules.conv._ConvTransposeNd))
    normed: Any = parametrizations.spectral_norm(copy.deepcopy(layer)).eval()
    held = normed.parametrizations.weight
    norm = held[0]
    shape = tuple(held.original.shape)
    weight = held.original.data = whole(rule, shape)
    norm._u.data = whole(spectral_norm_left(rule, shape, dim), tuple(norm._u.shape))
    norm._v.data = whole(spectral_norm_right(rule, shape, dim), tuple(norm._v.shape))
    matrix = weight.transpose(0, dim).flatten(1)
    column = (matrix @ norm._v) * (norm._u != 0)
    assert torch.allclose(norm._u * column.norm(), column * norm._u.norm(), atol=1e-6)
    with torch.no_grad():
        before = float(weight.norm() / normed.weight.norm())
        normed.train()
        after = float(weight.norm() / normed.weight.norm())
    assert 0.5 <= before <= 1 + 1e-6
    gain = float(torch.linalg.matrix_norm(matrix, 2))
    assert gain / 2 <= after <= gain + 1e-6


@pytest.mark.parametrize("shape", [(8,), (1, 1, 8), (2, 3, 5), (4, 1), (1,)])
def test_unit_vectors_are_the_last_row_of_the_identity(shape: tuple[int, ...]) -> None:
    expected = torch.eye(shape[-1])[-1].expand(shape)
    assert torch.equal(whole(unit_vectors(shape), shape), expected)

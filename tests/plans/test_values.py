"""Values against oracles that nobody here wrote, and against a restatement, entry by entry."""

import hashlib
import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.long import some_long
from tests.plans.oracles import entry, ruled_tensors, whole
from zeroinit_cli.dtypes import BY_NAME, F32, F64, FLOATS, DType
from zeroinit_cli.plans import policy
from zeroinit_cli.plans.rounding import power_bits
from zeroinit_cli.plans.rules import Hadamard, Identity, Kept, Ones, Rule
from zeroinit_cli.plans.values import region_values, regions
from zeroinit_cli.policies import DEFAULT, PAPER, POLICIES

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "values.json").read_text())


@pytest.mark.parametrize("m", range(1, 11))
def test_hadamard_is_scipys_up_to_its_constant(m: int) -> None:
    size = 2**m
    ours = whole(Hadamard(half_exponent=-m), (size, size), F64).numpy()
    assert np.array_equal(np.sign(ours), scipy.linalg.hadamard(size))
    assert np.unique(np.abs(ours)).size == 1
    assert abs(ours[0, 0] - 2 ** (-m / 2)) < 1e-16


@pytest.mark.parametrize("m", some_long(range(1, 12), lambda m: m > 8))
def test_hadamard_times_its_transpose_is_exactly_a_multiple_of_the_identity(m: int) -> None:
    signs = np.sign(whole(Hadamard(half_exponent=0), (2**m, 2**m)).numpy()).astype(np.int64)
    assert np.array_equal(signs @ signs.T, 2**m * np.eye(2**m, dtype=np.int64))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 9), (64, 64), (7, 512)])
def test_identity_is_torchs_eye(shape: tuple[int, int]) -> None:
    assert torch.equal(whole(Identity(), shape), torch.nn.init.eye_(torch.empty(shape)))


@pytest.mark.parametrize("kernel", [(1,), (3,), (3, 3), (1, 5), (3, 3, 3), (7, 7)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_square_convolutions_are_torchs_dirac(kernel: tuple[int, ...], groups: int) -> None:
    shape = (12, 12 // groups, *kernel)
    ours = whole(policy.algorithm_2(shape, groups, DEFAULT), shape)
    assert torch.equal(ours, torch.nn.init.dirac_(torch.empty(shape), groups=groups))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_small_shape_has_its_golden_digest(name: str) -> None:
    dtype_name, policy_name = name.split()
    dtype = BY_NAME[dtype_name]
    sizes = [int(size) for size in GOLDEN[name]]
    assert sizes[:65] == list(range(1, 66))
    for fan_out in sizes:
        sha256 = hashlib.sha256()
        for fan_in in sizes:
            shape = (fan_out, fan_in)
            rule = policy.linear(shape, POLICIES[policy_name])
            sha256.update(region_values(rule, shape, dtype, ((0, fan_out), (0, fan_in))).data)
        assert sha256.hexdigest() == GOLDEN[name][str(fan_out)], (fan_out, name)


@given(ruled=ruled_tensors(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_region_has_the_entries_of_the_definitions(
    ruled: tuple[Rule, tuple[int, ...]], data: st.DataObject
) -> None:
    """Every rectangular region can be computed on its own, and is what the formulas say."""
    rule, shape = ruled
    region = tuple(
        tuple(sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size)))))
        for size in shape
    )
    bits = region_values(rule, shape, F64, region)  # type: ignore[arg-type]  # pairs, sorted
    values = bits.view(np.float64)
    for local in np.ndindex(values.shape):
        index = tuple(first + offset for (first, _), offset in zip(region, local, strict=True))
        expected = entry(rule, shape, index)
        assert values[local] == pytest.approx(expected, rel=1e-15, abs=0), (rule, shape, index)


@given(shape=st.lists(st.integers(0, 9), max_size=4).map(tuple), most=st.integers(1, 50))
def test_regions_cover_a_tensor_once_in_c_order(shape: tuple[int, ...], most: int) -> None:
    """Concatenated, the regions are the tensor; none is larger than asked for."""
    positions = np.arange(math.prod(shape)).reshape(shape)
    found: list[int] = []
    for region in regions(shape, most):
        part = positions[tuple(slice(*bounds) for bounds in region)]
        assert 0 < part.size <= most
        found += part.reshape(-1).tolist()
    assert found == list(range(math.prod(shape)))


@given(ruled=ruled_tensors(), most=st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_slices_concatenate_to_the_whole(ruled: tuple[Rule, tuple[int, ...]], most: int) -> None:
    """What a writer computes block by block is what one call computes at once."""
    rule, shape = ruled
    parts = [region_values(rule, shape, F32, region).tobytes() for region in regions(shape, most)]
    assert b"".join(parts) == whole(rule, shape).numpy().tobytes()


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_wide_and_tall_hadamard_slices_far_from_the_origin(dtype: DType) -> None:
    """Slices of a matrix of 10^12 entries cost what they hold: no 2^m matrix is ever made."""
    shape = (1_000_003, 999_999)
    region = ((777_777, 777_790), (900_000, 900_011))
    rule = policy.linear(shape, PAPER)
    bits = region_values(rule, shape, dtype, region)
    sign = 1 << (dtype.bits - 1)
    for i, j in product(range(13), range(11)):
        odd = ((777_777 + i) & (900_000 + j)).bit_count() % 2
        assert int(bits[i, j]) == power_bits(-19, dtype) | sign * odd


def test_kept_values_are_sliced_like_any_others() -> None:
    table = np.arange(24, dtype="<i8").reshape(2, 3, 4)
    rule = Kept(sha256="digest")
    region = ((1, 2), (0, 2), (1, 4))
    bits = region_values(rule, (2, 3, 4), BY_NAME["int64"], region, {"digest": table.tobytes()})
    assert bits.view(np.int64).tolist() == table[1:2, 0:2, 1:4].tolist()


@pytest.mark.parametrize(
    "region", [((0, 3), (0, 2)), ((1, 0), (0, 2)), ((-1, 1), (0, 2)), ((0, 2),)], ids=str
)
def test_a_region_outside_the_tensor_is_refused(region: Any) -> None:
    with pytest.raises(ValueError, match="is not within shape"):
        region_values(Ones(), (2, 2), F32, region)

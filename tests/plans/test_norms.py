"""Norms and directions against numpy, slice by slice, in every region and type."""

from itertools import combinations, product

import numpy as np
import pytest

from tests.plans.oracles import whole
from zeroinit_cli.dtypes import F64, FLOATS, DType
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Split, Transposed, ZeroRow
from zeroinit_cli.plans.norms import Directions, Norms
from zeroinit_cli.plans.rounding import bits_type, stored_bytes
from zeroinit_cli.plans.rules import Hadamard, Identity, Ones, Rule, Twisted, Zeros
from zeroinit_cli.plans.values import region_values

EYE, Z, H = Identity(), Zeros(), Hadamard(half_exponent=-5)
UNEVEN: list[tuple[Rule, tuple[int, ...]]] = [
    (EYE, (3, 5)),
    (ZeroRow(row=1, of=H), (4, 3)),
    (Split(parts=((1, Ones()), (2, Z), (2, H))), (5, 3)),
    (Taps(ranges=((1, 2),), of=H), (4, 3, 3)),
    (Groups(count=2, of=Taps(ranges=((0, 1), (1, 3)), of=EYE)), (4, 3, 2, 3)),
    (Transposed(of=Twisted(block=4, prime=11, half_exponent=-4)), (3, 9)),
    (Z, (2, 3)),
]
"""Rules whose slices differ, with 0 among them, and shapes."""
CASES = [(of, shape, dim) for of, shape in UNEVEN for dim in (None, *range(len(shape)))]


def numpys(of: Rule, shape: tuple[int, ...], dim: int | None) -> np.ndarray:
    """The norm of each slice."""
    values = whole(of, shape, F64).numpy()
    others = tuple(axis for axis in range(len(shape)) if axis != dim)
    return np.asarray(np.sqrt((values**2).sum(axis=others))).reshape(-1)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("of", "shape", "dim"), CASES, ids=str)
def test_norms_are_numpys_in_every_region(
    of: Rule, shape: tuple[int, ...], dim: int | None, dtype: DType
) -> None:
    """Rounded once: where float64 is stored, numpy's own sums may be off by its last bits."""
    expected = numpys(of, shape, dim)
    rule, size = Norms(shape=shape, dim=dim, of=of), expected.size
    for first, last in combinations(range(size + 1), 2):
        bits = region_values(rule, (1, size, 1), dtype, ((0, 1), (first, last), (0, 1)))
        if dtype == F64:
            assert np.allclose(bits.view(np.float64).reshape(-1), expected[first:last], rtol=1e-14)
        else:
            assert bits.tobytes() == stored_bytes(expected[first:last], dtype)
    assert rule.nonzeros((size,)) == np.count_nonzero(expected)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("of", "shape", "dim"), CASES, ids=str)
def test_directions_have_a_1_first_in_each_slice_of_0_in_every_region(
    of: Rule, shape: tuple[int, ...], dim: int | None, dtype: DType
) -> None:
    everything = tuple((0, size) for size in shape)
    expected = region_values(of, shape, dtype, everything)
    one = np.frombuffer(stored_bytes(np.ones(1), dtype), bits_type(dtype))[0]
    for number in np.flatnonzero(numpys(of, shape, dim) == 0):
        expected[tuple(number if axis == dim else 0 for axis in range(len(shape)))] = one
    rule = Directions(dim=dim, of=of)
    for region in product(*(combinations(range(size + 1), 2) for size in shape)):
        found = region_values(rule, shape, dtype, region)
        assert np.array_equal(found, expected[tuple(slice(*bounds) for bounds in region)]), region
    assert rule.nonzeros(shape) == np.count_nonzero(expected)


def test_norms_of_a_large_tensor_are_summed_in_parts() -> None:
    shape = (40, 30_000)
    bits = region_values(Norms(shape=shape, dim=0, of=H), (40,), F64, ((7, 9),))
    assert np.allclose(bits.view(np.float64), np.sqrt(30_000 * 2**-5), rtol=1e-15)
    bits = region_values(Norms(shape=shape, dim=1, of=EYE), (30_000,), F64, ((30, 50),))
    assert bits.view(np.float64).tolist() == [1.0] * 10 + [0.0] * 10

"""Values against oracles that nobody here wrote, and against a restatement, entry by entry."""

import hashlib
import json
import math
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroinit_cli.dtypes import BF16, BY_NAME, F16, F32, F64, FLOATS, DType
from zeroinit_cli.options import Options
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.plan import (
    Groups,
    Hadamard,
    Identity,
    Kept,
    Mirrored,
    Ones,
    Paley,
    Rule,
    Split,
    Taps,
    Transposed,
    Viewed,
    ZeroRow,
    Zeros,
)
from zeroinit_cli.plans.rounding import power_bits, stored_bytes
from zeroinit_cli.plans.values import region_values, regions

GOLDEN = json.loads((Path(__file__).parent / "golden" / "values.json").read_text())


def whole(rule: Rule, shape: tuple[int, ...], dtype: DType = F32, **kept: bytes) -> torch.Tensor:
    bits = region_values(rule, shape, dtype, tuple((0, size) for size in shape), kept)
    data = bytearray(bits.tobytes())
    if not data:
        return torch.zeros(shape, dtype=getattr(torch, dtype.name))
    return torch.frombuffer(data, dtype=getattr(torch, dtype.name)).reshape(shape)


@pytest.mark.parametrize("m", range(1, 11))
def test_hadamard_is_scipys_up_to_its_constant(m: int) -> None:
    size = 2**m
    ours = whole(Hadamard(half_exponent=-m), (size, size), F64).numpy()
    assert np.array_equal(np.sign(ours), scipy.linalg.hadamard(size))
    assert np.unique(np.abs(ours)).size == 1
    assert abs(ours[0, 0] - 2 ** (-m / 2)) < 1e-16


@pytest.mark.parametrize("m", range(1, 12))
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
    ours = whole(rules.convolution(shape, groups, Options()), shape)
    assert torch.equal(ours, torch.nn.init.dirac_(torch.empty(shape), groups=groups))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_small_shape_has_its_golden_digest(name: str) -> None:
    dtype_name, scale = name.split()
    dtype, options = BY_NAME[dtype_name], Options(scale=scale)
    sizes = [int(size) for size in GOLDEN[name]]
    assert sizes[:65] == list(range(1, 66))
    for fan_out in sizes:
        sha256 = hashlib.sha256()
        for fan_in in sizes:
            shape = (fan_out, fan_in)
            rule = rules.linear(shape, options)
            sha256.update(region_values(rule, shape, dtype, ((0, fan_out), (0, fan_in))).data)
        assert sha256.hexdigest() == GOLDEN[name][str(fan_out)], (fan_out, name)


def exact(bits: int, dtype: DType) -> Fraction:
    """The number that non-negative bits stand for, from the definition of IEEE 754."""
    mantissa, bias = {"F64": (52, 1023), "F32": (23, 127), "F16": (10, 15), "BF16": (7, 127)}[
        dtype.code
    ]
    exponent, significand = bits >> mantissa, bits & ((1 << mantissa) - 1)
    if exponent == 0:
        return Fraction(significand, 1 << mantissa) * Fraction(2) ** (1 - bias)
    return (1 + Fraction(significand, 1 << mantissa)) * Fraction(2) ** (exponent - bias)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_powers_are_the_nearest_numbers_of_their_type(dtype: DType) -> None:
    """No neighbour is nearer to the exact 2^(h/2), compared by squares, which are rational."""
    for half_exponent in range(-60, 8):
        bits = power_bits(half_exponent, dtype)
        square = Fraction(2) ** half_exponent
        above = (exact(bits, dtype) + exact(bits + 1, dtype)) / 2
        assert square <= above**2
        if bits:
            below = (exact(bits, dtype) + exact(bits - 1, dtype)) / 2
            assert square >= below**2
        if half_exponent % 2 == 0 and square.denominator < 2**24:
            assert exact(bits, dtype) ** 2 == square


def test_a_tie_below_the_smallest_subnormal_goes_to_the_even_zero() -> None:
    assert power_bits(-50, F16) == 0  # half of 2^-24
    assert power_bits(-49, F16) == 1
    assert power_bits(-48, F16) == 1


def test_powers_beyond_the_type_are_refused() -> None:
    with pytest.raises(OverflowError, match=r"2\^\(32/2\) is beyond float16"):
        power_bits(32, F16)


def test_float32_to_bfloat16_is_torchs_for_every_upper_half_and_rounding_case() -> None:
    upper = np.arange(2**16, dtype=np.uint32) << 16
    for lower in (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        single = (upper | lower).view(np.float32)
        single = single[~np.isnan(single)]
        expected = torch.from_numpy(single).to(torch.bfloat16).view(torch.int16).numpy().tobytes()
        assert stored_bytes(single, BF16) == expected


def test_float64_is_rounded_to_bfloat16_once() -> None:
    just_above_tie = np.array([1 + 2**-8 + 2**-40])  # float32 would make it a tie, and then 1
    assert stored_bytes(just_above_tie, BF16) == b"\x81\x3f"
    assert stored_bytes(np.array([1 + 2**-8]), BF16) == b"\x80\x3f"


def test_kept_floats_are_rounded_half_to_even_and_overflow_to_infinity() -> None:
    values = np.array([1 + 2**-11, 1 + 3 * 2**-11, 1e9, -0.0], np.float32)
    assert np.frombuffer(stored_bytes(values, F16), "<f2").tolist() == [
        1.0,
        1 + 2 * 2**-10,
        math.inf,
        -0.0,
    ]
    assert stored_bytes(values, F32) == values.tobytes()


def test_integers_are_stored_as_they_are() -> None:
    values = np.array([1, -2, 2**40])
    assert stored_bytes(values, BY_NAME["int64"]) == values.astype("<i8").tobytes()
    assert stored_bytes(np.array([True, False]), BY_NAME["bool"]) == b"\1\0"


def entry(rule: Rule, shape: tuple[int, ...], index: tuple[int, ...]) -> float:
    """One entry, straight from the definitions."""
    match rule:
        case Zeros():
            return 0.0
        case Ones():
            return 1.0
        case Identity():
            return float(index[0] == index[1])
        case Hadamard(half_exponent=half_exponent):
            sign = -1 if bin(index[0] & index[1]).count("1") % 2 else 1
            return float(sign * 2 ** (half_exponent / 2))
        case Paley(prime=prime, half_exponent=half_exponent):
            residue = (index[0] - index[1]) % prime
            square = residue == 0 or pow(residue, (prime - 1) // 2, prime) == 1
            return float((1 if square else -1) * 2 ** (half_exponent / 2))
        case Mirrored(of=of):
            return entry(of, shape, (index[0], shape[1] - 1 - index[1]))
        case Viewed(rows=rows, of=of):
            flat = int(np.ravel_multi_index(index, shape))
            columns = math.prod(shape) // rows
            return entry(of, (rows, columns), divmod(flat, columns))
        case Taps(ranges=ranges, of=of):
            spatial = zip(index[2:], ranges, strict=True)
            inside = all(first <= position < last for position, (first, last) in spatial)
            return entry(of, shape[:2], index[:2]) if inside else 0.0
        case Groups(count=count, of=of):
            rows = shape[0] // count
            return entry(of, (rows, *shape[1:]), (index[0] % rows, *index[1:]))
        case Split(parts=parts):
            start = 0
            for rows, of in parts:
                if index[0] < start + rows:
                    return entry(of, (rows, *shape[1:]), (index[0] - start, *index[1:]))
                start += rows
            raise AssertionError(index)
        case Transposed(of=of):
            swapped = (shape[1], shape[0], *shape[2:])
            return entry(of, swapped, (index[1], index[0], *index[2:]))
        case ZeroRow(row=row, of=of):
            return 0.0 if index[0] == row else entry(of, shape, index)
        case Kept():
            raise AssertionError


def hadamard(half_exponent: int) -> Hadamard:
    return Hadamard(half_exponent=half_exponent)


@st.composite
def ruled_tensors(draw: st.DrawFn) -> tuple[Rule, tuple[int, ...]]:
    """A rule and a shape that it fits, nested as the policy nests them."""
    rows = draw(st.integers(1, 20))
    shape: tuple[int, ...] = (rows, draw(st.integers(1, 20)))
    leaves: list[Rule] = [Zeros(), Ones(), Identity(), *map(hadamard, (-5, -4))]
    leaves += [Paley(prime=prime, half_exponent=-3) for prime in (23, 31)]
    rule = draw(st.sampled_from(leaves))
    if draw(st.booleans()):
        rule = Mirrored(of=rule)
    if draw(st.booleans()):
        rule = ZeroRow(row=draw(st.integers(0, rows - 1)), of=rule)
    if draw(st.booleans()):
        tails = [(shape[1],), (1, shape[1]), (shape[1], 1)]
        tails += [(shape[1] // 2, 2)] if shape[1] % 2 == 0 else []
        heads: list[tuple[int, ...]] = [(rows,), (1, rows)]
        heads += [(rows // 3, 3)] if rows % 3 == 0 else []
        viewed = (*draw(st.sampled_from(heads)), *draw(st.sampled_from(tails)))
        return Viewed(rows=rows, of=rule), viewed
    if draw(st.booleans()):
        kernel = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
        bounds = [sorted(draw(st.tuples(st.integers(0, k), st.integers(0, k)))) for k in kernel]
        rule, shape = Taps(ranges=tuple((a, b) for a, b in bounds), of=rule), (*shape, *kernel)
    if draw(st.booleans()):
        rule, shape = Transposed(of=rule), (shape[1], shape[0], *shape[2:])
    if draw(st.booleans()):
        count = draw(st.integers(1, 6))
        rule, shape = Groups(count=count, of=rule), (shape[0] * count, *shape[1:])
    elif draw(st.booleans()):
        other = draw(st.integers(1, 5))
        parts = ((shape[0], rule), (other, Zeros()), (shape[0], rule))
        rule, shape = Split(parts=parts), (2 * shape[0] + other, *shape[1:])
    return rule, shape


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
    rule = rules.linear(shape, Options())
    bits = region_values(rule, shape, dtype, region)
    sign = 1 << (dtype.bits - 1)
    for i, j in product(range(13), range(11)):
        odd = ((777_777 + i) & (900_000 + j)).bit_count() % 2
        assert int(bits[i, j]) == power_bits(-20, dtype) | sign * odd


@pytest.mark.parametrize("fan_out", [2, 3, 10, 64, 65, 100])
def test_the_paley_matrix_is_paleys(fan_out: int) -> None:
    """Chi by Euler's criterion; the prime by trial division; every row distinct."""
    prime = rules.paley_prime(fan_out)
    smaller = range(fan_out + 1, prime)
    assert prime % 4 == 3
    assert all(prime % divisor for divisor in range(2, prime))
    assert not any(
        each % 4 == 3 and all(each % divisor for divisor in range(2, each)) for each in smaller
    )
    fan_in = max(fan_out // 2, 1)
    values = whole(rules.linear((fan_out, fan_in), Options(expansion="paley")), (fan_out, fan_in))
    squares = {x * x % prime for x in range(prime)}
    chi = [[1 if (i - j) % prime in squares else -1 for j in range(fan_in)] for i in range(fan_out)]
    assert torch.equal(values.sign(), torch.tensor(chi, dtype=torch.float32))
    if fan_in > 8:
        assert len(np.unique(values.numpy(), axis=0)) == fan_out


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
    geometry = rules.Geometry(groups=groups, stride=both[0], padding=both[1], dilation=both[2])
    return rules.transposed_convolution(shape, geometry, Options())


def test_too_much_padding_leaves_the_centre_tap() -> None:
    assert rules.upsampling_taps(3, 2, 2) == (1, 2)
    assert rules.upsampling_taps(3, 2, 1) == (1, 3)
    assert rules.upsampling_taps(2, 4, 0) == (0, 2)
    assert rules.upsampling_taps(3, 2, 0, dilation=2) == (1, 2)
    assert rules.upsampling_taps(5, 1, 3, dilation=2) == (2, 3)

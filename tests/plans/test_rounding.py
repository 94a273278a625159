"""Bit patterns against exact fractions and against torch's own rounding."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from zeroinit_cli.dtypes import BF16, BY_NAME, F16, F32, FLOATS, DType
from zeroinit_cli.plans.rounding import power_bits, root_bits, stored_bytes


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


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_roots_are_the_nearest_numbers_of_their_type(dtype: DType) -> None:
    """Halfway is decided for the even one, which squares of odd numbers of a bit more reach."""
    wide = {"F64": 2**53, "F32": 2**24, "F16": 2**11, "BF16": 2**8}[dtype.code]
    for number in (*range(1, 50), 768, 3 * 2**20, (wide + 1) ** 2, (wide + 3) ** 2, wide**2 + 1):
        for exponent in (-30, -9, -2, -1, 0, 1) if number < wide else (0, -2):
            bits, square = root_bits(number, exponent, dtype), number * Fraction(2) ** exponent
            for neighbour in (bits - 1, bits + 1):
                middle = (exact(bits, dtype) + exact(neighbour, dtype)) / 2
                nearer = square < middle**2 if neighbour > bits else square > middle**2
                assert nearer or (square == middle**2 and bits % 2 == 0)


def test_the_root_of_0_is_0() -> None:
    assert root_bits(0, -7, F32) == 0


def test_a_tie_below_the_smallest_subnormal_goes_to_the_even_zero() -> None:
    assert power_bits(-50, F16) == 0  # half of 2^-24
    assert power_bits(-49, F16) == 1
    assert power_bits(-48, F16) == 1


def test_powers_beyond_the_type_are_refused() -> None:
    with pytest.raises(OverflowError, match=r"sqrt\(1 \* 2\^32\) is beyond float16"):
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

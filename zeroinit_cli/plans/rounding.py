"""Exact numbers to the bit patterns of a stored type, rounded once, half to even.

Everything here is integer arithmetic, or a conversion that IEEE 754 defines to the last bit.
"""

import math

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, F16, F32, F64, DType

Bits = NDArray[np.unsignedinteger]
"""Bit patterns of the stored type, little-endian."""

MANTISSA_BITS = {F64.code: 52, F32.code: 23, F16.code: 10, BF16.code: 7}
_BIAS = {F64.code: 1023, F32.code: 127, F16.code: 15, BF16.code: 127}


def bits_type(dtype: DType) -> np.dtype[np.unsignedinteger]:
    """Return the unsigned integer type of one element's bits, little-endian on every machine."""
    return np.dtype(f"<u{dtype.itemsize}")


def power_bits(half_exponent: int, dtype: DType) -> int:
    """Return the bits of 2^(half_exponent / 2), rounded once from the exact value, half to even.

    The value is an integer power of two or that times sqrt(2), which is irrational: no tie can
    occur but among the subnormals, where halving one is exact or a tie to even.
    """
    return root_bits(1, half_exponent, dtype)


def root_bits(number: int, exponent: int, dtype: DType) -> int:
    """Bits of sqrt(number * 2^exponent), rounded once from the exact value, half to even."""
    if dtype.code not in MANTISSA_BITS:
        raise ValueError(f"{dtype.code} holds no fractions")
    if number == 0:
        return 0
    mantissa, bias = MANTISSA_BITS[dtype.code], _BIAS[dtype.code]
    leading = (number.bit_length() - 1 + exponent) // 2  # the exponent of the root's leading bit
    leading = max(leading, 1 - bias)  # subnormals share the last
    if leading > bias:
        raise OverflowError(f"sqrt({number} * 2^{exponent}) is beyond {dtype.name}")
    # root / ulp = sqrt(number * 2^power): an integer square root and its remainder round it exactly
    power = exponent - 2 * (leading - mantissa)
    return ((leading + bias - 1) << mantissa) + _rounded_root(number, power)


def _rounded_root(number: int, power: int) -> int:
    """Compute sqrt(number * 2^power), rounded to the nearest integer, half to even."""
    shift = power + 2  # of the square of twice the root, whose last bit is the half
    square = number << shift if shift >= 0 else number >> -shift
    twice = math.isqrt(square)
    exact = twice * twice == square and (shift >= 0 or square << -shift == number)
    tie_to_even = exact and twice & 3 == 1
    return twice // 2 + (twice & 1) - tie_to_even


def stored_bytes(values: NDArray[np.generic], dtype: DType) -> bytes:
    """Return an array's little-endian bytes in C order, its floats rounded once, half to even.

    Args:
        values: integers or bools of `dtype` already, or float64, float32 or float16.
        dtype: the stored type.
    """
    if dtype.code not in MANTISSA_BITS:
        return np.ascontiguousarray(values, np.dtype(dtype.name).newbyteorder("<")).tobytes()
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the range is infinity, by IEEE 754
        if dtype.code != BF16.code:
            return values.astype(np.dtype(dtype.name).newbyteorder("<"), order="C").tobytes()
        return _bfloat16_bits(values).tobytes()


def _bfloat16_bits(values: NDArray[np.generic]) -> Bits:
    """Round to bfloat16 by way of float32, rounded to odd, so that two roundings act as one."""
    exact = np.ascontiguousarray(values, "<f8")
    single = exact.astype("<f4")
    bits = single.view("<u4").copy()
    back = single.astype("<f8")
    away = np.abs(back) > np.abs(exact)  # rounded away from zero: one step back truncates
    bits[away] -= 1
    bits[np.isfinite(exact) & (back != exact)] |= 1
    bits += 0x7FFF + (bits >> 16 & 1)  # half to even on the lower half
    bits[np.isnan(exact)] = 0x7FC00000
    return (bits >> 16).astype("<u2")

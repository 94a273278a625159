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
    if dtype.code not in MANTISSA_BITS:
        raise ValueError(f"{dtype.code} holds no fractions")
    mantissa, bias = MANTISSA_BITS[dtype.code], _BIAS[dtype.code]
    exponent = max(half_exponent // 2, 1 - bias)  # of the leading bit; subnormals share the last
    if exponent > bias:
        raise OverflowError(f"2^({half_exponent}/2) is beyond {dtype.name}")
    # value / ulp = sqrt(2^power): an integer square root and its remainder round it exactly.
    power = half_exponent - 2 * (exponent - mantissa)
    significand = _rounded_root(power)
    return ((exponent + bias - 1) << mantissa) + significand


def _rounded_root(power: int) -> int:
    """Compute sqrt(2^power), rounded to the nearest integer, half to even."""
    if power < 0:
        return 1 if power == -1 else 0  # sqrt(1/2) rounds up; 1/2 is a tie and goes to the even 0
    root = math.isqrt(1 << power)
    remainder = (1 << power) - root * root
    return root + (remainder > root)  # past root + 1/2 exactly where remainder > root


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

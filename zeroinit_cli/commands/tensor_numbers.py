"""Bit patterns as numbers, of types that numpy lacks, too: for norms and pictures, not bytes."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.plans.rounding import Bits

_SMALL_FLOATS = {
    # code: exponent bits, mantissa bits, bias, whether the largest exponent holds infinities
    "F8_E5M2": (5, 2, 15, True),
    "F8_E4M3": (4, 3, 7, False),
    "F8_E4M3FNUZ": (4, 3, 8, False),
    "F8_E5M2FNUZ": (5, 2, 16, False),
}


def is_packed(dtype: DType) -> bool:
    """Tell whether elements are narrower than bytes, so that none can be read alone."""
    return dtype.bits % 8 != 0


def pattern_type(dtype: DType) -> np.dtype[np.unsignedinteger]:
    """Return the little-endian unsigned integer type that holds one pattern."""
    return np.dtype(f"<u{dtype.unit_bytes}")


def to_numbers(bits: Bits, dtype: DType) -> NDArray[np.float64]:
    """Convert patterns to float64; complex numbers to their absolute values.

    Integers beyond 2^53 are rounded: these numbers are for norms and pictures, never for bytes.

    Raises:
        ValueError: the type is packed.
    """
    if is_packed(dtype):
        raise ValueError(f"{dtype.code} is packed")
    numbers: NDArray[np.float64]
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        if dtype.code == "BOOL":
            numbers = (bits != 0).astype(np.float64)
        elif dtype.code == "C64":
            numbers = np.abs(bits.view("<c8").astype(np.complex128))
        elif dtype.code == BF16.code:
            numbers = (bits.astype("<u4") << 16).view("<f4").astype(np.float64)
        elif dtype.code in _SMALL_FLOATS or dtype.code == "F8_E8M0":
            numbers = _small_floats(dtype.code)[bits]
        else:
            numbers = bits.view(np.dtype(dtype.name).newbyteorder("<")).astype(np.float64)
    return numbers


@lru_cache(maxsize=8)
def _small_floats(code: str) -> NDArray[np.float64]:
    """List the 256 numbers of an 8-bit floating type.

    Source:
        OCP 8-bit Floating Point Specification; OCP Microscaling Formats (E8M0); FNUZ types as in
        LLVM's APFloat: no negative zero, whose pattern is the one NaN.
    """
    if code == "F8_E8M0":
        return np.array([*(2.0 ** (byte - 127) for byte in range(255)), math.nan])
    return np.array([_small_float(code, byte) for byte in range(256)])


def _small_float(code: str, byte: int) -> float:
    exponent_bits, mantissa_bits, bias, has_infinities = _SMALL_FLOATS[code]
    sign = -1.0 if byte & 0x80 else 1.0
    exponent = byte >> mantissa_bits & ((1 << exponent_bits) - 1)
    mantissa = byte & ((1 << mantissa_bits) - 1)
    largest = exponent == (1 << exponent_bits) - 1
    if code.endswith("FNUZ"):
        if byte == 0x80:
            return math.nan
    elif has_infinities and largest:
        return math.nan if mantissa else sign * math.inf
    elif largest and mantissa == (1 << mantissa_bits) - 1:
        return math.nan
    if exponent == 0:
        return sign * math.ldexp(mantissa, 1 - bias - mantissa_bits)
    return sign * math.ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits)

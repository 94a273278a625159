"""Counts of a tensor's elements in one pass: zeros, norm, and bit patterns while they are few.

It also converts bit patterns to numbers, for types that numpy lacks, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.hashing import BLOCK_BYTES

Read = Callable[[int, int], Bits]
"""First element and how many -> their patterns, in a buffer that the next call may overwrite."""

_MOST_PATTERNS = 16  # a rule's tensor has at most a handful; more say nothing
_SAMPLE = 1024  # elements of a block that show at once whether it is random
_MOST_IN_SAMPLE = 64
_SMALL_FLOATS = {
    # code: exponent bits, mantissa bits, bias, whether the largest exponent holds infinities
    "F8_E5M2": (5, 2, 15, True),
    "F8_E4M3": (4, 3, 7, False),
    "F8_E4M3FNUZ": (4, 3, 8, False),
    "F8_E5M2FNUZ": (5, 2, 16, False),
}


@dataclass(slots=True)
class Occurrence:
    """The number of elements with a pattern, and the flat index of the first."""

    count: int
    first: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The counts of one pass over a tensor.

    Attributes:
        numel: elements; bytes, of a packed type.
        zeros: elements equal to 0, negative zeros among them; None of a packed type.
        nans: elements that are no number.
        infinities: elements that are infinite.
        norm: root of the sum of squares; NaN where an element is none, None of a packed type.
        patterns: pattern -> where it occurs; empty if they are too many to tell anything.
        others: elements of other patterns than these.
        first_other: flat index of the first of them.
    """

    numel: int
    zeros: int | None
    nans: int
    infinities: int
    norm: float | None
    patterns: dict[int, Occurrence]
    others: int
    first_other: int | None

    @property
    def random(self) -> bool:
        """Whether there are more patterns than any rule gives."""
        return not self.patterns

    @property
    def constant(self) -> int | None:
        """The pattern of every element, where all have the same."""
        return next(iter(self.patterns)) if len(self.patterns) == 1 and not self.others else None

    @property
    def nonzeros(self) -> int:
        """Elements whose bits are not all 0, unless the tensor is random."""
        return self.numel - (self.patterns[0].count if 0 in self.patterns else 0)


def few(numel: int) -> int:
    """Return how many elements may depart from a rule that is still worth naming."""
    return min(1000, max(1, numel // 64))


def summarize(info: TensorInfo, numel: int, read: Read, advance: Advance = no_advance) -> Summary:
    """Read a tensor once, in blocks.

    Args:
        info: its name, shape and element type.
        numel: patterns in it: elements, or bytes of a packed type.
        read: gives its patterns.
        advance: told of each block that is done.
    """
    counts = _Counts(dtype=info.dtype, most_others=few(numel))
    step = BLOCK_BYTES // info.dtype.unit_bytes
    for start in range(0, numel, step):
        bits = read(start, min(step, numel - start))
        counts.add(bits, start)
        advance(bits.nbytes)
    return counts.summary(numel)


@dataclass(slots=True)
class _Counts:
    dtype: DType
    most_others: int
    patterns: dict[int, Occurrence] = field(default_factory=dict)
    others: int = 0
    first_other: int | None = None
    random: bool = False
    zeros: int = 0  # these four cover only elements that `patterns` does not count
    nans: int = 0
    infinities: int = 0
    squares: float = 0.0

    def add(self, bits: Bits, start: int) -> None:
        """Count a block."""
        if self.random:
            self._add_numbers(bits)
            return
        nonzero = int(np.count_nonzero(bits))
        if nonzero < bits.size:
            first = 0 if nonzero == 0 else int(np.argmin(bits != 0))
            self._occur(0, bits.size - nonzero, start + first)
        if nonzero == 0:
            return
        if nonzero == bits.size:
            self._add_patterns(bits, None, start)
        else:
            at = np.flatnonzero(bits)
            self._add_patterns(bits[at], at, start)

    def _add_patterns(self, values: Bits, at: NDArray[np.int64] | None, start: int) -> None:
        """Count patterns other than 0; `at` says where in the block they stand, if not all do."""
        if np.unique(values[:_SAMPLE]).size > _MOST_IN_SAMPLE:
            self._give_up()
        rest = values
        for pattern in list(self.patterns):
            rest, at = self._take(pattern, rest, at, start)
        while rest.size and not self.random and len(self.patterns) <= _MOST_PATTERNS:
            pattern = int(rest[0])
            self._occur(pattern, 0, start + (0 if at is None else int(at[0])))
            rest, at = self._take(pattern, rest, at, start)
        if not rest.size:
            return
        self._add_numbers(rest)
        self.others += rest.size
        if self.first_other is None:
            self.first_other = start + (0 if at is None else int(at[0]))
        if self.others > self.most_others:
            self._give_up()

    def _take(
        self, pattern: int, rest: Bits, at: NDArray[np.int64] | None, start: int
    ) -> tuple[Bits, NDArray[np.int64] | None]:
        """Count one pattern, and return the elements that are left."""
        same = rest == pattern
        count = int(np.count_nonzero(same))
        if not count:
            return rest, at
        self.patterns[pattern].count += count
        if count == rest.size:
            return rest[:0], at
        left = np.flatnonzero(~same)
        return rest[left], left if at is None else at[left]

    def _occur(self, pattern: int, count: int, first: int) -> None:
        self.patterns.setdefault(pattern, Occurrence(0, first)).count += count

    def _give_up(self) -> None:
        """Treat the tensor as random: turn the counts by pattern into numbers, once."""
        if self.random:
            return
        self.random = True
        self._add_counted()
        self.patterns = {}

    def _add_counted(self) -> None:
        for pattern, occurrence in self.patterns.items():
            self._add_numbers(np.array([pattern], pattern_type(self.dtype)), occurrence.count)

    def _add_numbers(self, bits: Bits, times: int = 1) -> None:
        if is_packed(self.dtype):
            return
        numbers = to_numbers(bits, self.dtype)
        self.zeros += times * (numbers.size - int(np.count_nonzero(numbers)))
        self.nans += times * int(np.count_nonzero(np.isnan(numbers)))
        self.infinities += times * int(np.count_nonzero(np.isinf(numbers)))
        with np.errstate(over="ignore", invalid="ignore"):
            self.squares += times * float(np.square(numbers, out=numbers).sum())

    def summary(self, numel: int) -> Summary:
        """Return what was counted."""
        patterns = dict(self.patterns)
        if not self.random:
            self._add_counted()
        packed = is_packed(self.dtype)
        return Summary(
            numel=numel,
            zeros=None if packed else self.zeros,
            nans=self.nans,
            infinities=self.infinities,
            norm=None if packed else math.sqrt(self.squares),
            patterns=patterns,
            others=0 if self.random else self.others,
            first_other=self.first_other,
        )


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

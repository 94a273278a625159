"""Counts of a tensor's elements in one pass: zeros, norm, and bit patterns while they are few."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.commands.tensor_numbers import is_packed, pattern_type, to_numbers
from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.hashing import BLOCK_BYTES

Read = Callable[[int, int], Bits]
"""First element and how many -> their patterns, in a buffer that the next call may overwrite."""

_MOST_PATTERNS = 16  # a rule's tensor has at most a handful; more say nothing
_SAMPLE = 1024  # elements of a block that show at once whether it is random
_MOST_IN_SAMPLE = 64
_PLAIN = 2.0**-900, 2.0**900  # sums of a block that can be added up billions of times as they are


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
        norm: root of the sum of squares, however large or small they are; NaN where an element is
            none, None of a packed type.
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
    squares: "_Squares" = field(default_factory=lambda: _Squares())

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
        self.squares.add(numbers, times)

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
            norm=None if packed else self.squares.root(),
            patterns=patterns,
            others=0 if self.random else self.others,
            first_other=self.first_other,
        )


@dataclass(slots=True)
class _Squares:
    """A sum of squares, value * 2**exponent, that neither overflows nor vanishes."""

    value: float = 0.0
    exponent: int = 0  # even; 0 unless a square lies outside of float64's middle

    def add(self, numbers: NDArray[np.float64], times: int) -> None:
        """Add the squares of these numbers so many times."""
        value, exponent = _sum_of_squares(numbers)
        if not value or not self.value:
            if value:
                self.value, self.exponent = times * value, exponent
            return
        common = max(exponent, self.exponent)
        self.value = math.ldexp(self.value, self.exponent - common)
        self.value += times * math.ldexp(value, exponent - common)
        self.exponent = common

    def root(self) -> float:
        """Return the norm; infinity where it is larger than any float64."""
        with suppress(OverflowError):
            return math.ldexp(math.sqrt(self.value), self.exponent // 2)
        return math.inf


def _sum_of_squares(numbers: NDArray[np.float64]) -> tuple[float, int]:
    """Return a block's sum of squares as a number and an even power of two."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = float(np.square(numbers).sum())
    if _PLAIN[0] <= total <= _PLAIN[1]:
        return total, 0
    largest = float(np.abs(numbers).max(initial=0.0))
    if not largest or not math.isfinite(largest):  # only zeros; or an element that is not finite
        return total, 0
    _, exponent = math.frexp(largest)
    scaled = np.ldexp(numbers, -exponent)  # exact, but for what is too small to matter
    return float(np.square(scaled).sum()), 2 * exponent

"""One pass over a tensor: its zeros, norm, and the bit patterns that occur, while they are few."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.commands.recognition.numbers import is_packed, pattern_bytes, to_numbers
from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.progress import Advance, no_advance

Read = Callable[[int, int], Bits]
"""First element and how many -> their patterns, in a buffer that the next call may overwrite."""

BLOCK_BYTES = 1 << 20
_MOST_PATTERNS = 16  # a rule's tensor has at most a handful; more say nothing
_SAMPLE = 1024  # elements of a block that show at once whether it is random
_MOST_IN_SAMPLE = 64


@dataclass(slots=True)
class Occurrence:
    """How often a pattern occurs, and the flat index of the first."""

    count: int
    first: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What one pass over a tensor tells.

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
        """More patterns than any rule gives."""
        return not self.patterns


def few(numel: int) -> int:
    """How many elements may depart from a rule for its name to be worth saying."""
    return min(1000, max(1, numel // 64))


def summarise(info: TensorInfo, numel: int, read: Read, advance: Advance = no_advance) -> Summary:
    """Read a tensor once, in blocks.

    Args:
        info: its name, shape and element type.
        numel: patterns in it: elements, or bytes of a packed type.
        read: gives its patterns.
        advance: told of each block that is done.
    """
    counts = _Counts(dtype=info.dtype, most_others=few(numel))
    step = BLOCK_BYTES // pattern_bytes(info.dtype)
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
    zeros: int = 0  # of elements that no pattern counts, as are the next three
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
        """Count one pattern, and give what is left."""
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
        """Call it random: turn what was counted by pattern into numbers, once."""
        if self.random:
            return
        self.random = True
        self._add_counted()
        self.patterns = {}

    def _add_counted(self) -> None:
        for pattern, occurrence in self.patterns.items():
            if is_packed(self.dtype):
                continue
            bits = np.array([pattern], f"<u{self.dtype.itemsize}")
            self._add_numbers(bits, occurrence.count)

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
        """What was counted."""
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

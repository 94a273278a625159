"""Rules that a tensor's shape and bit patterns allow, those that the policy gives first.

None is believed: each is held against the whole tensor. Where several give the same bytes, the one
that the policy would have chosen is the one that a person expects to read, so each candidate has a
rank: 0 for what the policy gives under its default options, more for what it gives less often.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zeroinit_cli.commands.recognition.summary import Read, Summary
from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.layouts import Groups, Mirrored, Taps, Transposed, Viewed
from zeroinit_cli.plans.policy import paley_prime
from zeroinit_cli.plans.rounding import power_bits
from zeroinit_cli.plans.rules import Elements, Hadamard, Identity, Ones, Paley, Rule, Shape
from zeroinit_cli.plans.values import unravelled

FOREIGN = 4
"""The rank from which on a rule has a shape or constant that the policy never gives it."""
_PRIMES = 8
_HALF_EXPONENTS = range(-80, 3)
_MOST_TAPS = 1 << 18  # a kernel larger than this is none
_MOST_DIMENSIONS = 6

Ranked = tuple[int, Rule]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clues:
    """What the candidates for a tensor are drawn from.

    Attributes:
        shape: of the tensor.
        has_one: some element is 1.
        half_exponents: of the constants c = 2^(h/2) of which both or one sign occur.
        nonzeros: elements that are not 0.
        tap: from the first to after the last nonzero position of a kernel, in each spatial
            dimension; None where there are none.
    """

    shape: Shape
    has_one: bool
    half_exponents: tuple[int, ...]
    nonzeros: int
    tap: tuple[tuple[int, int], ...] | None


def read_clues(shape: Shape, dtype: DType, summary: Summary, read: Read) -> Clues:
    """Read the clues of a summary.

    Args:
        shape: of the tensor.
        dtype: a type that rules have.
        summary: of the tensor.
        read: gives its patterns.
    """
    elements = Elements(dtype=dtype)
    constants = _constants(dtype)
    magnitudes = {pattern & ~elements.sign for pattern in summary.patterns}
    zeros = summary.patterns.get(0)
    return Clues(
        shape=shape,
        has_one=elements.one in summary.patterns,
        half_exponents=tuple(sorted(constants[each] for each in magnitudes & constants.keys())),
        nonzeros=summary.numel - (zeros.count if zeros else 0),
        tap=_tap(shape, elements.one, summary, read),
    )


@lru_cache(maxsize=8)
def _constants(dtype: DType) -> dict[int, int]:
    """Bits of 2^(h/2) -> h; where tiny ones round to the same bits, the largest h."""
    table = {power_bits(half_exponent, dtype): half_exponent for half_exponent in _HALF_EXPONENTS}
    table.pop(0, None)
    return table


def _tap(
    shape: Shape, one: int, summary: Summary, read: Read
) -> tuple[tuple[int, int], ...] | None:
    """The box of nonzero positions in the first kernel that has any.

    A pattern that occurs once, and is not 1, is taken for an edit and not looked at.
    """
    spatial = shape[2:]
    size = math.prod(spatial)
    if not spatial or size > _MOST_TAPS:
        return None
    frequent = {
        pattern: occurrence.first
        for pattern, occurrence in summary.patterns.items()
        if pattern and (occurrence.count > 1 or pattern == one)
    }
    if not frequent:
        return None
    kernel = read(min(frequent.values()) // size * size, size)
    positions = np.flatnonzero(np.isin(kernel, np.array(sorted(frequent), kernel.dtype)))
    places = [unravelled(int(position), spatial) for position in positions]
    return tuple((min(axis), max(axis) + 1) for axis in zip(*places, strict=True))


def candidates(found: Clues) -> list[Ranked]:
    """Rules worth comparing, best rank first; among equals the simpler comes first."""
    shape = found.shape
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or not (found.has_one or found.half_exponents):
        return []
    ranked = [*_plain(found), *_kernels(found), *_views(found)]
    return sorted(ranked, key=lambda pair: pair[0])


def leaves(rows: int, columns: int, found: Clues) -> Iterator[Ranked]:
    """Rules of a matrix."""
    if found.has_one:
        yield (0 if rows <= columns else FOREIGN), Identity()
        yield FOREIGN, Ones()
    for half_exponent in found.half_exponents:
        rank = _scale_rank(rows, columns, half_exponent)
        yield rank, Hadamard(half_exponent=half_exponent)
        for place, prime in enumerate(_primes(max(rows, columns))):
            foreign = FOREIGN if place else 0
            yield max(rank, foreign), Paley(prime=prime, half_exponent=half_exponent)


def with_mirrored(rows: int, columns: int, found: Clues) -> Iterator[Ranked]:
    """The same, and each with its columns in reverse order."""
    for rank, rule in leaves(rows, columns, found):
        yield rank, rule
        if columns > 1 and not isinstance(rule, Ones):
            yield rank + 1, Mirrored(of=rule)


def _scale_rank(rows: int, columns: int, half_exponent: int) -> int:
    """0 for the orthonormal constant of an expansion, 1 for the paper's, more for any other."""
    m = (rows - 1).bit_length()
    if rows <= columns or half_exponent not in (-m, 1 - m):
        return FOREIGN
    return 0 if half_exponent == -m else 1


@lru_cache(maxsize=64)
def _primes(size: int) -> tuple[int, ...]:
    """The policy's prime for so many rows, and those after it."""
    primes = [paley_prime(size)]
    while len(primes) < _PRIMES:
        primes.append(paley_prime(primes[-1]))
    return tuple(primes)


def _plain(found: Clues) -> Iterator[Ranked]:
    """Matrices, and their transposes."""
    if len(found.shape) != 2:
        return
    rows, columns = found.shape
    yield from with_mirrored(rows, columns, found)
    for rank, rule in with_mirrored(columns, rows, found):
        yield rank + 1, Transposed(of=rule)


def _kernels(found: Clues) -> Iterator[Ranked]:
    """Convolutions, plain and transposed, whole and in groups."""
    if found.tap is None or not found.tap:
        return
    several = math.prod(last - first for first, last in found.tap)
    # Only transposed convolutions have several taps; with one tap, few are transposed.
    plain, transposed = (0, 1) if several == 1 else (1, 0)
    for count in _divisors(found.shape[0]):
        rows, columns = found.shape[0] // count, found.shape[1]
        for rank, leaf in with_mirrored(rows, columns, found):
            if _fits(leaf, rows, columns, count * several, found):
                extra = plain + _grouping_rank(count, leaf)
                yield rank + extra, _grouped(count, Taps(ranges=found.tap, of=leaf))
        for rank, leaf in with_mirrored(columns, rows, found):
            if _fits(leaf, columns, rows, count * several, found):
                taps = Taps(ranges=found.tap, of=leaf)
                extra = transposed + _grouping_rank(count, leaf)
                yield rank + extra, _grouped(count, Transposed(of=taps))


def _fits(leaf: Rule, rows: int, columns: int, times: int, found: Clues) -> bool:
    """Whether a leaf, so many times, has about as many nonzero entries as there are."""
    of = leaf.of if isinstance(leaf, Mirrored) else leaf
    entries = min(rows, columns) if isinstance(of, Identity) else rows * columns
    # A row of zeros, or some edited elements, are for the comparison to find.
    return abs(entries * times - found.nonzeros) <= max(columns * times, 1000)


def _grouping_rank(count: int, leaf: Rule) -> int:
    """Whole expansions before grouped ones: some in groups have the bytes of a whole one."""
    return 0 if count == 1 or isinstance(leaf, Identity) else 2


def _grouped(count: int, rule: Rule) -> Rule:
    return rule if count == 1 else Groups(count=count, of=rule)


def _views(found: Clues) -> Iterator[Ranked]:
    """Matrices that lie in a tensor of another shape: patches, and tables of positions."""
    shape = found.shape
    if len(shape) == 2:
        return
    for axis in range(1, len(shape)):
        rows, columns = math.prod(shape[:axis]), math.prod(shape[axis:])
        usual = 0 if axis in (1, len(shape) - 1) else 1
        for rank, leaf in with_mirrored(rows, columns, found):
            if _fits(leaf, rows, columns, 1, found):
                yield rank + usual, Viewed(rows=rows, of=leaf)


@lru_cache(maxsize=64)
def _divisors(number: int) -> tuple[int, ...]:
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    return tuple(sorted({*small, *(number // each for each in small)}))

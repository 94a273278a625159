"""Rules: what the entries of a tensor are. Here are their base and those that lay out no other.

A rule is a tree of frozen data. Its leaves, in this module, give a matrix or a tensor its entries;
the rules of `layouts` lay another rule out in a tensor:

    Groups(count=32, of=Taps(ranges=((1, 2), (1, 2)), of=Identity()))

All that the program asks of a rule is a method of its class. A new rule takes one class, here or in
`layouts`, one line of `policy`, and one row of docs/format.md.

Entries are computed as the bit patterns of the stored type, in unsigned integers: bfloat16 needs
no library, a sign is one XOR, and nothing passes through floating-point arithmetic, so that no
processor, library version or thread count can change a bit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

import numpy as np

from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.matrices import fill_hadamard, fill_identity, fill_twisted
from zeroinit_cli.plans.rounding import MANTISSA_BITS, Bits, power_bits, stored_bytes

Shape = tuple[int, ...]
Range = tuple[int, int]
"""First and last + 1 index in one dimension."""
Region = tuple[Range, ...]
"""A rectangle of a tensor: a range in each dimension."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Elements:
    """The stored type of a tensor's elements, and the kept values by their digests.

    Attributes:
        dtype: the stored type.
        kept: their bytes.
        half_exponent: every constant, 1 too, is to be multiplied by 2^(half_exponent / 2).
    """

    dtype: DType
    kept: Mapping[str, bytes] = field(default_factory=dict)
    half_exponent: int = 0

    @property
    def one(self) -> int:
        """Bits of the number 1."""
        return self.power(0) if self.dtype.code in MANTISSA_BITS else 1

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (self.dtype.bits - 1)

    def power(self, half_exponent: int) -> int:
        """Return the bits of 2^(half_exponent / 2), multiplied before it is rounded."""
        return power_bits(half_exponent + self.half_exponent, self.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule(ABC):
    """A rule for the entries of a tensor. Every method takes the shape of the whole tensor.

    Attributes:
        kind: its name in the canonical form; the fields are its parameters there.
    """

    kind: ClassVar[str]

    @abstractmethod
    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        """Write every entry of a region.

        A rule that lays out another passes it a view of `out`, so that nothing is copied.

        Args:
            out: a view of the region's lengths, with one element at least.
            shape: of the whole tensor.
            region: which entries.
            elements: the stored type, and the kept values.
        """

    @abstractmethod
    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        """Name the rule in a few words.

        Args:
            shape: of the tensor; whether an identity is partial depends on it.
            brief: leave out what differs between tensors of one kind: constants, taps, counts.
        """

    def nonzeros(self, shape: Shape) -> int:
        """Count the entries that are not 0; a kept value counts as one."""
        return math.prod(shape)

    def children(self) -> "tuple[Rule, ...]":
        """List the rules that this one lays out."""
        return tuple(value for _, value in self._parameters() if isinstance(value, Rule))

    def laid_out(self, shape: Shape) -> "Iterator[tuple[Rule, Shape]]":
        """Yield each rule whose entries are some of the tensor's, and the shape that it has."""
        yield from ((child, shape) for child in self.children())

    def to_json(self) -> dict[str, Any]:
        """Return the canonical form: the kind as `rule`, and the parameters."""
        return {"rule": self.kind, **{name: _to_json(value) for name, value in self._parameters()}}

    def kept_digests(self) -> Iterator[str]:
        """Yield the SHA-256 of each kept value in the rule."""
        for child in self.children():
            yield from child.kept_digests()

    def half_exponents(self) -> Iterator[int]:
        """Yield h of each constant 2^(h / 2) in the rule."""
        for child in self.children():
            yield from child.half_exponents()

    def pieces(self, shape: Shape) -> "Iterator[tuple[Range, Rule]]":
        """Yield runs of rows, in order, that follow one rule each.

        Where a piece is `Zeros` its bytes need not be computed, stored or even held.
        """
        yield (0, shape[0] if shape else 1), self

    def tap_ranges(self) -> tuple[Range, ...] | None:
        """Return the taps of a kernel outside of which all is 0; None if no rule says so."""
        found = {child.tap_ranges() for child in self.children()} - {None}
        return found.pop() if len(found) == 1 else None

    def matrix_shape(self, shape: Shape) -> tuple[int, int] | None:
        """Return the shape of the matrix that the tensor holds in C order, if a rule says so."""
        return None

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in _parameter_names(type(self)))


@cache
def _parameter_names(kind: type[Rule]) -> tuple[str, ...]:
    """Return the names of a rule's fields, looked up once: a digest asks 100,000 times."""
    return tuple(parameter.name for parameter in fields(kind))


def _to_json(value: Any) -> Any:
    if isinstance(value, Rule):
        return value.to_json()
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class Zeros(Rule):
    """Every entry 0."""

    kind: ClassVar[str] = "zeros"

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        out[...] = 0

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return "zeros"

    def nonzeros(self, shape: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ones(Rule):
    """Every entry 1."""

    kind: ClassVar[str] = "ones"

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        out[...] = elements.one

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return "ones"


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant(Rule):
    """Every entry one number, rounded once if the type cannot hold it.

    Attributes:
        value: neither 0 nor 1, which are `Zeros` and `Ones`.
    """

    kind: ClassVar[str] = "constant"
    value: float

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        data = stored_bytes(np.array([self.value], np.float64), elements.dtype)
        out[...] = np.frombuffer(data, out.dtype)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept(Rule):
    """The value that the constructor set, by the SHA-256 of its little-endian bytes."""

    kind: ClassVar[str] = "kept"
    sha256: str

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        whole = np.frombuffer(elements.kept[self.sha256], out.dtype).reshape(shape)
        out[...] = whole[tuple(slice(*bounds) for bounds in region)]

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return "kept"

    def kept_digests(self) -> Iterator[str]:
        yield self.sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity(Rule):
    """A matrix (rows, columns) whose entry (i, j) is 1 where i = j, else 0."""

    kind: ClassVar[str] = "identity"

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        rows, columns = region
        fill_identity(out, rows, columns, elements.one)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return "identity" if shape[0] == shape[1] else "partial identity"

    def nonzeros(self, shape: Shape) -> int:
        return min(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hadamard(Rule):
    """A matrix (rows, columns) whose entry (i, j) is c * (-1)^popcount(i & j).

    Attributes:
        half_exponent: c = 2^(half_exponent / 2), rounded once to the stored type.
    """

    kind: ClassVar[str] = "hadamard"
    half_exponent: int

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        rows, columns = region
        fill_hadamard(out, rows, columns, elements.power(self.half_exponent), elements.sign)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        return "Hadamard" if brief else f"Hadamard, c = {power_words(self.half_exponent)}"

    def half_exponents(self) -> Iterator[int]:
        yield self.half_exponent


@dataclass(frozen=True, kw_only=True, slots=True)
class Twisted(Rule):
    """A Hadamard matrix (rows, columns) whose blocks of rows each have column signs of their own.

    Entry (i, j) is c * (-1)^popcount(i & j) * chi((i - i mod block + j) mod p), negated in row 0;
    chi(0) = 1, and chi(a) = 1 where a is a square modulo p, else -1. Within a block the columns
    stay orthogonal; the rows of one block are not those of the next; and with an odd number of
    rows negated a column's signs never sum to 0.

    Attributes:
        block: rows in a block, a power of 2 that is at least 2 and the number of columns.
        prime: p, a prime that is 3 modulo 4 and larger than the number of rows.
        half_exponent: c = 2^(half_exponent / 2), rounded once to the stored type.
    """

    kind: ClassVar[str] = "twisted"
    block: int
    prime: int
    half_exponent: int

    def fill(self, out: Bits, shape: Shape, region: Region, elements: Elements) -> None:
        rows, columns = region
        constant = elements.power(self.half_exponent)
        fill_twisted(out, rows, columns, self.block, self.prime, constant, elements.sign)

    def describe(self, shape: Shape, *, brief: bool = False) -> str:
        if brief:
            return "twisted Hadamard"
        return f"twisted Hadamard, p = {self.prime}, c = {power_words(self.half_exponent)}"

    def half_exponents(self) -> Iterator[int]:
        yield self.half_exponent


def power_words(half_exponent: int) -> str:
    """Write 2^(half_exponent / 2)."""
    return f"2^{half_exponent // 2}" if half_exponent % 2 == 0 else f"2^({half_exponent}/2)"

"""The plan: every tensor of a checkpoint and the rule of its entries, as frozen data.

A plan says all that decides the bytes of a checkpoint and nothing else does. Its canonical form is
what the lock's plan digest is over, so nothing here depends on a dict's or set's order.

A rule is a tree. The leaves give a matrix its entries; the others lay a rule out in a tensor:

    Groups(count=32, of=Taps(ranges=((1, 2), (1, 2)), of=Identity()))
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zeroinit_cli.dtypes import RANK, DType

SCHEME = "zero-1"
"""The rules' version: the same scheme gives the same bytes for ever. docs/format.md states it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """What a safetensors header says of a tensor, but for where its bytes lie."""

    name: str
    shape: tuple[int, ...]
    dtype: DType

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return self.numel * self.dtype.itemsize

    @property
    def form(self) -> str:
        """Type and shape as messages give them: `F32 [64, 3]`."""
        return f"{self.dtype.code} {list(self.shape)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Zeros:
    """Every entry 0."""

    kind: ClassVar[str] = "zeros"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ones:
    """Every entry 1."""

    kind: ClassVar[str] = "ones"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The value that the constructor set, by the SHA-256 of its little-endian bytes."""

    kind: ClassVar[str] = "kept"
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """A matrix (rows, columns) whose entry (i, j) is 1 where i = j, else 0."""

    kind: ClassVar[str] = "identity"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hadamard:
    """A matrix (rows, columns) whose entry (i, j) is c * (-1)^popcount(i & j).

    Attributes:
        half_exponent: c = 2^(half_exponent / 2), rounded once to the stored type.
    """

    kind: ClassVar[str] = "hadamard"
    half_exponent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Paley:
    """A matrix (rows, columns) whose entry (i, j) is c * chi((i - j) mod p).

    chi(0) = 1, and chi(a) = 1 where a is a square modulo p, else -1.

    Attributes:
        prime: p, a prime that is 3 modulo 4 and larger than the number of rows.
        half_exponent: c = 2^(half_exponent / 2), rounded once to the stored type.
    """

    kind: ClassVar[str] = "paley"
    prime: int
    half_exponent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrored:
    """A matrix (rows, columns) by `of`, its columns in reverse order."""

    kind: ClassVar[str] = "mirrored"
    of: "Rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewed:
    """A tensor that holds, in C order, a matrix of `rows` rows by `of`."""

    kind: ClassVar[str] = "viewed"
    rows: int
    of: "Rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Taps:
    """A convolution kernel (rows, columns, *spatial): `of` at some spatial positions, 0 elsewhere.

    Attributes:
        ranges: for each spatial dimension the first tap and the one after the last.
        of: rule of the matrix (rows, columns) that each of these taps holds.
    """

    kind: ClassVar[str] = "taps"
    ranges: tuple[tuple[int, int], ...]
    of: "Rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    """Dimension 0 cut into `count` equal parts, each by the same rule."""

    kind: ClassVar[str] = "groups"
    count: int
    of: "Rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Dimension 0 cut into parts of their own: (rows, rule) for each."""

    kind: ClassVar[str] = "split"
    parts: tuple[tuple[int, "Rule"], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transposed:
    """Dimensions 0 and 1 exchanged: stored (columns, rows, ...), ruled as (rows, columns, ...)."""

    kind: ClassVar[str] = "transposed"
    of: "Rule"


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroRow:
    """A matrix by `of`, but for one row of zeros (an embedding's padding)."""

    kind: ClassVar[str] = "zero-row"
    row: int
    of: "Rule"


Rule = (
    Zeros
    | Ones
    | Kept
    | Identity
    | Hadamard
    | Paley
    | Mirrored
    | Viewed
    | Taps
    | Groups
    | Split
    | Transposed
    | ZeroRow
)


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """The rule's canonical form: its kind as `rule`, and its parameters."""
    match rule:
        case Kept(sha256=sha256):
            parameters: dict[str, Any] = {"sha256": sha256}
        case Hadamard(half_exponent=half_exponent):
            parameters = {"half_exponent": half_exponent}
        case Paley(prime=prime, half_exponent=half_exponent):
            parameters = {"half_exponent": half_exponent, "prime": prime}
        case Mirrored(of=of):
            parameters = {"of": rule_to_json(of)}
        case Viewed(rows=rows, of=of):
            parameters = {"of": rule_to_json(of), "rows": rows}
        case Taps(ranges=ranges, of=of):
            parameters = {"ranges": [list(pair) for pair in ranges], "of": rule_to_json(of)}
        case Groups(count=count, of=of):
            parameters = {"count": count, "of": rule_to_json(of)}
        case Split(parts=parts):
            parameters = {"parts": [{"rows": rows, "of": rule_to_json(of)} for rows, of in parts]}
        case Transposed(of=of):
            parameters = {"of": rule_to_json(of)}
        case ZeroRow(row=row, of=of):
            parameters = {"row": row, "of": rule_to_json(of)}
        case _:
            parameters = {}
    return {"rule": rule.kind, **parameters}


def nested(rule: Rule) -> Iterator[Rule]:
    """The rule and all that it lays out."""
    yield rule
    parts = [of for _, of in rule.parts] if isinstance(rule, Split) else [getattr(rule, "of", None)]
    for of in parts:
        if of is not None:
            yield from nested(of)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTensor:
    """One tensor of the checkpoint and why it is what it is.

    Attributes:
        info: name, shape and element type.
        rule: what its entries are.
        reason: why this rule, in a phrase; not part of the digest.
        module_type: class of the module that owns it; not part of the digest.
        tied_to: the first name of the same parameter, where this is a later one.
        position: in the state dict, from 0, which shards are filled by; not part of the digest.
    """

    info: TensorInfo
    rule: Rule
    reason: str
    module_type: str
    tied_to: str | None = None
    position: int = 0

    def to_json(self) -> dict[str, Any]:
        """The canonical form, without reason, module type and position."""
        return {
            "dtype": self.info.dtype.code,
            "name": self.info.name,
            "rule": rule_to_json(self.rule),
            "shape": list(self.info.shape),
            "tied_to": self.tied_to,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Caution:
    """Something that a reader of a plan should know before training from it.

    Attributes:
        kind: a word for programs, stable between releases.
        text: what is the case, in a sentence.
        hint: what to type or read, where something helps.
    """

    kind: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Every tensor in file order, and the values that only a constructor knows.

    Attributes:
        tensors: in the order of `file_order`, whatever order they are given in.
        kept: SHA-256 of a kept value -> its little-endian bytes in C order.
        scheme: version of the rules.
        cautions: what to know before training from it; not part of the digest.
        adds: every add of two values that the graph shows, and its class; likewise.
    """

    tensors: tuple[PlannedTensor, ...]
    kept: Mapping[str, bytes] = field(default_factory=dict)
    scheme: str = SCHEME
    cautions: tuple[Caution, ...] = ()
    adds: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Put the tensors in file order."""
        ordered = sorted(self.tensors, key=lambda tensor: file_order(tensor.info))
        object.__setattr__(self, "tensors", tuple(ordered))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, without the header."""
        return sum(tensor.info.nbytes for tensor in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """The canonical form as JSON data."""
        return {
            "scheme": self.scheme,
            "tensors": [tensor.to_json() for tensor in self.tensors],
        }

    def digest(self) -> str:
        """`sha256:` and the SHA-256 of the canonical form: UTF-8 JSON, keys sorted, no spaces.

        Tensor by tensor: the whole text of 100,000 of them would be 30 MB.
        """
        opening, closing = _canonical({"scheme": self.scheme, "tensors": []}).rsplit("]", 1)
        sha256 = hashlib.sha256(opening.encode())
        for number, tensor in enumerate(self.tensors):
            sha256.update(f"{',' * (number > 0)}{_canonical(tensor.to_json())}".encode())
        sha256.update(f"]{closing}".encode())
        return f"sha256:{sha256.hexdigest()}"


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def file_order(info: TensorInfo) -> tuple[int, str]:
    """Sort key of a tensor in its file: element type descending in `DTYPES`, then name.

    Names compare by code point, which for UTF-8 is the order of their bytes.
    """
    return -RANK[info.dtype.code], info.name

"""The plan: every tensor of a checkpoint and the rule of its entries, as frozen data.

A plan says all that decides the bytes of a checkpoint and nothing else does. Its canonical form is
what the lock's plan digest is over, so nothing here depends on a dict's or set's order.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zeroinit_cli.dtypes import RANK, DType

if TYPE_CHECKING:  # rules import numpy, which a command that reads headers alone does without
    from zeroinit_cli.plans.rules import Rule

SCHEME = "zero-2"
"""The rules' version: the same scheme gives the same bytes for ever. docs/format.md states it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """The name, shape and element type of a tensor, as a safetensors header gives them."""

    name: str
    shape: tuple[int, ...]
    dtype: DType

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data, also for types narrower than a byte."""
        return self.numel * self.dtype.bits // 8

    @property
    def form(self) -> str:
        """Type and shape as messages give them: `F32 [64, 3]`."""
        return f"{self.dtype.code} {list(self.shape)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTensor:
    """One tensor of a checkpoint, its rule, and the reason for it.

    Attributes:
        info: name, shape and element type.
        rule: what its entries are.
        reason: why this rule, in a phrase; not part of the digest.
        module_type: class of the module that owns it; not part of the digest.
        tied_to: the first name of the same parameter, where this is a later one.
        position: in the state dict, from 0, which shards are filled by; not part of the digest.
    """

    info: TensorInfo
    rule: "Rule"
    reason: str
    module_type: str
    tied_to: str | None = None
    position: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the canonical form, without reason, module type and position."""
        return {
            "dtype": self.info.dtype.code,
            "name": self.info.name,
            "rule": self.rule.to_json(),
            "shape": list(self.info.shape),
            "tied_to": self.tied_to,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanWarning:
    """A warning to read before training from a plan.

    Attributes:
        kind: a word for programs, stable between releases.
        text: what is the case, in a sentence.
        hint: what to type or read, where something helps.
        tensors: names of all tensors that it is about, in the plan's order; `text` has a few.
    """

    kind: str
    text: str
    hint: str | None = None
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All tensors of a checkpoint in file order, and the values that only a constructor knows.

    Attributes:
        tensors: in the order of `file_order`, whatever order they are given in.
        kept: SHA-256 of a kept value -> its little-endian bytes in C order.
        scheme: version of the rules.
        warnings: what to know before training from it; not part of the digest.
        adds: every add of two values that the graph shows, and its class; likewise.
    """

    tensors: tuple[PlannedTensor, ...]
    kept: Mapping[str, bytes] = field(default_factory=dict)
    scheme: str = SCHEME
    warnings: tuple[PlanWarning, ...] = ()
    adds: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Put the tensors in file order."""
        ordered = sorted(self.tensors, key=lambda tensor: file_order(tensor.info))
        object.__setattr__(self, "tensors", tuple(ordered))

    @property
    def numel(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.info.numel for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, without the header."""
        return sum(tensor.info.nbytes for tensor in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """Return the canonical form as JSON data."""
        return {
            "scheme": self.scheme,
            "tensors": [tensor.to_json() for tensor in self.tensors],
        }

    def digest(self) -> str:
        """Return `sha256:` and the SHA-256 of the canonical form: sorted UTF-8 JSON, no spaces.

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
    """Return a tensor's sort key in its file: element type descending in `DTYPES`, then name.

    Names compare by code point, which for UTF-8 is the order of their bytes.
    """
    return -RANK[info.dtype.code], info.name

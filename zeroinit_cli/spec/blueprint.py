"""What an architecture is built from, every size known: data for the room that has torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
"""Sizes of a value without the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBlueprint:
    """A class of torch.nn and what it is called with."""

    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainBlueprint:
    """Named parts, one after the other."""

    parts: tuple[tuple[str, "Blueprint"], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResidualBlueprint:
    """A branch and its shortcut, None for the input itself."""

    body: ChainBlueprint
    shortcut: ChainBlueprint | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelBlueprint:
    """Named branches and how they are joined.

    Attributes:
        branches: in the order in which they are joined.
        join: `cat`, `add` or `mul`.
        dim: for `cat`, along which dimension; 0 is the batch.
        apart: each branch has an input of its own.
    """

    branches: tuple[tuple[str, ChainBlueprint], ...]
    join: str
    dim: int
    apart: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyBlueprint:
    """A family that has a module of its own.

    Attributes:
        family: its key under `model`.
        fields: its fields, defaults filled in.
        input: the shape of its input, without the batch.
    """

    family: str
    fields: Mapping[str, Any]
    input: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class BuilderBlueprint:
    """A builder of torchvision and its arguments."""

    name: str
    arguments: Mapping[str, Any]


Blueprint = (
    LayerBlueprint
    | ChainBlueprint
    | ResidualBlueprint
    | ParallelBlueprint
    | FamilyBlueprint
    | BuilderBlueprint
)

"""Blueprints: a spec with every size known, from which `nets` builds modules with torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
"""Sizes of a value without the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Numbers that a net, or a part of it, holds.

    Attributes:
        weights: entries of weight matrices, kernels and tables.
        vectors: entries of biases, norms and raw parameters. They are built real, with memory,
            even where the weights are not.
        buffers: entries that do not train. They are built real too.
        layers: modules.
    """

    weights: int = 0
    vectors: int = 0
    buffers: int = 0
    layers: int = 1

    @property
    def parameters(self) -> int:
        """Numbers that train."""
        return self.weights + self.vectors

    def plus(self, other: "Counts", times: int = 1) -> "Counts":
        """Add a number of copies of another part."""
        return Counts(
            weights=self.weights + times * other.weights,
            vectors=self.vectors + times * other.vectors,
            buffers=self.buffers + times * other.buffers,
            layers=self.layers + times * other.layers,
        )


MODULE = Counts()
"""A module without parameters and buffers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBlueprint:
    """A class of torch.nn and its arguments."""

    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainBlueprint:
    """Named parts, one after the other."""

    parts: tuple[tuple[str, "Blueprint"], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResidualBlueprint:
    """A branch and its shortcut; None for the input itself."""

    body: ChainBlueprint
    shortcut: ChainBlueprint | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelBlueprint:
    """Named branches and how they are joined.

    Attributes:
        branches: in the order in which they are joined.
        join: `cat`, `add` or `mul`.
        dim: for `cat`, along which dimension; 0 is the batch.
        apart: each branch has its own input.
    """

    branches: tuple[tuple[str, ChainBlueprint], ...]
    join: str
    dim: int
    apart: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyBlueprint:
    """A family that has its own module.

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
    """A model of a library, and its arguments.

    Attributes:
        library: the key under `model`: torchvision, timm or transformers.
        name: what it is called there; of transformers the path of a configuration.
        arguments: what it is built with.
    """

    library: str
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """A whole architecture, as far as it is known without torch.

    Attributes:
        blueprint: what it is built from.
        outputs: shapes of its outputs without the batch; empty where they are not known.
        counts: what it holds; nothing where that is not known.
        ids: its input is integers, which a table looks up.
    """

    blueprint: Blueprint
    outputs: tuple[Shape, ...] = ()
    counts: Counts = Counts(layers=0)
    ids: bool = False

    @property
    def parameters(self) -> int:
        """Numbers that train."""
        return self.counts.parameters

"""A step of a residual branch, and where a walk along the branch stands: data, no more."""

from dataclasses import dataclass
from enum import StrEnum

from torch import nn

from zeroinit_cli.models.nodes import Node


class StepKind(StrEnum):
    """What a branch goes through on its way to the add."""

    NORM = "norm"
    WEIGHT = "weight layer"
    ATTENTION = "attention"
    SCALE = "layer scale"
    DEAD = "activation that is dead at 0"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a branch; what does not matter is left out.

    Attributes:
        kind: what it is.
        node: where it stands in the graph.
        name: what to call it in a sentence.
        parameter: the scale of a norm or a layer, the weight of a layer; None where none is
            learned, or it is computed from others.
        size: of a layer scale, the largest entry at the start; None if it is not known.
        lack: why a norm has no scale to set, where it is not that it has none.
    """

    kind: StepKind
    node: Node
    name: str
    parameter: nn.Parameter | None = None
    size: float | None = None
    lack: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a walk along a branch stands.

    Attributes:
        step: what it passes here, if that matters.
        before: the value to go on from.
        gate: a factor of what it passes that is not followed.
    """

    step: Step | None = None
    before: Node | None = None
    gate: Node | None = None

"""The words for what a parameter is to the function that computes with it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from zeroinit_cli.models.nodes import Node
from zeroinit_cli.plans.policy import Geometry


class UseKind(StrEnum):
    """What a parameter is to the function that computes with it, the most telling first."""

    TABLE = "token table"
    CONVOLUTION = "convolution"
    TRANSPOSED_CONVOLUTION = "transposed convolution"
    LINEAR = "linear map"
    STACK = "stack of linear maps"
    INPUT_GATES = "gates of a recurrent layer's input"
    STATE_GATES = "gates of a recurrent layer's state"
    STATE_PROJECTION = "projection of a recurrent layer's state"
    BILINEAR = "bilinear map"
    NORM_SCALE = "scale of a norm"
    NORM_SHIFT = "shift of a norm"
    MEAN = "running mean"
    VARIANCE = "running variance"
    COUNTER = "counter"
    POSITIONS = "position table"
    LESSER_POSITIONS = "position table summed with a larger one"
    SEGMENTS = "segment table"
    RELATIVE = "bias of attention"
    TOKEN = "token"
    DOT = "vector of a dot product"
    SCALE = "layer scale"
    BIAS = "bias"
    OTHER = "of no known use"


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """One use of a parameter.

    Attributes:
        kind: what it is there.
        node: the function; None where only the type of a layer tells.
        transposed: a linear map that is stored (fan_in, fan_out), a table that is (dim, positions).
        leading: how many of its dimensions are the first of a linear map's two; 0 for one as usual.
        geometry: how a convolution moves.
        padding_idx: the row of a table that stands for nothing.
        parts: equal parts of a map's output that go apart: gates of a recurrent layer, or a split.
        plus_one: 1 is added to a norm's scale before it is one.
    """

    kind: UseKind
    node: Node | None = None
    transposed: bool = False
    leading: int = 0
    geometry: Geometry | None = None
    padding_idx: int | None = None
    parts: int = 1
    plus_one: bool = False

    def matrix(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """The two dimensions of a linear map, of however many it has; None if no two are known.

        A vector maps to one number.
        """
        if len(shape) == 1:
            return 1, shape[0]
        if self.leading:
            return math.prod(shape[: self.leading]), math.prod(shape[self.leading :])
        sizes = tuple(size for size in shape if size > 1)
        if all(size == 1 for size in shape[2:]):
            sizes = shape[:2]
        return (sizes[0], sizes[1]) if len(sizes) == 2 else None

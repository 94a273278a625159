"""Which matrix a person wants to see of a tensor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeroinit_cli.plans.plan import TensorInfo

if TYPE_CHECKING:  # rules import numpy, which reading a header does without
    from zeroinit_cli.plans.rules import Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A matrix within a tensor: entry (i, j) is element (i * columns + j) * stride + offset.

    Attributes:
        rows: of the matrix.
        columns: of the matrix.
        stride: elements from one entry to the next.
        offset: of the first entry.
        note: what a reader must know of it; empty if it is the tensor as it is.
    """

    rows: int
    columns: int
    stride: int = 1
    offset: int = 0
    note: str = ""


def layout_of(info: TensorInfo, rule: "Rule | None") -> Layout:
    """The matrix to show.

    A kernel whose rule is known to be 0 but for some taps is shown at one of them; any other tensor
    of more than two dimensions flattened, but for leading dimensions of 1.

    Args:
        info: shape of the tensor.
        rule: what gives every byte of it, if that is known.
    """
    shape = info.shape
    taps = rule.tap_ranges() if rule is not None else None
    if taps is not None and all(first < last for first, last in taps):
        return _at_tap(shape, taps)
    matrix = rule.matrix_shape(shape) if rule is not None else None
    if matrix is not None:
        return _flattened(shape, *matrix)
    trimmed = shape
    while len(trimmed) > 2 and trimmed[0] == 1:
        trimmed = trimmed[1:]
    if len(trimmed) <= 1:
        return Layout(rows=1, columns=math.prod(trimmed))
    return _flattened(shape, trimmed[0], math.prod(trimmed[1:]))


def _at_tap(shape: tuple[int, ...], taps: Sequence[tuple[int, int]]) -> Layout:
    kernel = shape[2:]
    size = math.prod(kernel)
    index = tuple(first for first, _ in taps)
    offset = 0
    for length, position in zip(kernel, index, strict=True):
        offset = offset * length + position
    equal = math.prod(last - first for first, last in taps)
    words = f"tap ({', '.join(map(str, index))}) of {' x '.join(map(str, kernel))}"
    if equal > 1:
        words += f", one of {equal} that are equal"
    if equal < size:
        words += "; the others hold 0"
    note = words if size > 1 else ""
    return Layout(rows=shape[0], columns=shape[1], stride=size, offset=offset, note=note)


def _flattened(shape: tuple[int, ...], rows: int, columns: int) -> Layout:
    plain = tuple(size for size in shape if size != 1) == (rows, columns) or len(shape) == 2
    note = "" if plain else f"{' x '.join(map(str, shape))} as {rows} x {columns}, in C order"
    return Layout(rows=rows, columns=columns, note=note)

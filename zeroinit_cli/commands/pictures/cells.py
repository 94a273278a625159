"""A matrix as a picture's cells, each the mean of a block of entries, in constant memory."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.commands.pictures.layout import Layout
from zeroinit_cli.commands.recognition.numbers import pattern_bytes, to_numbers
from zeroinit_cli.commands.recognition.summary import BLOCK_BYTES, Read
from zeroinit_cli.dtypes import DType

LEVELS = 127
"""Steps from 0 to the strongest cell, on either side."""
NOT_A_NUMBER = LEVELS + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Cells of a matrix.

    Attributes:
        layout: the matrix.
        height: rows of a cell.
        width: columns of a cell.
        levels: (cell rows, cell columns): -127..127 of the strongest, 0 only for a mean of 0;
            128 where the mean is no finite number.
        strongest: the largest finite absolute mean.
    """

    layout: Layout
    height: int
    width: int
    levels: NDArray[np.int16]
    strongest: float


def picture(
    layout: Layout, dtype: DType, read: Read, *, most_rows: int, most_columns: int
) -> Picture:
    """Reduce a matrix to so many cells.

    Cells are powers of two high and wide: then those of a Sylvester-Hadamard matrix fall on its own
    blocks, and show it again in small.
    """
    height, width = (
        _cell(size, most)
        for size, most in ((layout.rows, most_rows), (layout.columns, most_columns))
    )
    shape = -(-layout.rows // height), -(-layout.columns // width)
    sums = np.zeros(shape)
    # inf - inf is no number, and a sum may overflow: such cells are shown as what they are.
    with np.errstate(invalid="ignore", over="ignore"):
        _add_up(sums, layout, dtype, read, height, width)
    counts = np.outer(
        _lengths(layout.rows, height, shape[0]), _lengths(layout.columns, width, shape[1])
    )
    means = sums / counts
    finite = np.isfinite(means)
    strongest = float(np.abs(means[finite]).max(initial=0))
    return Picture(
        layout=layout,
        height=height,
        width=width,
        levels=_levels(means, finite, strongest),
        strongest=strongest,
    )


def _cell(size: int, most: int) -> int:
    return 1 << (max(-(-size // most), 1) - 1).bit_length()


def _lengths(size: int, cell: int, cells: int) -> NDArray[np.int64]:
    """Entries of each cell along a dimension; the last may have fewer."""
    return np.minimum(size - np.arange(cells) * cell, cell)


def _add_up(
    sums: NDArray[np.float64], layout: Layout, dtype: DType, read: Read, height: int, width: int
) -> None:
    entry = layout.stride * pattern_bytes(dtype)
    most = max(BLOCK_BYTES // entry, 1)  # entries of a block
    columns = min(layout.columns, most)
    rows = most // layout.columns if columns == layout.columns else 1
    for top in range(0, layout.rows, rows):
        for left in range(0, layout.columns, columns):
            tall = min(rows, layout.rows - top)
            wide = min(columns, layout.columns - left)
            start = (top * layout.columns + left) * layout.stride
            bits = read(start, tall * wide * layout.stride)[layout.offset :: layout.stride]
            values = to_numbers(np.ascontiguousarray(bits), dtype).reshape(tall, wide)
            first = left // width
            cuts = [0, *range((first + 1) * width - left, wide, width)]
            partial = np.add.reduceat(values, cuts, axis=1)
            cells = sums[:, first : first + len(cuts)]
            np.add.at(cells, np.arange(top, top + tall) // height, partial)


def _levels(
    means: NDArray[np.float64], finite: NDArray[np.bool_], strongest: float
) -> NDArray[np.int16]:
    levels = np.full(means.shape, NOT_A_NUMBER, np.int16)
    shown = means[finite]
    scaled = np.rint(shown / strongest * LEVELS) if strongest else np.zeros_like(shown)
    weak = (scaled == 0) & (shown != 0)
    scaled[weak] = np.sign(shown[weak])  # what is not 0 does not look like 0
    levels[finite] = scaled.astype(np.int16)
    return levels


def caption(shown: Picture) -> str:
    """What a cell shows, in words."""
    if shown.height == shown.width == 1:
        cell = "each cell shows one element"
    else:
        cell = f"each cell shows the mean of {shown.height} x {shown.width} elements"
    note = f"; {shown.layout.note}" if shown.layout.note else ""
    strongest = f"{shown.strongest:.6g}" if math.isfinite(shown.strongest) else "none"
    return f"{cell}{note}; the strongest is {strongest}"

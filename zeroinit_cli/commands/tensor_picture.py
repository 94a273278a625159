"""Tensors as pictures: a matrix as cells, each the mean of a block of entries, as PNG or SVG.

Blue is below 0, white 0, red above, green where no number is. No time, program or setting is in a
file: the same tensor gives the same pixels everywhere, and, with the same zlib, the same bytes.
Memory does not grow with the tensor. No torch.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.commands.tensor_numbers import to_numbers
from zeroinit_cli.commands.tensor_summary import Read
from zeroinit_cli.dtypes import DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rules import Range, Rule, Shape
from zeroinit_cli.store.hashing import BLOCK_BYTES

LEVELS = 127
"""Steps from 0 to the strongest cell, on either side."""
NOT_A_NUMBER = LEVELS + 1

Colour = tuple[int, int, int]

_ZERO, _POSITIVE, _NEGATIVE = (255, 255, 255), (178, 24, 43), (33, 102, 172)
_NO_NUMBER = (0, 140, 60)
MOST_CELLS = {".png": 1024, ".svg": 256}
"""Cells in each direction, by the file's suffix."""
_COMFORTABLE = 512  # pixels that a small matrix is enlarged to


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


def layout_of(info: TensorInfo, rule: Rule | None) -> Layout:
    """Choose the matrix to show.

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


def _at_tap(shape: Shape, taps: Sequence[Range]) -> Layout:
    kernel = shape[2:]
    size = math.prod(kernel)
    index = tuple(first for first, _ in taps)
    offset = int(np.ravel_multi_index(index, kernel))
    equal = math.prod(last - first for first, last in taps)
    words = f"tap ({', '.join(map(str, index))}) of {' x '.join(map(str, kernel))}"
    if equal > 1:
        words += f", one of {equal} that are equal"
    if equal < size:
        words += "; the others hold 0"
    note = words if size > 1 else ""
    return Layout(rows=shape[0], columns=shape[1], stride=size, offset=offset, note=note)


def _flattened(shape: Shape, rows: int, columns: int) -> Layout:
    plain = tuple(size for size in shape if size != 1) == (rows, columns) or len(shape) == 2
    note = "" if plain else f"{' x '.join(map(str, shape))} as {rows} x {columns}, in C order"
    return Layout(rows=rows, columns=columns, note=note)


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
    # inf - inf is NaN, and a sum may overflow: such cells are shown as no number.
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
    """Count the entries of each cell along a dimension; the last may have fewer."""
    return np.minimum(size - np.arange(cells) * cell, cell)


def _add_up(
    sums: NDArray[np.float64], layout: Layout, dtype: DType, read: Read, height: int, width: int
) -> None:
    entry = layout.stride * dtype.unit_bytes
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
    scaled[weak] = np.sign(shown[weak])  # a nonzero mean must not look like 0
    levels[finite] = scaled.astype(np.int16)
    return levels


def caption(shown: Picture) -> str:
    """Say what a cell shows."""
    if shown.height == shown.width == 1:
        cell = "each cell shows one element"
    else:
        cell = f"each cell shows the mean of {shown.height} x {shown.width} elements"
    note = f"; {shown.layout.note}" if shown.layout.note else ""
    strongest = f"{shown.strongest:.6g}" if math.isfinite(shown.strongest) else "none"
    return f"{cell}{note}; the strongest is {strongest}"


def colour_of(
    level: int, zero: Colour = _ZERO, positive: Colour = _POSITIVE, negative: Colour = _NEGATIVE
) -> Colour:
    """Return red, green and blue of a level; weak levels stay visibly different from 0."""
    if level == NOT_A_NUMBER:
        return _NO_NUMBER
    end = positive if level > 0 else negative
    share = 0.0 if level == 0 else 0.15 + 0.85 * abs(level) / LEVELS
    red, green, blue = (
        round(near + (far - near) * share) for near, far in zip(zero, end, strict=True)
    )
    return red, green, blue


def image_bytes(picture: Picture, suffix: str) -> bytes:
    """Encode a picture as a file, by its suffix: `.png` or `.svg`."""
    return _png(picture) if suffix == ".png" else _svg(picture)


def _enlarged(picture: Picture) -> int:
    rows, columns = picture.levels.shape
    return max(1, _COMFORTABLE // max(int(rows), int(columns)))


def _png(picture: Picture) -> bytes:
    """Encode an indexed PNG with a palette entry for each level.

    Source:
        PNG (Portable Network Graphics) Specification, W3C: chunks and filter type 0.
    """
    scale = _enlarged(picture)
    indices = (picture.levels + LEVELS).astype(np.uint8)
    pixels = indices.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = pixels.shape
    palette = bytes(part for level in range(-LEVELS, NOT_A_NUMBER + 1) for part in colour_of(level))
    lines = np.zeros((height, width + 1), np.uint8)  # each begins with its filter type, none
    lines[:, 1:] = pixels
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _svg(picture: Picture) -> bytes:
    """Encode an SVG with one path for each level; equal cells in a row are one rectangle."""
    rows, columns = picture.levels.shape
    scale = _enlarged(picture)
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(picture.levels.tolist()):
        x = 0
        while x < columns:
            end = x + 1
            while end < columns and row[end] == row[x]:
                end += 1
            if row[x]:
                paths.setdefault(row[x], []).append(f"M{x} {y}h{end - x}v1h-{end - x}z")
            x = end
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * scale}" '
        f'height="{rows * scale}" viewBox="0 0 {columns} {rows}" shape-rendering="crispEdges">',
        f'<rect width="{columns}" height="{rows}" fill="{_hex(0)}"/>',
        *(
            f'<path fill="{_hex(level)}" d="{"".join(runs)}"/>'
            for level, runs in sorted(paths.items())
        ),
        "</svg>\n",
    ]
    return "\n".join(lines).encode()


def _hex(level: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_of(level))

"""Pictures as files: PNG and SVG, blue below 0, white at 0, red above, green where no number is.

No time, program or setting is in them: the same tensor gives the same pixels everywhere, and, with
the same zlib, the same bytes.
"""

import struct
import zlib

import numpy as np

from zeroinit_cli.commands.pictures.cells import LEVELS, NOT_A_NUMBER, Picture

Colour = tuple[int, int, int]

ZERO, POSITIVE, NEGATIVE = (255, 255, 255), (178, 24, 43), (33, 102, 172)
_NO_NUMBER = (0, 140, 60)
MOST_CELLS = {".png": 1024, ".svg": 256}
"""Cells in each direction, by the file's suffix."""
_COMFORTABLE = 512  # pixels that a small matrix is enlarged to


def colour_of(
    level: int, zero: Colour = ZERO, positive: Colour = POSITIVE, negative: Colour = NEGATIVE
) -> Colour:
    """Red, green and blue of a level; of weak ones at a distance from 0 that can be seen."""
    if level == NOT_A_NUMBER:
        return _NO_NUMBER
    end = positive if level > 0 else negative
    share = 0.0 if level == 0 else 0.15 + 0.85 * abs(level) / LEVELS
    red, green, blue = (
        round(near + (far - near) * share) for near, far in zip(zero, end, strict=True)
    )
    return red, green, blue


def image_bytes(picture: Picture, suffix: str) -> bytes:
    """The file of a picture, by its suffix, `.png` or `.svg`."""
    return _png(picture) if suffix == ".png" else _svg(picture)


def _enlarged(picture: Picture) -> int:
    rows, columns = picture.levels.shape
    return max(1, _COMFORTABLE // max(int(rows), int(columns)))


def _png(picture: Picture) -> bytes:
    """An indexed PNG, a palette entry for each level.

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
    """One path for each level that occurs; runs of equal cells in a row are one rectangle."""
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

"""Cells are means of what they cover, and files are what other readers read."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.commands.tensors import reader
from zeroinit_cli.commands import tensor_picture as pictures
from zeroinit_cli.commands.tensor_picture import (
    LEVELS,
    NOT_A_NUMBER,
    Layout,
    Picture,
    caption,
    colour_of,
    image_bytes,
    layout_of,
    picture,
)
from zeroinit_cli.dtypes import F32
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Mirrored, Viewed
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rules import Identity, Rule


def shown(
    values: NDArray[np.float32], most: tuple[int, int], layout: Layout | None = None
) -> Picture:
    layout = layout or Layout(rows=values.shape[0], columns=values.shape[1])
    read = reader(values.astype("<f4").view("<u4"))
    return picture(layout, F32, read, most_rows=most[0], most_columns=most[1])


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    most=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    block=st.sampled_from([4, 12, 64, 1 << 20]),
    seed=st.integers(0, 99),
)
def test_each_cell_is_the_mean_of_what_it_covers(
    shape: tuple[int, int], most: tuple[int, int], block: int, seed: int
) -> None:
    """Whatever the size of the blocks that are read."""
    values = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "BLOCK_BYTES", block)
        found = shown(values, most)
    rows, columns = found.levels.shape
    assert rows <= most[0]
    assert columns <= most[1]
    means = np.array(
        [
            [
                values[
                    i * found.height : (i + 1) * found.height,
                    j * found.width : (j + 1) * found.width,
                ].mean(dtype=np.float64)
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )
    assert found.strongest == pytest.approx(np.abs(means).max())
    assert np.array_equal(np.sign(found.levels), np.sign(np.round(means, 9)))
    scaled = means / (found.strongest or 1) * LEVELS
    assert np.abs(found.levels - scaled).max() <= 1


def test_a_hadamard_matrix_in_small_is_a_hadamard_matrix() -> None:
    values = scipy.linalg.hadamard(256).astype(np.float32)
    found = shown(values, (32, 32))
    assert (found.height, found.width) == (8, 8)
    assert np.array_equal(np.sign(found.levels), scipy.linalg.hadamard(32))
    assert caption(found) == ("each cell shows the mean of 8 x 8 elements; the strongest is 0.125")


def test_what_is_no_number_is_shown_as_such() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 0, 1e-30, -1]], np.float32)
    found = shown(values, (9, 9))
    assert found.levels.tolist() == [[NOT_A_NUMBER] * 3 + [0, 1, -LEVELS]]


@pytest.mark.parametrize(
    ("shape", "rule", "layout"),
    [
        ((), None, Layout(rows=1, columns=1)),
        ((7,), None, Layout(rows=1, columns=7)),
        ((3, 5), None, Layout(rows=3, columns=5)),
        ((1, 3, 5), None, Layout(rows=3, columns=5)),
        (
            (8, 4, 3, 3),
            None,
            Layout(rows=8, columns=36, note="8 x 4 x 3 x 3 as 8 x 36, in C order"),
        ),
        (
            (8, 4, 3, 3),
            Groups(count=2, of=Taps(ranges=((1, 2), (1, 2)), of=Identity())),
            Layout(
                rows=8, columns=4, stride=9, offset=4, note="tap (1, 1) of 3 x 3; the others hold 0"
            ),
        ),
        (
            (8, 4, 2, 2),
            Taps(ranges=((0, 2), (0, 2)), of=Identity()),
            Layout(
                rows=8, columns=4, stride=4, note="tap (0, 0) of 2 x 2, one of 4 that are equal"
            ),
        ),
        ((1, 3, 5), Viewed(rows=3, of=Mirrored(of=Identity())), Layout(rows=3, columns=5)),
    ],
)
def test_the_matrix_that_is_shown(
    shape: tuple[int, ...], rule: Rule | None, layout: Layout
) -> None:
    assert layout_of(TensorInfo(name="x", shape=shape, dtype=F32), rule) == layout


def test_a_tap_is_taken_out_of_its_kernels() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    found = shown(values, (9, 9), Layout(rows=2, columns=3, stride=4, offset=1))
    assert found.strongest == 21
    assert found.levels[0, 0] == round(1 / 21 * LEVELS)


def decoded(data: bytes) -> NDArray[np.uint8]:
    """A PNG's pixels by the specification alone: rows of palette indices, looked up."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    position = 8
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        end = position + 8 + length
        assert struct.unpack(">I", data[end : end + 4])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        position = end + 4
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[lines[:, 1:]]


def test_the_png_holds_the_colours_of_the_cells() -> None:
    found = shown(np.array([[1, -1, 0], [np.nan, 0.5, 0]], np.float32), (9, 9))
    pixels = decoded(image_bytes(found, ".png"))
    scale = 512 // 3
    assert pixels.shape == (2 * scale, 3 * scale, 3)
    assert np.array_equal(
        pixels[::scale, ::scale],
        [[colour_of(level) for level in row] for row in found.levels.tolist()],
    )
    assert colour_of(0) == (255, 255, 255)
    assert image_bytes(found, ".png") == image_bytes(found, ".png")


def test_the_svg_holds_a_path_for_each_level(tmp_path: Path) -> None:
    from xml.etree import ElementTree as ET

    found = shown(np.array([[1, 1, -1], [0, 1, -1]], np.float32), (9, 9))
    root = ET.fromstring(image_bytes(found, ".svg"))
    paths = {path.get("fill"): path.get("d") for path in root if path.tag.endswith("path")}
    assert paths == {
        "#b2182b": "M0 0h2v1h-2zM1 1h1v1h-1z",
        "#2166ac": "M2 0h1v1h-1zM2 1h1v1h-1z",
    }

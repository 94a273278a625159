"""Arrays of strangers: read whole, or refused in words, and never executed.

The default batch is the same for ever, and like a picture, not like noise.
"""

import hashlib
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeroinit_cli.errors import InputError
from zeroinit_cli.probing.arrays import MOST_ARRAY_BYTES, labels, pictures, read_array, tokens


def saved(folder: Path, array: Any) -> Path:
    path = folder / "x.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", ">f4", "int8", "uint16", "int64"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_are_those_that_numpy_reads(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype, order=order)
    path = saved(tmp_path, array)
    found = read_array(path)
    expected = np.load(path, allow_pickle=False)
    assert found.dtype == (np.float32 if array.dtype.kind == "f" else np.int64)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_array(path)
    assert caught.value.where == str(path)
    return caught.value


def why(error: InputError) -> tuple[str, str | None, str | None]:
    return error.problem, error.expected, error.found


NO_ARRAY, UNUSABLE = "not an array of numpy", "an array that cannot be fed"


class Trap:
    """Tells whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("sprung").write_text, ("x",))


def test_a_pickle_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.npy"
    np.save(path, np.array([[Trap()]], dtype=object), allow_pickle=True)
    assert why(refused(path)) == (UNUSABLE, "integers, or floats of at most 64 bits", "'|O'")
    path.write_bytes(pickle.dumps(Trap()))
    assert why(refused(path)) == (
        NO_ARRAY,
        "a file that numpy.save has written",
        "another beginning",
    )
    assert not Path("sprung").exists()


def with_header(text: str, data: bytes = b"") -> bytes:
    header = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


HOSTILE = {
    "a claim of terabytes": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }",
        "at most 1,073,741,824 bytes",
        "1,000,000,000,000 elements",
    ),
    "a shape beyond 64 bits": (
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**40}, {2**40}), }}",
        "at most 1,073,741,824 bytes",
        f"{2**80:,} elements",
    ),
    "an empty batch": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }",
        "a batch of samples: 2 to 8 dimensions, none empty",
        "[0, 3]",
    ),
    "a vector": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "a batch of samples: 2 to 8 dimensions, none empty",
        "[3]",
    ),
    "a scalar": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
        "a batch of samples: 2 to 8 dimensions, none empty",
        "[]",
    ),
    "complex numbers": (
        "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }",
        "integers, or floats of at most 64 bits",
        "'<c8'",
    ),
    "less than it says": (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        "24 bytes behind the header",
        "0",
    ),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_header_is_not_believed(tmp_path: Path, name: str) -> None:
    header, expected, found = HOSTILE[name]
    path = tmp_path / "x.npy"
    path.write_bytes(with_header(header))
    assert why(refused(path)) == (UNUSABLE, expected, found)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "another beginning"),
        (b"\x93NUMPY", "another beginning"),
        (b"PK\x03\x04" + bytes(40), "another beginning"),
        (b"\x93NUMPY\x03\x00" + bytes(8), "version 3.0 of the format"),
        (b"\x93NUMPY\x01\x00\xff", "no whole header"),
        (b"\x93NUMPY\x01\x00\x09\x00{}", "no whole header"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "a header of 65,535 bytes"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "a header of 4,294,967,295 bytes"),
        (with_header("{'shape': (-1, 4)}" + " " * 20000), "a header of 20,019 bytes"),
        (with_header("__import__('os').abort()"), "a header that is no literal"),
        (with_header("(" * 9000), "a header that is no literal"),
        (with_header("{[]: 1}"), "a header that is no literal"),
        (with_header("{'descr': '<f4'}"), "a header of {'descr': '<f4'}"),
    ],
    ids=range(13),
)
def test_what_is_no_array_is_refused_without_a_traceback(
    tmp_path: Path, content: bytes, found: str
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    assert why(refused(path)) == (NO_ARRAY, "a file that numpy.save has written", found)


def test_a_type_that_is_no_word_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(with_header("{'descr': [], 'fortran_order': False, 'shape': (1, 1), }"))
    assert why(refused(path)) == (UNUSABLE, "integers, or floats of at most 64 bits", "[]")


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    expected = (UNUSABLE, "finite numbers within float32", "others among them")
    for value in (np.nan, np.inf, 1e300):
        path = saved(tmp_path, np.array([[0.0, value]]))
        assert why(refused(path)) == expected


def test_integers_beyond_63_bits_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, np.array([[2**63]], np.uint64))
    assert why(refused(path)) == (UNUSABLE, "integers of at most 63 bits", "9223372036854775808")


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        file.truncate(MOST_ARRAY_BYTES + 1)  # a hole: no disk holds it
    assert why(refused(path)) == (UNUSABLE, "at most 1,073,741,824 bytes", "1,073,741,825")


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    assert why(refused(path)) == ("cannot read the file", None, "No such file or directory")


def test_a_stream_without_end_is_no_file() -> None:
    assert why(refused(Path("/dev/zero"))) == ("not a regular file", None, None)


def test_numpys_own_writer_is_the_oracle_of_the_hostile_headers() -> None:
    """The headers above are wrong by what they say, not by how this file writes them."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 3), np.float32))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    ours = np.load(io.BytesIO(with_header(header, bytes(24))), allow_pickle=False)
    np.testing.assert_array_equal(ours, np.load(io.BytesIO(stream.getvalue())))


@pytest.mark.parametrize("shape", [(3, 96, 96), (1, 8, 8), (64,), (3, 4, 16, 16), (5, 20)])
def test_pictures_are_standardised_and_unlike_each_other(shape: tuple[int, ...]) -> None:
    batch = pictures(8, shape)
    assert batch.shape == (8, *shape)
    assert batch.dtype == np.float32
    assert abs(float(batch.mean())) < 1e-5
    assert float(np.square(batch).mean()) == pytest.approx(1, abs=1e-4)
    rows = batch.reshape(8, -1)
    correlations = np.corrcoef(rows) - np.eye(8)
    assert float(np.abs(correlations).max()) < 0.98
    assert float(rows.var(axis=1).min()) > 0.1


def test_neighbours_resemble_each_other_and_edges_stand_out() -> None:
    image = pictures(4, (3, 96, 96)).astype(np.float64)
    steps = np.abs(np.diff(image, axis=3))
    assert float(np.median(steps)) < 0.05
    assert float(steps.max()) > 5 * float(np.median(steps))


def test_channels_resemble_each_other_and_are_not_the_same() -> None:
    for image in pictures(8, (3, 32, 32)):
        found = np.corrcoef(image.reshape(3, -1))
        assert float(found.min()) > 0.3
        assert float((found - np.eye(3)).max()) < 0.99999


def test_the_numbers_are_these() -> None:
    """By closed form from sums, products and comparisons: a change would change every report."""
    rounded = np.round(pictures(2, (3, 16, 16)).astype(np.float64), 4)
    digest = hashlib.sha256(rounded.tobytes()).hexdigest()[:16]
    whole = hashlib.sha256(tokens(2, (16,), 128).tobytes()).hexdigest()[:16]
    assert (digest, whole) == ("3f43414d692cb526", "0ef72d467eda5c99")


def test_labels_are_spread_over_the_classes() -> None:
    assert labels(8, 1000).tolist() == [618, 236, 854, 472, 90, 708, 326, 944]
    assert set(labels(64, 10).tolist()) == set(range(10))
    assert set(labels(5, 1).tolist()) == {0}


@pytest.mark.parametrize("known", [1, 2, 7, 128, 50_257])
def test_tokens_are_of_the_vocabulary(known: int) -> None:
    found = tokens(8, (64,), known)
    assert found.min() >= 0
    assert found.max() < known
    assert len(np.unique(found)) >= min(known, 100)


def test_tokens_can_be_told_from_the_one_before_more_often_than_by_chance() -> None:
    found = tokens(8, (64,), 128)
    common = np.bincount(found.ravel(), minlength=128).max() / found.size
    assert common > 3 / 128

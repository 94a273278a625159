"""A stranger's .npy file, read without believing it: nothing is unpickled or executed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zeroinit_cli.errors import InputError
from zeroinit_cli.files.reading import opened, read_exactly

MOST_BYTES = 1 << 30
_MOST_HEADER = 10_000  # characters, numpy's own limit
_MOST_RANK = 8
_KINDS = "fiu"


def read_array(path: Path) -> NDArray[Any]:
    """The array of a file, float32 or int64.

    Raises:
        InputError: it cannot be read, is no plain array of numbers, is larger than 1 GiB, is not
            as long as its header says, or holds what is not finite.
    """
    with opened(path) as (file, size):
        if size > MOST_BYTES:
            raise _unusable(path, f"at most {MOST_BYTES:,} bytes", f"{size:,}")
        shape, fortran, dtype = _header(path, file)
        _check_form(path, shape, dtype)
        data = bytearray(math.prod(shape) * dtype.itemsize)
        left = size - file.tell()
        if left != len(data):
            raise _unusable(path, f"{len(data):,} bytes behind the header", f"{left:,}")
        if read_exactly(file, memoryview(data)) < len(data):
            raise InputError("the file changed while it was read", where=str(path))
    flat = np.frombuffer(data, dtype)
    values = flat.reshape(shape, order="F" if fortran else "C")
    return _converted(path, values)


def _header(path: Path, file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What numpy's own reader of headers, which parses a literal and runs nothing, finds."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version[0]}.{version[1]} of the format")
        return readers[version](file, max_header_size=_MOST_HEADER)
    except (ValueError, EOFError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            "not an array of numpy",
            where=str(path),
            expected="a file that numpy.save has written",
            found=first,
        ) from error


def _check_form(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject or dtype.kind not in _KINDS or dtype.itemsize > 8:
        raise _unusable(path, "integers, or floats of at most 64 bits", str(dtype))
    if not 2 <= len(shape) <= _MOST_RANK or min(shape) < 1:
        raise _unusable(
            path, f"a batch of samples: 2 to {_MOST_RANK} dimensions, none empty", str(list(shape))
        )
    if math.prod(shape) * dtype.itemsize > MOST_BYTES:  # Python's integers do not overflow
        raise _unusable(path, f"at most {MOST_BYTES:,} bytes", f"{math.prod(shape):,} elements")


def _converted(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        if values.dtype.kind == "u" and int(values.max()) > np.iinfo(np.int64).max:
            raise _unusable(path, "integers of at most 63 bits", str(values.max()))
        return np.ascontiguousarray(values, np.int64)
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(floats).all():
        raise _unusable(path, "finite numbers within float32", "others among them")
    return floats


def _unusable(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        "an array that cannot be fed", where=str(path), expected=expected, found=found
    )

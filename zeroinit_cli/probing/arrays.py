"""A stranger's .npy file, read without believing it: nothing is unpickled or executed."""

import ast
import math
import re
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.errors import InputError, shown
from zeroinit_cli.files import opened, read_exactly

MOST_BYTES = 1 << 30
_MAGIC = b"\x93NUMPY"
_LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I"}  # by version, how the header's length is stored
_MOST_HEADER = 10_000  # bytes
_MOST_RANK = 8
_TYPE = re.compile(r"[<>|=](f[248]|[iu][1248])")


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
        _check_form(path, shape, dtype.itemsize)
        data = bytearray(math.prod(shape) * dtype.itemsize)
        left = size - file.tell()
        if left != len(data):
            raise _unusable(path, f"{len(data):,} bytes behind the header", f"{left:,}")
        if read_exactly(file, memoryview(data)) < len(data):
            raise InputError("the file changed while it was read", where=str(path))
    flat = np.frombuffer(data, dtype)
    values = flat.reshape(shape, order="F" if fortran else "C")
    return _converted(path, values)


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What the header says, a literal of Python that is parsed and never run.

    Numpy's own reader is not asked: it reads a header of any length, and tokenizes one of Python 2.

    Source:
        numpy.lib.format, "Format Version 1.0" and "2.0".
    """
    start = bytearray(len(_MAGIC) + 2)
    if read_exactly(file, memoryview(start)) < len(start) or not start.startswith(_MAGIC):
        raise _no_array(path, "another beginning")
    layout = _LENGTHS.get(bytes(start[-2:]))
    if layout is None:
        raise _no_array(path, f"version {start[-2]}.{start[-1]} of the format")
    size = bytearray(struct.calcsize(layout))
    if read_exactly(file, memoryview(size)) < len(size):
        raise _no_array(path, "no whole header")
    (length,) = struct.unpack(layout, size)
    if length > _MOST_HEADER:
        raise _no_array(path, f"a header of {length:,} bytes")
    text = bytearray(length)
    if read_exactly(file, memoryview(text)) < length:
        raise _no_array(path, "no whole header")
    return _parsed(path, text.decode("latin1"))


def _parsed(path: Path, text: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        said = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise _no_array(path, "a header that is no literal") from error
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise _no_array(path, f"a header of {shown(said)}")
    descr, fortran, shape = said["descr"], said["fortran_order"], said["shape"]
    counts = isinstance(shape, tuple) and all(type(each) is int and each >= 0 for each in shape)
    if not counts or not isinstance(fortran, bool):
        raise _no_array(path, f"a header of {shown(said)}")
    if not isinstance(descr, str) or not _TYPE.fullmatch(descr):
        raise _unusable(path, "integers, or floats of at most 64 bits", shown(descr))
    return shape, fortran, np.dtype(descr)


def _check_form(path: Path, shape: tuple[int, ...], itemsize: int) -> None:
    if not 2 <= len(shape) <= _MOST_RANK or min(shape) < 1:
        raise _unusable(
            path, f"a batch of samples: 2 to {_MOST_RANK} dimensions, none empty", str(list(shape))
        )
    if math.prod(shape) * itemsize > MOST_BYTES:  # Python's integers do not overflow
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


def _no_array(path: Path, found: str) -> InputError:
    return InputError(
        "not an array of numpy",
        where=str(path),
        expected="a file that numpy.save has written",
        found=found,
    )


def _unusable(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        "an array that cannot be fed", where=str(path), expected=expected, found=found
    )

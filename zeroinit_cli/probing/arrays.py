"""The arrays that a model is fed: a file that somebody gives, or the default batch. No torch here.

The default batch is computed by closed form, the same at every call. Its pictures have what natural
ones have and noise does not: ramps, edges, some fine grain, channels that resemble each other.
Nothing is drawn at random, and nothing passes through a sine.
"""

import ast
import math
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.errors import InputError, shown
from zeroinit_cli.files import opened, read_exactly

MOST_ARRAY_BYTES = 1 << 30
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}  # of the header's length, by version
_MOST_HEADER = 10_000  # bytes
_MOST_RANK = 8
_TYPE = re.compile(r"[<>|=](f[248]|[iu][1248])")

_GOLDEN = 0.6180339887498949  # its multiples modulo 1 are spread evenly
_PRIME, _STRIDE = 100_003, 61_803  # the same in integers, without rounding
_COLOUR, _GRAIN, _SHARPNESS = 0.35, 0.35, 40.0
_BRIGHTNESS = 0.4  # largest distance of a sample's mean from 0


def read_array(path: Path) -> NDArray[Any]:
    """Read a .npy file of a stranger; nothing in it is unpickled or executed.

    The header is checked before numpy sees the file: numpy would reserve memory for whatever shape
    the header claims, and would read a header of any length.

    Returns:
        its array, as float32 or int64.

    Raises:
        InputError: it cannot be read, is no plain array of numbers, is larger than 1 GiB, is not
            as long as its header says, or holds what is not finite.
    """
    with opened(path) as (file, size):
        if size > MOST_ARRAY_BYTES:
            raise _unusable(path, f"at most {MOST_ARRAY_BYTES:,} bytes", f"{size:,}")
        shape, dtype = _claims(path, _header(path, file))
        nbytes, left = math.prod(shape) * dtype.itemsize, size - file.tell()
        if left != nbytes:
            raise _unusable(path, f"{nbytes:,} bytes behind the header", f"{left:,}")
        file.seek(0)
        try:
            values = np.load(file, allow_pickle=False, max_header_size=_MOST_HEADER)
        except (ValueError, EOFError) as error:
            raise InputError("the file changed while it was read", where=str(path)) from error
    return _converted(path, values)


def _header(path: Path, file: IO[bytes]) -> str:
    """Read the header's text, of bounded length.

    Source:
        numpy.lib.format, "Format Version 1.0" and "2.0".
    """
    start = _read(path, file, len(_MAGIC) + 2, "another beginning")
    if not start.startswith(_MAGIC):
        raise _no_array(path, "another beginning")
    version = start.removeprefix(_MAGIC)
    if version not in _LENGTH_BYTES:
        raise _no_array(path, f"version {version[0]}.{version[1]} of the format")
    size = _read(path, file, _LENGTH_BYTES[version], "no whole header")
    length = int.from_bytes(size, "little")
    if length > _MOST_HEADER:
        raise _no_array(path, f"a header of {length:,} bytes")
    return _read(path, file, length, "no whole header").decode("latin1")


def _read(path: Path, file: IO[bytes], nbytes: int, otherwise: str) -> bytes:
    """Read so many bytes, or refuse the file if it has fewer."""
    data = bytearray(nbytes)
    if read_exactly(file, memoryview(data)) < nbytes:
        raise _no_array(path, otherwise)
    return bytes(data)


def _claims(path: Path, header: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Parse the shape and the type that a header claims, and refuse what cannot be fed."""
    try:
        said = ast.literal_eval(header)  # as numpy does: it parses a literal and never runs it
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise _no_array(path, "a header that is no literal") from error
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise _no_array(path, f"a header of {shown(said)}")
    descr, shape = said["descr"], said["shape"]
    sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not sizes or not isinstance(said["fortran_order"], bool):
        raise _no_array(path, f"a header of {shown(said)}")
    if not isinstance(descr, str) or not _TYPE.fullmatch(descr):
        raise _unusable(path, "integers, or floats of at most 64 bits", shown(descr))
    if not 2 <= len(shape) <= _MOST_RANK or min(shape) < 1:
        expected = f"a batch of samples: 2 to {_MOST_RANK} dimensions, none empty"
        raise _unusable(path, expected, str(list(shape)))
    dtype = np.dtype(descr)
    if math.prod(shape) * dtype.itemsize > MOST_ARRAY_BYTES:  # Python's integers do not overflow
        raise _unusable(
            path, f"at most {MOST_ARRAY_BYTES:,} bytes", f"{math.prod(shape):,} elements"
        )
    return shape, dtype


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


def pictures(batch: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Make a batch of signals of any rank, with mean 0 and mean square 1 over all of it.

    Args:
        batch: how many.
        shape: channels and sizes, (3, 96, 96); of a vector its size alone.

    Returns:
        (batch, *shape).
    """
    channels, sizes = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
    signals = np.stack([_signal(number, channels, sizes) for number in range(batch)])
    signals -= signals.mean()
    signals /= max(np.sqrt(np.square(signals).mean()), 1e-12)
    return signals.reshape(batch, *shape).astype(np.float32)


def _signal(number: int, channels: int, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Make one sample, (channels, *sizes): a ramp, two edges and a grating by its own numbers."""
    axes = _coordinates(sizes)
    phase = (value for value in (_wave(np.float64((number + 1) * _GOLDEN * k)) for k in count(1)))
    ramp, first, second, fine = (_slanted(axes, phase) for _ in range(4))
    tint = _wave(np.arange(channels) * _GOLDEN + number * 0.25).reshape(-1, *(1 for _ in sizes))
    edges = np.clip(_SHARPNESS * (first - 0.2 * next(phase)), -1, 1)
    edges = edges + 0.5 * (1 + _COLOUR * tint) * np.clip(_SHARPNESS * (second - 0.1), -1, 1)
    grain = _wave(fine * (3 + number % 4) + 0.1 * tint)
    signal: NDArray[np.float64] = (1 + _COLOUR * tint) * ramp + edges + _GRAIN * grain + 0.5 * tint
    signal -= signal.mean()
    signal /= max(float(np.sqrt(np.square(signal).mean())), 1e-12)
    signal += _BRIGHTNESS * next(phase)
    return signal


def _slanted(axes: list[NDArray[np.float64]], phase: Iterator[Any]) -> NDArray[np.float64]:
    total = np.zeros((1, *(1 for _ in axes)))
    for coordinates in axes:
        total = total + next(phase) * coordinates
    return total


def _coordinates(sizes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Make coordinates from -1/2 to 1/2 for each dimension, to be broadcast behind channels."""
    axes = []
    for dimension, size in enumerate(sizes):
        shape = [1] * (len(sizes) + 1)
        shape[dimension + 1] = size
        axes.append(((np.arange(size) + 0.5) / size - 0.5).reshape(shape))
    return axes


def _wave(x: Any) -> Any:
    """Compute a triangle wave of period 1 between -1 and 1."""
    return 4 * np.abs(x - np.floor(x + 0.5)) - 1


def labels(numel: int, classes: int) -> NDArray[np.int64]:
    """Make class numbers that are spread over all classes."""
    numbers = np.arange(1, numel + 1, dtype=np.int64)
    return numbers * _STRIDE % _PRIME * classes // _PRIME


def tokens(batch: int, shape: tuple[int, ...], known: int) -> NDArray[np.int64]:
    """Make sequences in which a token is often determined by the one before, as in text.

    Of four tokens two are common ones, and two come from the whole vocabulary.
    """
    numbers = np.arange(batch * int(np.prod(shape)), dtype=np.int64)
    rare = labels(len(numbers), known)
    common = numbers // 2 * 7 % min(known, 11)
    return np.where(numbers % 4 < 2, common, rare).reshape(batch, *shape)

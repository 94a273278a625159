"""Careful reading of files that anybody may have made: only regular ones, in blocks."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zeroinit_cli.errors import InputError, reason_of

_READ_BYTES = 1 << 20


def is_there(path: Path) -> bool:
    """Tell whether a path leads to anything at all.

    Raises:
        InputError: nobody can tell: a link to itself, a name no file can have, a closed folder.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError("cannot read the file", where=str(path), found=reason_of(error)) from error
    return True


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file for reading, unbuffered, and yield it with its size.

    Raises:
        InputError: it cannot be read; or it is a folder, pipe or device, which could block or go
            on for ever; or somebody has written to it before the end of the block.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for its writer. For a file it has no effect.
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise InputError("not a regular file", where=str(path))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = stamp_of(file)
            yield file, status.st_size
            if stamp_of(file) != before:  # the data read may be a mix of two versions
                raise InputError("the file changed while it was read", where=str(path))
    except OSError as error:
        raise InputError("cannot read the file", where=str(path), found=reason_of(error)) from error


def stamp_of(file: IO[bytes]) -> tuple[int, int, int, int]:
    """Identify an open file: it differs for another file of the name, and after a change."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def size_of(path: Path) -> int:
    """Return the size of a regular file, in bytes.

    Raises:
        InputError: it cannot be read.
    """
    with opened(path) as (_, size):
        return size


def sha256_of(path: Path) -> tuple[str, int]:
    """Compute the SHA-256 of a file, in hexadecimal, and count its bytes.

    Raises:
        InputError: it cannot be read.
    """
    import hashlib  # which --help can do without, for its speed

    buffer = memoryview(bytearray(_READ_BYTES))
    with opened(path) as (file, _):
        sha256, size = hashlib.sha256(), 0
        while count := file.readinto(buffer):  # type: ignore[attr-defined]  # IO has it, typeshed not
            sha256.update(buffer[:count])
            size += count
    return sha256.hexdigest(), size


def outside(path: Path, folder: Path) -> str | None:
    """Return where a path leads if links take it out of a folder; None if it stays within."""
    # not Path.resolve, which before Python 3.13 raises RuntimeError for a link to itself
    resolved = os.path.realpath(path)
    return None if Path(resolved).is_relative_to(os.path.realpath(folder)) else resolved


def read_exactly(file: IO[bytes], view: memoryview) -> int:
    """Fill a buffer from a file, and count the bytes that were read: less, where the file ends."""
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled


def read_part(path: Path, start: int, count: int) -> bytes:
    """Read `count` bytes of a file from `start` on; fewer, where the file ends.

    Raises:
        InputError: the file cannot be read.
    """
    data = bytearray(count)
    with opened(path) as (file, _):
        file.seek(start)
        del data[read_exactly(file, memoryview(data)) :]
    return bytes(data)

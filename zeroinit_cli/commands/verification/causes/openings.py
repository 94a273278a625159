"""Files that are something else altogether, or end too early: known by how they begin."""

import re
from contextlib import suppress
from pathlib import Path

from zeroinit_cli.commands.verification.findings import Cause
from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.files import opened, read_exactly, size_of
from zeroinit_cli.store.safetensors import PREFIX_BYTES, decode_header, header_length

LFS_SPEC = b"version https://git-lfs.github.com/spec"
_OPENING_BYTES = 1024  # Git LFS's own limit for pointers
_LFS_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_FOREIGN = (
    (re.compile(rb"\s*<(!doctype\s+html|html)", re.IGNORECASE), "html", "a web page"),
    (re.compile(rb"PK\x03\x04"), "pickle", "a zip archive, such as torch.save writes"),
    (re.compile(rb"\x80[\x02-\x05]"), "pickle", "a pickle, such as torch.save once wrote"),
    (re.compile(rb"\x1f\x8b"), "compressed", "a gzip archive"),
)


def foreign(path: Path, sha256: str) -> Cause | None:
    """What a file is that is no checkpoint.

    Args:
        path: the file.
        sha256: what it should have.

    Raises:
        InputError: it cannot be read.
    """
    opening = _read(path, 0, _OPENING_BYTES)
    if not opening:
        return Cause(kind="empty", text="a copy or download that never began: the file is empty")
    if opening.startswith(LFS_SPEC):
        return _pointer(opening, sha256)
    for pattern, kind, what in _FOREIGN:
        if pattern.match(opening):
            return Cause(kind=kind, text=f"another file under this name: it begins like {what}")
    return None


def opening_cause(path: Path, sha256: str, size: int) -> Cause | None:
    """What can be told without torch of a file that has not the locked digest.

    Args:
        path: the file.
        sha256: what it should have.
        size: bytes that it should have.
    """
    with suppress(InputError):  # it is no longer there
        return foreign(path, sha256) or shortened(path, size_of(path), size)
    return None


def _pointer(opening: bytes, sha256: str) -> Cause:
    """A pointer names its object by SHA-256, so it can be told which it is."""
    oid = _LFS_OID.search(opening)
    locked = oid is not None and oid[1].decode() == sha256
    return Cause(
        kind="lfs-pointer",
        text="a Git LFS pointer in place of the file; it points to "
        + ("these very bytes" if locked else "other bytes"),
        hint="git lfs pull" if locked else None,
    )


def shortened(path: Path, size: int, expected: int) -> Cause | None:
    """A file whose own header announces exactly the bytes that were expected, but that has fewer.

    Raises:
        InputError: it cannot be read.
    """
    if size >= expected:
        return None
    try:
        length = header_length(_read(path, 0, PREFIX_BYTES), size, str(path))
        decode_header(_read(path, PREFIX_BYTES, length), expected, str(path))
    except CheckpointError:
        return None
    return truncated(size, expected)


def truncated(size: int, expected: int) -> Cause:
    """A file that ends too early."""
    return Cause(
        kind="truncated",
        text=f"a copy or download that stopped after {size:,} of {expected:,} bytes",
    )


def _read(path: Path, start: int, count: int) -> bytes:
    data = bytearray(count)
    with opened(path) as (file, _):
        file.seek(start)
        del data[read_exactly(file, memoryview(data)) :]
    return bytes(data)

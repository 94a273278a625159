"""What a file is that is no checkpoint, or ends too early: told by its own bytes, without torch."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zeroinit_cli.commands.findings import Cause
from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.files import opened, read_exactly, size_of
from zeroinit_cli.store.safetensors import PREFIX_BYTES, decode_header, header_length

_LFS_SPEC = b"version https://git-lfs.github.com/spec"
_OPENING_BYTES = 1024  # Git LFS's own limit for pointers
_LEAST_TEXT = 8  # bytes; of a checkpoint the first eight are a length, and the last of these 0
_LFS_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
FOREIGN = (
    (re.compile(rb"\s*<(!doctype\s+html|html)", re.IGNORECASE), "html", "a web page"),
    # the first entry of an archive has a name, whose length stands at byte 26
    (
        re.compile(rb"PK\x03\x04.{22}(?!\0\0)", re.DOTALL),
        "pickle",
        "a zip archive, such as torch.save writes",
    ),
    (re.compile(rb"\x80[\x02-\x05]"), "pickle", "a pickle, such as torch.save once wrote"),
    (re.compile(rb"\x1f\x8b"), "compressed", "a gzip archive"),
    # after the version stand the numbers of tensors and of keys
    (
        re.compile(rb"GGUF.{4}(?!\0{16})", re.DOTALL),
        "gguf",
        "a GGUF file, which llama.cpp reads",
    ),
    (re.compile(rb'\s*\{\s*"'), "json", "JSON, such as the error that a server sends"),
)
"""How other files begin: a pattern, the kind of the cause, and the words."""


def foreign(path: Path, sha256: str | None = None) -> Cause | None:
    """Tell from a file's first bytes what it is, if it is no checkpoint.

    Args:
        path: the file; one that is called .json may well begin like JSON.
        sha256: what it should have, if that is known.

    Raises:
        InputError: it cannot be read.
    """
    opening = read_part(path, 0, _OPENING_BYTES)
    if not opening:
        return Cause(kind="empty", text="a copy or download that never began: the file is empty")
    if opening[4:9] == b"\0\0\0\0{":  # a header's length, which may look like a pickle, and JSON
        return None
    if opening.startswith(_LFS_SPEC):
        return _pointer(opening, sha256)
    for pattern, kind, what in FOREIGN:
        if pattern.match(opening) and not (kind == "json" and path.suffix == ".json"):
            return _begins_like(kind, what)
    if path.suffix != ".json" and _is_text(opening):
        return _begins_like("text", "plain text, such as the error that a server sends")
    return None


def opening_cause(path: Path, sha256: str, size: int) -> Cause | None:
    """Tell, without a plan, what happened to a file that has not the right digest.

    Args:
        path: the file.
        sha256: what it should have.
        size: bytes that it should have.
    """
    with suppress(InputError):  # it is no longer there
        return foreign(path, sha256) or _shortened(path, size_of(path), size)
    return None


@contextmanager
def diagnosed() -> Iterator[None]:
    """Add a hint to the error of a file that cannot be a checkpoint, if its bytes tell what it is.

    Raises:
        CheckpointError: what the block raises.
    """
    try:
        yield
    except CheckpointError as error:
        if error.hint is None and error.where is not None:
            with suppress(InputError, ValueError):  # no file, but a tensor in one
                cause = foreign(Path(error.where))
                if cause is not None and cause.kind != "empty":  # which the error says
                    more = "" if cause.hint is None else f": {cause.hint}"
                    error.hint = f"probably {cause.text}{more}"
        raise


def truncated(size: int, expected: int) -> Cause:
    """Say that a file ends too early."""
    return Cause(
        kind="truncated",
        text=f"a copy or download that stopped after {size:,} of {expected:,} bytes",
    )


def _begins_like(kind: str, what: str) -> Cause:
    return Cause(kind=kind, text=f"another file under this name: it begins like {what}")


def _is_text(opening: bytes) -> bool:
    """See whether all is printable, which the first eight bytes of no checkpoint are."""
    text = opening.decode(errors="replace").removesuffix("\ufffd")  # cut within a character
    printable = all(letter.isprintable() or letter in "\t\r\n" for letter in text)
    return len(opening) >= _LEAST_TEXT and printable and "\ufffd" not in text


def _pointer(opening: bytes, sha256: str | None) -> Cause:
    """Say which file a pointer stands for: it names its object by SHA-256."""
    text = "a Git LFS pointer in place of the file"
    if sha256 is None:
        return Cause(kind="lfs-pointer", text=text, hint="git lfs pull")
    oid = _LFS_OID.search(opening)
    locked = oid is not None and oid[1].decode() == sha256
    return Cause(
        kind="lfs-pointer",
        text=f"{text}; it points to " + ("these very bytes" if locked else "other bytes"),
        hint="git lfs pull" if locked else None,
    )


def _shortened(path: Path, size: int, expected: int) -> Cause | None:
    """See whether the file's own header announces the expected size, but the file has fewer bytes.

    Raises:
        InputError: it cannot be read.
    """
    if size >= expected:
        return None
    try:
        length = header_length(read_part(path, 0, PREFIX_BYTES), size, str(path))
        decode_header(read_part(path, PREFIX_BYTES, length), expected, str(path))
    except CheckpointError:
        return None
    return truncated(size, expected)


def read_part(path: Path, start: int, count: int) -> bytes:
    """Read bytes from a place on, as many as are there.

    Raises:
        InputError: the file cannot be read.
    """
    data = bytearray(count)
    with opened(path) as (file, _):
        file.seek(start)
        del data[read_exactly(file, memoryview(data)) :]
    return bytes(data)

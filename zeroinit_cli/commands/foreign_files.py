"""Files that are no checkpoint, recognised by their first bytes, such as a pickle."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zeroinit_cli.commands.findings import Cause
from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.files import read_part

_LFS_SPEC = b"version https://git-lfs.github.com/spec"
_OPENING_BYTES = 1024  # Git LFS's own limit for pointers
_LEAST_TEXT = 8  # bytes; a checkpoint begins with a length of eight bytes, whose last is 0
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
    """Recognise a file that is no checkpoint by its first bytes.

    Args:
        path: the file; one that is called .json may well begin like JSON.
        sha256: what it should have, if that is known.

    Raises:
        InputError: it cannot be read.
    """
    opening = read_part(path, 0, _OPENING_BYTES)
    if not opening:
        return Cause(kind="empty", text="a copy or download that never began: the file is empty")
    if opening[4:9] == b"\0\0\0\0{":  # a header's length, which may look like a pickle, then JSON
        return None
    if opening.startswith(_LFS_SPEC):
        return _pointer(opening, sha256)
    for pattern, kind, what in FOREIGN:
        if pattern.match(opening) and not (kind == "json" and path.suffix == ".json"):
            return _begins_like(kind, what)
    if path.suffix != ".json" and _is_text(opening):
        return _begins_like("text", "plain text, such as the error that a server sends")
    return None


@contextmanager
def foreign_file_hint() -> Iterator[None]:
    """Add a hint to the error of a file that is no checkpoint, if its bytes tell what it is.

    Raises:
        CheckpointError: what the block raises.
    """
    try:
        yield
    except CheckpointError as error:
        if error.hint is None and error.where is not None:
            with suppress(InputError, ValueError):  # `where` is a tensor, not a file
                cause = foreign(Path(error.where))
                if cause is not None and cause.kind != "empty":  # the error says that already
                    more = "" if cause.hint is None else f": {cause.hint}"
                    error.hint = f"probably {cause.text}{more}"
        raise


def _begins_like(kind: str, what: str) -> Cause:
    return Cause(kind=kind, text=f"another file under this name: it begins like {what}")


def _is_text(opening: bytes) -> bool:
    """Tell whether all bytes are printable; the first eight bytes of a checkpoint never are."""
    text = opening.decode(errors="replace").removesuffix("\ufffd")  # the end may cut a character
    printable = all(letter.isprintable() or letter in "\t\r\n" for letter in text)
    return len(opening) >= _LEAST_TEXT and printable and "\ufffd" not in text


def _pointer(opening: bytes, sha256: str | None) -> Cause:
    """Describe a Git LFS pointer, which names its object by SHA-256."""
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

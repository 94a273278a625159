"""Files that are not what their name says, such as a web page, recognised by their first bytes."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.commands.findings import Cause
from zeroinit_cli.errors import (
    CheckpointError,
    InputError,
    LockError,
    SpecError,
    UsageError,
    ZeroinitError,
    printable,
)
from zeroinit_cli.files import read_part
from zeroinit_cli.text import abridged

_OPENING_BYTES = 1024  # Git LFS's own limit for pointers
_LEAST_TEXT = 8  # bytes; a checkpoint begins with a length of eight bytes, whose last is 0
_MOST_SAID = 80  # characters of a text that are shown
_MARK = rb"(?:\xef\xbb\xbf)?\s*"  # of UTF-8, which some editors put before a text
_POINTER = re.compile(
    _MARK
    + rb"version https?://(git-lfs\.github\.com/spec|hawser\.github\.com/spec|git-media\.io/v)"
)
_OID = re.compile(rb"(?:^|[\r\n])oid sha256:([0-9a-f]{64})(?=[\r\n]|$)")
_SIZE = re.compile(rb"(?:^|[\r\n])size ([0-9]{1,18})(?=[\r\n]|$)")
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+([^/].*)")
_TITLE = re.compile(rb"<(title|message)>([^<]*)<", re.IGNORECASE)
_AGAIN = "a server sent this in place of the file: download it again"
_TORCH = (
    "load it with torch.load(FILE, weights_only=True), save it with safetensors.torch.save_file"
)
_UNPACK = "unpack it first"
_OTHER_FORMAT = "zeroinit reads safetensors alone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """What a file is instead.

    Attributes:
        kind: a word for programs, stable between releases.
        what: it is, in words.
        hint: what to do about it.
        said: the beginning of its text, or what it names.
    """

    kind: str
    what: str
    hint: str
    said: str = ""


def _known(pattern: bytes, kind: str, what: str, hint: str) -> tuple[re.Pattern[bytes], Foreign]:
    flags = re.DOTALL | re.IGNORECASE if kind == "html" else re.DOTALL
    return re.compile(pattern, flags), Foreign(kind=kind, what=what, hint=hint)


FOREIGN = (
    _known(_MARK + rb"<(!doctype\s+html|html|head|!--)", "html", "a web page", _AGAIN),
    _known(_MARK + rb"<(\?xml|error>)", "html", "XML, such as the error of a store", _AGAIN),
    # the first entry of an archive has a name, whose length stands at byte 26
    _known(
        rb"PK\x03\x04.{22}(?!\0\0)",
        "pickle",
        "a zip archive, such as torch.save writes",
        _TORCH,
    ),
    _known(rb"\x80[\x02-\x05]", "pickle", "a pickle, such as torch.save once wrote", _TORCH),
    _known(rb"\x1f\x8b", "compressed", "a gzip archive", _UNPACK),
    _known(rb"\xfd7zXZ\0", "compressed", "an xz archive", _UNPACK),
    _known(rb"\x28\xb5\x2f\xfd", "compressed", "a zstd archive", _UNPACK),
    _known(rb"BZh[1-9]1AY&SY", "compressed", "a bzip2 archive", _UNPACK),
    _known(rb"7z\xbc\xaf\x27\x1c", "compressed", "a 7-Zip archive", _UNPACK),
    _known(rb".{257}ustar", "compressed", "a tar archive", _UNPACK),
    _known(rb"GGUF", "gguf", "a GGUF file, which llama.cpp reads", _OTHER_FORMAT),
    _known(rb"\x89HDF\r\n\x1a\n", "hdf5", "an HDF5 file, such as Keras writes", _OTHER_FORMAT),
    # the format's version, then the producer's name, or the graph
    _known(
        rb"\x08[\x01-\x20](\x12[\x01-\x40][\x20-\x7e]|[\x1a\x3a\x42])",
        "onnx",
        "an ONNX model",
        _OTHER_FORMAT,
    ),
    _known(rb"\x93NUMPY", "npy", "an array of numpy", _OTHER_FORMAT),
    _known(
        _MARK + rb'[{\[]\s*["{\[]', "json", "JSON, such as the error that a server sends", _AGAIN
    ),
)
"""How other files begin, and what they are."""
_TEXT = Foreign(kind="text", what="plain text, such as the error that a server sends", hint=_AGAIN)
_TEXTUAL = {"json", "text"}
_NEVER_TEXT = (".safetensors", ".npy")  # of others, what is JSON or text may well be right


def recognised(path: Path) -> Foreign | None:
    """Recognise a file that is not what its name says by its first bytes.

    Raises:
        InputError: it cannot be read.
    """
    opening = read_part(path, 0, _OPENING_BYTES)
    if opening[4:9] == b"\0\0\0\0{":  # a header's length, which may look like a pickle, then JSON
        return None
    if _POINTER.match(opening):
        size = _SIZE.search(opening)
        return Foreign(
            kind="lfs-pointer",
            what="a Git LFS pointer in place of the file",
            hint="git lfs pull",
            said="" if size is None else f"its {int(size[1]):,} bytes are not here",
        )
    found = next((foreign for pattern, foreign in FOREIGN if pattern.match(opening)), None)
    if found is None and _is_text(opening):
        found = _TEXT
    if found is None or (found.kind in _TEXTUAL and path.suffix.lower() not in _NEVER_TEXT):
        return None
    if found.kind == "npy" and path.suffix.lower() == ".npy":
        return None
    said = _said(opening) if found.kind in (*_TEXTUAL, "html") else ""
    return Foreign(kind=found.kind, what=found.what, hint=found.hint, said=said)


def foreign(path: Path, sha256: str | None = None) -> Cause | None:
    """Guess what came in place of a checkpoint.

    Args:
        path: the file; one that is called .json may well begin like JSON.
        sha256: what it should have, if that is known.

    Raises:
        InputError: it cannot be read.
    """
    opening = read_part(path, 0, _OPENING_BYTES)
    if not opening:
        return Cause(kind="empty", text="a copy or download that never began: the file is empty")
    found = recognised(path)
    if found is None:
        return None
    if found.kind == "lfs-pointer":
        return _pointer(opening, found, sha256)
    return Cause(kind=found.kind, text=f"another file under this name: it begins like {found.what}")


def named(error: ZeroinitError) -> ZeroinitError:
    """Return the error that tells what a file is, in place of what is wrong with its contents.

    Another error, or one of a file that is what it should be, is returned as it is.
    """
    if isinstance(error, InputError | UsageError) and (url := _URL.match(error.where or "")):
        where = f"{url[1]}://{url[2]}"  # pathlib takes two slashes for one
        return InputError("a URL, not a file", where=where, hint="download it first")
    path, expected = _file_of(error)
    if path is None:
        return error
    with suppress(InputError, ValueError, OSError):  # `where` is no file, or can no longer be read
        found = recognised(path)
        if found is not None:
            more = f": {found.said}" if found.said else ""
            kind = InputError if isinstance(error, SpecError) else type(error)
            return kind(
                f"not {expected}", where=str(path), found=f"{found.what}{more}", hint=found.hint
            )
    return error


def _file_of(error: ZeroinitError) -> tuple[Path | None, str]:
    """Return the file whose contents an error is about, and what it should have been."""
    if isinstance(error, SpecError):
        return Path(error.faults[0].file), "a YAML spec"
    where = error.where
    if where is None:
        return None, ""
    match error:
        case CheckpointError():
            index = where.endswith(".json")
            return Path(where), "an index of shards" if index else "a safetensors file"
        case LockError(problem="not a TOML file" | "too large for a lock"):
            return Path(where), "a lock"
        case InputError(problem="not an array of numpy"):
            return Path(where), "an array of numpy"
    return None, ""


def _said(opening: bytes) -> str:
    """Write the title of a page, or the first line of a text."""
    title = _TITLE.search(opening)
    text = (
        (title[2] if title is not None else opening).decode(errors="replace").strip("\ufeff \r\n\t")
    )
    first = next(iter(text.splitlines()), "")
    return abridged(printable(first), _MOST_SAID)


def _is_text(opening: bytes) -> bool:
    """Tell whether all bytes are printable; the first eight bytes of a checkpoint never are."""
    text = opening.decode(errors="replace").removesuffix("\ufffd")  # the end may cut a character
    text = text.removeprefix("\ufeff")
    readable = all(letter.isprintable() or letter in "\t\r\n" for letter in text)
    return len(opening) >= _LEAST_TEXT and readable and "\ufffd" not in text


def _pointer(opening: bytes, found: Foreign, sha256: str | None) -> Cause:
    """Describe a Git LFS pointer, which names its object by SHA-256."""
    if sha256 is None:
        return Cause(kind=found.kind, text=found.what, hint=found.hint)
    oid = _OID.search(opening)
    locked = oid is not None and oid[1].decode() == sha256
    return Cause(
        kind=found.kind,
        text=f"{found.what}; it points to " + ("these very bytes" if locked else "other bytes"),
        hint=found.hint if locked else None,
    )

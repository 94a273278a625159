"""The names of a checkpoint's files in a folder of its own, and the list of their digests.

The store writes them and the lock checks its entries by them, so they belong to neither.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SUFFIX = ".safetensors"
MODEL = f"model{SUFFIX}"
INDEX = f"{MODEL}.index.json"
CONFIG = "config.json"
"""What transformers reads beside a checkpoint."""
_FAMILY = re.compile(r"model(-[0-9]{5,}-of-[0-9]{5,})?\.safetensors(\.index\.json)?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDigest:
    """One file of a checkpoint: its name, the SHA-256 of its bytes, and their number."""

    name: str
    sha256: str
    size: int


def shard_name(number: int, count: int) -> str:
    """Name the file of one shard, counted from 1, as huggingface_hub and transformers do."""
    return f"model-{number:05d}-of-{count:05d}{SUFFIX}"


def file_names(shards: int) -> tuple[str, ...]:
    """Name all files of a checkpoint: its shards and their index, or one file without an index."""
    if shards == 1:
        return (MODEL,)
    return (*(shard_name(number, shards) for number in range(1, shards + 1)), INDEX)


def is_of_family(name: str) -> bool:
    """Tell whether a loader could take a file of this name for a part of a folder's checkpoint."""
    return _FAMILY.fullmatch(name) is not None


def digests_of(texts: Mapping[str, bytes]) -> tuple[FileDigest, ...]:
    """List the digests of files whose bytes are at hand, by name."""
    import hashlib  # which --help can do without, for its speed

    return tuple(
        FileDigest(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        for name, data in texts.items()
    )


def sha256sum_line(name: str, sha256: str) -> bytes:
    r"""Write `<hex>  <name>\n`; a name with \, LF or CR is escaped as GNU sha256sum does."""
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != raw else b""
    return mark + sha256.encode() + b"  " + escaped + b"\n"


def sha256sum_list(files: Iterable[tuple[str, str]]) -> bytes:
    """Write what `sha256sum` prints for files, given as (name, SHA-256) in order."""
    return b"".join(sha256sum_line(name, sha256) for name, sha256 in files)


def sha256sum_digest(files: Iterable[tuple[str, str]]) -> str:
    """Compute one SHA-256 for several files: that of the list of their digests."""
    import hashlib  # which --help can do without, for its speed

    return hashlib.sha256(sha256sum_list(files)).hexdigest()

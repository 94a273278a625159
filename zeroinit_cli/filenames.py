"""The names of a checkpoint's files in a folder of its own, and the list of their digests."""

import hashlib
import os
import re
from collections.abc import Iterable

MODEL = "model.safetensors"
INDEX = f"{MODEL}.index.json"
SUMS = f"{MODEL}.sha256"
_FAMILY = re.compile(r"model(-[0-9]{5,}-of-[0-9]{5,})?\.safetensors(\.index\.json)?", re.ASCII)


def shard_name(number: int, count: int) -> str:
    """The file of one shard, counted from 1, as huggingface_hub and transformers call it."""
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def file_names(shards: int) -> tuple[str, ...]:
    """All files of a checkpoint: its shards and their index, or one file that needs none."""
    if shards == 1:
        return (MODEL,)
    return (*(shard_name(number, shards) for number in range(1, shards + 1)), INDEX)


def is_of_family(name: str) -> bool:
    """Whether a loader could take a file of this name for a part of a folder's checkpoint."""
    return _FAMILY.fullmatch(name) is not None


def sum_line(name: str, sha256: str) -> bytes:
    r"""`<hex>  <name>\n`; a name with \, LF or CR is escaped as GNU sha256sum does."""
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != raw else b""
    return mark + sha256.encode() + b"  " + escaped + b"\n"


def sums(files: Iterable[tuple[str, str]]) -> bytes:
    """What `sha256sum` prints of files: (name, SHA-256) of each, in the order given."""
    return b"".join(sum_line(name, sha256) for name, sha256 in files)


def sums_sha256(files: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 for several files: that of the list of theirs."""
    return hashlib.sha256(sums(files)).hexdigest()

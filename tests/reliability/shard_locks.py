"""Change the lock and the list of sums of a folder with shards, and count what is accepted."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.reliability import lock_mutants
from tests.reliability.rows import Row, all_said, by_sha256sum, digests, judge_lock, some
from tests.reliability.small import (
    FOLDER,
    OPTIONS,
    SHARD_SIZE,
    SIZES,
    SUMS,
    answered,
    command,
    judges,
)
from zeroinit_cli.lock import LOCK_NAME, LockEntry, read_lock

LOCK_CLASSES = (
    "each field of the lock of shards edited, left out, given twice",
    "several fields at once, so that the shards still add up",
    "the lock of shards of other options",
    "each byte of the lock of shards, some values",
)
SUMS_CLASSES = (
    "each byte of the sums of shards, some values",
    "lines of the sums of shards left out, or made comments",
)


def folder_lock_rows(*, quick: bool) -> Iterator[Row]:
    """Edits of the lock of shards: by field, several at once, by byte, and one of other options."""
    lock = Path(FOLDER) / LOCK_NAME
    text, judging = lock.read_bytes(), judges(folder=FOLDER)
    asked = {
        "`verify`": (judging["`verify`"], _said),
        "`verify --hash-only`": (judging["`verify --hash-only`"], _hashed),
    }
    edits: tuple[Iterable[bytes], ...] = (
        (edited.encode() for edited in lock_mutants.folder_fields(text.decode())),
        (edited.encode() for edited in lock_mutants.consistent(text.decode())),
        _other_locks(text),
        lock_mutants.bytes_of(text, 4),
    )
    for name, changes in zip(LOCK_CLASSES, edits, strict=True):
        row = Row(name=name)
        for after in some(changes, quick):
            judge_lock(row, lock, after, asked)
        yield row


def _said(entry: LockEntry) -> Any:
    """All but how the size of a shard is put: another that cuts the same files says the same."""
    said = all_said(entry)
    if size := said["options"].pop("max_shard_size"):
        said["options"]["cut"] = _cut(size)
    return said


@lru_cache
def _cut(size: str) -> str:
    return answered("digest", "net.yaml", "--max-shard-size", size)[1]


def _hashed(entry: LockEntry) -> Any:
    """What is read of an entry without its source."""
    return entry.path, entry.sha256, entry.size, entry.shard


def _other_locks(text: bytes) -> Iterator[bytes]:
    """True ones of other checkpoints."""
    sized = [("--max-shard-size", SHARD_SIZE, *options) for options in OPTIONS]
    for options in (*sized, *(("--max-shard-size", size) for size in SIZES), ()):
        code = command("generate", "net.yaml", "-o", "other/", *options)
        if code:
            raise RuntimeError(f"generate ended with {code}")
        other = (Path("other") / LOCK_NAME).read_bytes()
        shutil.rmtree("other")
        if other != text:
            yield other


def sums_rows(*, quick: bool) -> Iterator[Row]:
    """Edits of the list of sums: sha256sum judges what it says, and the lock whether it is whole.

    To sha256sum a file is fine that no line is about, so that only the lock tells of a line that
    is gone, or begins with the sign of a comment.
    """
    sums = Path(FOLDER) / SUMS
    before, by_tool = sums.read_bytes(), {"`sha256sum -c`": by_sha256sum(sums)}
    by_lock = {"its digest in the lock": lambda: _differs(sums)}
    edited, cut = (Row(name=name) for name in SUMS_CLASSES)
    changes = some(lock_mutants.bytes_of(before, 4), quick)
    for after in (*changes, before[:-1], before * 2, *lock_mutants.lists_cut(before)):
        sums.write_bytes(after)
        left = {each for each in digests(after) if not each[0].startswith(b"#")}
        row = cut if left < digests(before) else edited
        row.tried += 1
        if left == digests(before):
            row.meaningless += 1
        else:
            row.ask(by_lock if row is cut else by_tool)
    sums.write_bytes(before)
    yield from (edited, cut)


def _differs(sums: Path) -> int:
    [entry] = read_lock(sums.parent / LOCK_NAME).checkpoint
    return int(hashlib.sha256(sums.read_bytes()).hexdigest() != entry.sha256)

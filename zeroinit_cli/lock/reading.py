"""Read a lock that anybody may have written: every field validated, every fault named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from zeroinit_cli.errors import LockError
from zeroinit_cli.files.reading import opened, read_exactly
from zeroinit_cli.lock.entries import VERSION, Lock

MOST_LOCK_BYTES = 16_000_000
"""A lock larger than this is no lock: some 30,000 checkpoints."""


def read_lock(path: Path) -> Lock:
    """A lock from disk, every field validated.

    Raises:
        InputError: the file cannot be read.
        LockError: it is no lock, or one that this version does not know.
    """
    with opened(path) as (file, size):
        if size > MOST_LOCK_BYTES:
            raise LockError(
                "too large for a lock",
                where=str(path),
                expected=f"at most {MOST_LOCK_BYTES} bytes",
                found=f"{size} bytes",
            )
        data = bytearray(size)
        del data[read_exactly(file, memoryview(data)) :]
    return parse_lock(bytes(data), str(path))


def parse_lock(data: bytes, where: str) -> Lock:
    """A lock from its bytes, every field validated; all that is wrong is said at once.

    Raises:
        LockError: it is no lock, or one that this version does not know.
    """
    try:
        table = tomlkit.parse(data.decode()).unwrap()
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise LockError(
            "not a TOML file", where=where, found=" ".join(str(error).split()), hint=_MEND
        ) from error
    version = table.get("version")
    if type(version) is not int or version != VERSION:
        raise LockError(
            "unknown lock version",
            where=f"{where}: version",
            expected=str(VERSION),
            found=repr(version),
            hint="a newer zeroinit may have written it",
        )
    try:
        return Lock.model_validate(table)
    except ValidationError as error:
        faults = sorted(_fault(table, fault) for fault in error.errors(include_url=False))
        raise LockError(
            f"{len(faults)} invalid field{'s' * (len(faults) > 1)}",
            where=where,
            found="\n    ".join(["", *faults]) if len(faults) > 1 else faults[0],
            hint=_MEND,
        ) from error


_MEND = "restore the lock from version control, or write it anew with zeroinit generate --force"


def _fault(table: Mapping[str, Any], fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"

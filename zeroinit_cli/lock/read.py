"""Reading a lock that anybody may have written: all fields are validated, all faults named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zeroinit_cli.errors import LockError, one_line, reason_of_unreadable, shown
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.lock.schema import LOCK_VERSION, Lock, LockEntry
from zeroinit_cli.lock.toml import parse_toml, table_lines
from zeroinit_cli.plans.plan import SCHEME
from zeroinit_cli.text import counted

MOST_LOCK_BYTES = 1_000_000
"""The largest lock: some 1,500 checkpoints."""
RESTORE = "restore the lock from version control, or remove it and run zeroinit generate"
_NEWER = "a newer zeroinit may have written it"
_OLDER = (
    "nothing of that scheme was released, and this zeroinit cannot make its bytes: "
    "remove the lock and run zeroinit generate again"
)
_OLD_SCHEMES = ("zero-0", "zero-1", "zero-2-draft")
_MOST_FAULTS = 10
_MOST_CHARACTERS = 200  # of one fault, since a stranger's value may have any length
_TOML_MESSAGES = {
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "tuple_type": "must be an array",
}


def read_lock(path: Path) -> Lock:
    """Read a lock from disk and validate every field.

    Raises:
        InputError: the file cannot be read.
        LockError: it is no lock, or one that this version does not know.
    """
    return parse_lock(_lock_bytes(path), str(path))


def read_entries(path: Path) -> list[tuple[LockEntry, int | None]]:
    """Read the entries of a lock from disk, each with the line that it begins on, if it has one.

    Raises:
        InputError: the file cannot be read.
        LockError: it is no lock, or one that this version does not know.
    """
    data = _lock_bytes(path)
    entries = parse_lock(data, str(path)).checkpoint
    lines: Sequence[int | None] = table_lines(data, "checkpoint")
    if len(lines) != len(entries):  # the entries are written inline, without `[[checkpoint]]` lines
        lines = [None] * len(entries)
    return list(zip(entries, lines, strict=True))


def _lock_bytes(path: Path) -> bytes:
    with opened(path) as (file, size):
        check_size(size, str(path))
        data = bytearray(size)
        del data[read_exactly(file, memoryview(data)) :]
    return bytes(data)


def check_size(size: int, where: str, hint: str = RESTORE) -> None:
    """Refuse a lock that would take too long to read.

    Raises:
        LockError: it is too large.
    """
    if size > MOST_LOCK_BYTES:
        raise LockError(
            "too large for a lock",
            where=where,
            expected=f"at most {MOST_LOCK_BYTES} bytes",
            found=f"{size} bytes",
            hint=hint,
        )


def parse_lock(data: bytes, where: str) -> Lock:
    """Parse a lock and validate every field; all faults are told at once.

    Raises:
        LockError: it is no lock, or one that this version does not know.
    """
    try:
        table = parse_toml(data)
    except ValueError as error:
        raise _not_toml(data, where, error) from error
    _check_version(table, where)
    _check_schemes(table, where)
    try:
        return Lock.model_validate(table)
    except ValidationError as error:
        raise _invalid(error, where) from error


def _not_toml(data: bytes, where: str, error: ValueError) -> LockError:
    """Explain why a text is no TOML: an unfinished merge needs another remedy than other faults."""
    for number, line in enumerate(data.splitlines(), 1):
        if line.startswith(b"<<<<<<< "):
            return LockError(
                "a merge that was not finished",
                where=f"{where}: line {number}",
                found=_cut_line(line.decode(errors="backslashreplace")),
                hint="keep the entries of both sides and remove the marks; of two for the same "
                "path keep one; then run zeroinit verify",
            )
    return LockError(
        "not a TOML file", where=where, found=_cut_line(reason_of_unreadable(error)), hint=RESTORE
    )


def _check_version(table: Mapping[str, Any], where: str) -> None:
    version = table.get("version")
    number = version if type(version) is int else 0  # true is no number
    if number == LOCK_VERSION:
        return
    raise LockError(
        "unknown lock version",
        where=f"{where}: version",
        expected=str(LOCK_VERSION),
        found=shown(version) if "version" in table else "no version",
        hint=_NEWER if number > LOCK_VERSION else RESTORE,
    )


def _check_schemes(table: Mapping[str, Any], where: str) -> None:
    """Refuse another scheme before its entry's fields, which need not be those of this one."""
    entries = table.get("checkpoint")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        fields = entry if isinstance(entry, Mapping) else {}
        scheme = fields.get("scheme")
        if not isinstance(scheme, str) or scheme == SCHEME:
            continue
        raise LockError(
            "a checkpoint of another scheme",
            where=f"{where}: checkpoint.{number}",
            expected=f"{SCHEME}, which this zeroinit makes",
            found=shown(scheme),
            hint=_OLDER if scheme in _OLD_SCHEMES else _NEWER,
        )


def _invalid(error: ValidationError, where: str) -> LockError:
    """List the wrong fields in the order of the file, up to a number of faults."""
    faults = sorted(
        error.errors(include_url=False, include_context=False, include_input=False), key=_sort_key
    )
    lines = [_describe(fault) for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        lines.append(f"and {len(faults) - _MOST_FAULTS} more")
    return LockError(
        counted(len(faults), "invalid field"),
        where=where,
        found="\n    ".join(["", *lines]) if len(lines) > 1 else lines[0],
        hint=RESTORE,
    )


def _sort_key(fault: Any) -> list[tuple[bool, int | str]]:
    """Return a fault's sort key: the tenth checkpoint after the second, a table's keys by name."""
    return [(isinstance(part, str), part) for part in fault["loc"]]


def _describe(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    message = _TOML_MESSAGES.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"{_cut_line(place)}: {_cut_line(message[0].lower() + message[1:])}"


def _cut_line(text: str) -> str:
    return one_line(text, _MOST_CHARACTERS)

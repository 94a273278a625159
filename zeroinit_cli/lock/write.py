"""Write a lock: the same entries give the same text, and two runs at once lose none of them.

This stands apart from `lock.read` because tomlkit and filelock take time to import: what only reads
locks does without them.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from zeroinit_cli.atomic import guarded, replacing, write_all
from zeroinit_cli.lock.read import check_size, read_lock
from zeroinit_cli.lock.schema import LOCK_VERSION, LockedShard, LockEntry
from zeroinit_cli.options import SHARD_SIZE

_HEADER = "Written by zeroinit; check with: zeroinit verify"
_MAKE_ROOM = "record it in another lock with --lock, or remove entries from this one"


def render_lock(entries: Iterable[LockEntry]) -> str:
    """Write the lock's text: entries sorted by path, keys in the order that people read them."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEADER))
    document.add("version", tomlkit.item(LOCK_VERSION))
    tables = tomlkit.aot()
    for entry in sorted(entries, key=lambda entry: entry.path):
        tables.append(_render_entry(entry))
    document.add("checkpoint", tables)
    return tomlkit.dumps(document)


def _render_entry(entry: LockEntry) -> Any:
    table = tomlkit.table()
    fields = entry.model_dump(by_alias=True, exclude={"shard", "beside"})
    if not entry.options.overrides:
        del fields["options"]["overrides"]
    if entry.options.max_shard_size is None:
        del fields["options"][SHARD_SIZE]
    for key, value in fields.items():
        if (key in ("arguments", "inputs") and not value) or value is None:
            continue
        if isinstance(value, dict):
            table.add(key, _inline(value))
        else:
            table.add(key, list(value) if isinstance(value, tuple) else value)
    for key, files in (("shard", entry.shard), ("beside", entry.beside)):
        if files:
            tables = tomlkit.aot()
            for file in files:
                tables.append(_render_shard(file))
            table.add(key, tables)
    return table


def _render_shard(shard: LockedShard) -> Any:
    table = tomlkit.table()
    for key, value in shard.model_dump().items():
        table.add(key, value)
    return table


def _inline(values: Mapping[str, Any]) -> Any:
    table = tomlkit.inline_table()
    for key, value in sorted(values.items()):
        table.append(key, list(value) if isinstance(value, tuple) else value)
    return table


def update_lock(
    path: Path,
    entry: LockEntry,
    waiting: Callable[[str], None] = lambda message: None,
    *,
    instead_of: Iterable[str] = (),
) -> None:
    """Put an entry into a lock, in place of the one with its path; the others stay.

    The lock is read again under the guard, so that two runs at once lose neither entry.

    Args:
        path: of the lock.
        entry: what is recorded.
        waiting: told when another process holds the lock for a while.
        instead_of: paths of further entries that it replaces.

    Raises:
        LockError: what is there is no lock.
        InputError: it cannot be read.
        OutputError: it cannot be written.
    """
    with guarded(path, waiting=waiting):
        data = _with_entry(path, entry, instead_of)
        with replacing(path) as file:
            write_all(file, data)


def check_room(path: Path, entry: LockEntry, instead_of: Iterable[str] = ()) -> None:
    """Refuse an entry that would make the lock too large, before the work for it is done.

    Raises:
        LockError: it would be, or what is there is no lock.
        InputError: it cannot be read.
    """
    _with_entry(path, entry, instead_of)


def _with_entry(path: Path, entry: LockEntry, instead_of: Iterable[str]) -> bytes:
    gone = {entry.path, *instead_of}
    entries = read_lock(path).checkpoint if path.exists() else ()
    kept = [other for other in entries if other.path not in gone]
    data = render_lock([*kept, entry]).encode()
    check_size(len(data), str(path), _MAKE_ROOM)
    return data

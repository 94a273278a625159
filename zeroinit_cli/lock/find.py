"""Find the locked checkpoints that a path means: all of a lock, a folder's, or one file's."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.errors import InputError, LockError, pasted
from zeroinit_cli.files import is_there, opened, outside, read_exactly
from zeroinit_cli.lock.read import read_entries
from zeroinit_cli.lock.schema import LOCK_NAME, OPENING, LockEntry

_LOCK_SUFFIX = Path(LOCK_NAME).suffix
_MOST_FOLDERS = 1000  # searched for locks, so that a hint never takes minutes
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A checkpoint that a lock records.

    Attributes:
        lock: the lock's path.
        entry: what it says.
        line: where in the lock the entry begins; None if it has no line of its own.
    """

    lock: Path
    entry: LockEntry
    line: int | None = None

    @property
    def path(self) -> Path:
        """Where the file is, or should be; of a sharded checkpoint, its folder."""
        return self.lock.parent / self.entry.path

    def check_links(self) -> None:
        """Refuse a link that leads out of the lock's folder.

        Raises:
            LockError: it does.
        """
        folder = os.path.realpath(self.lock.parent)
        for file in self.entry.files:
            path = outside(self.lock.parent / file, self.lock.parent)
            if path is not None:
                raise LockError(
                    "a checkpoint's path leaves the lock's folder",
                    where=str(self.lock),
                    expected=f"a file within {folder}",
                    found=f"{file}, which is {path}",
                    hint="zeroinit verify --hash-only holds files against the locked digests "
                    "wherever links lead; to check all, copy what they lead to: "
                    f"cp -rL {pasted(self.lock.parent)} FOLDER",
                )


def locked_checkpoints(paths: Sequence[Path]) -> list[Locked]:
    """Find the checkpoints that `verify` is asked to check: of a lock, a folder, or single files.

    A checkpoint that is named twice, as by its lock and by its own path, is checked once.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    found = (locked for path in paths or [Path()] for locked in _meant_by(path))
    once: dict[tuple[str, str], Locked] = {}
    for locked in found:
        once.setdefault((os.path.realpath(locked.lock), locked.entry.path), locked)
    return list(once.values())


def _meant_by(path: Path) -> list[Locked]:
    if is_there(path) and path.is_dir():
        return _recorded_beside(path) or _all_of(_lock_in(path))
    if path.name == LOCK_NAME:
        return _all_of(_lock_in(path.parent))
    if path.suffix == _LOCK_SUFFIX or _starts_as_lock(path):
        return _all_of(path)
    lock = _lock_in(path.parent)
    for locked in _recorded_in(lock):
        if path.name in (locked.entry.path, *locked.entry.files):
            return [locked]
    raise LockError(
        f"no entry for {path.name!r}",
        where=str(lock),
        hint="lock it with zeroinit generate, or give --source",
    )


def _recorded_beside(folder: Path) -> list[Locked]:
    """Find a folder without a lock of its own as a sharded checkpoint in the lock beside it."""
    name, lock = folder.name, folder.parent / LOCK_NAME
    if not name or is_there(folder / LOCK_NAME) or not is_there(lock):
        return []
    return [locked for locked in _recorded_in(lock) if locked.entry.path == f"{name}/"]


def _all_of(lock: Path) -> list[Locked]:
    recorded = _recorded_in(lock)
    if not recorded:
        raise LockError("no checkpoint is locked", where=str(lock))
    return recorded


def _recorded_in(lock: Path) -> list[Locked]:
    return [Locked(lock=lock, entry=entry, line=line) for entry, line in read_entries(lock)]


def _starts_as_lock(path: Path) -> bool:
    """Tell whether a file begins as every lock does; as a checkpoint it would be too large."""
    start = bytearray(len(OPENING))
    try:
        with opened(path) as (file, _):
            read_exactly(file, memoryview(start))
    except InputError:
        return False  # reading it as a checkpoint tells why it cannot be read
    return bytes(start) == OPENING


def _lock_in(folder: Path) -> Path:
    lock = folder / LOCK_NAME
    if is_there(lock):
        return lock
    if not folder.is_dir():
        there = is_there(folder)
        raise InputError("not a folder" if there else "no such folder", where=str(folder))
    below = sorted(str(found) for found in _locks_below(folder))
    more = ", ..." if len(below) > _MOST_NAMED else ""
    raise LockError(
        f"no {LOCK_NAME}",
        where=str(folder.absolute()),
        found=f"locks below it: {', '.join(below[:_MOST_NAMED])}{more}" if below else None,
        hint=f"zeroinit verify {pasted(Path(below[0]).parent)}"
        if below
        else "zeroinit generate SOURCE -o FILE writes one",
    )


def _locks_below(folder: Path) -> Iterator[Path]:
    """Find locks in the folders below, the nearest first, not in hidden folders or behind links."""
    folders = [folder]
    for count, parent in enumerate(folders):  # the list grows while it is walked
        if count >= _MOST_FOLDERS:
            return
        with suppress(OSError):  # a closed folder has no locks to name
            if parent != folder and (parent / LOCK_NAME).is_file():
                yield parent / LOCK_NAME
            with os.scandir(parent) as entries:
                names = sorted(entry.name for entry in entries if _is_visible_folder(entry))
            folders += [parent / name for name in names]


def _is_visible_folder(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)

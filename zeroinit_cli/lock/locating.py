"""Find the locked checkpoints that a path means: a folder's, or one file's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.errors import LockError
from zeroinit_cli.lock.entries import LOCK_NAME, LockEntry
from zeroinit_cli.lock.reading import read_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A checkpoint that a lock records.

    Attributes:
        path: where the file is, or should be.
        entry: what the lock says of it.
    """

    path: Path
    entry: LockEntry


def locked_checkpoints(paths: Sequence[Path]) -> list[Locked]:
    """What `verify` is asked to check: every entry of the lock here, of a folder's, or of files.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    found: list[Locked] = []
    for path in paths or [Path()]:
        if path.is_dir():
            lock = _lock_in(path)
            entries = read_lock(lock).checkpoint
        else:
            lock = _lock_in(path.parent)
            entries = tuple(
                entry for entry in read_lock(lock).checkpoint if entry.path == path.name
            )
            if not entries:
                raise LockError(
                    f"no entry for {path.name!r}",
                    where=str(lock),
                    hint="lock it with zeroinit generate, or give --source",
                )
        if not entries:
            raise LockError("no checkpoint is locked", where=str(lock))
        found += [Locked(path=_within(lock, entry.path), entry=entry) for entry in entries]
    return found


def _lock_in(folder: Path) -> Path:
    lock = folder / LOCK_NAME
    if lock.exists():
        return lock
    below = sorted(str(found) for found in folder.glob(f"*/**/{LOCK_NAME}"))[:5]
    raise LockError(
        f"no {LOCK_NAME}",
        where=str(folder.absolute()),
        found=f"locks below it: {', '.join(below)}" if below else None,
        hint=f"zeroinit verify {Path(below[0]).parent}"
        if below
        else "zeroinit generate SOURCE -o FILE writes one",
    )


def _within(lock: Path, relative: str) -> Path:
    """The path of a checkpoint, which no link may lead out of the lock's folder."""
    path = lock.parent / relative
    if not path.resolve().is_relative_to(lock.parent.resolve()):
        raise LockError(
            "a checkpoint's path leaves the lock's folder",
            where=str(lock),
            expected=f"a file within {lock.parent.resolve()}",
            found=f"{relative}, which is {path.resolve()}",
        )
    return path

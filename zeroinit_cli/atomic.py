"""Files that are there whole or not at all, whatever interrupts the writer.

A file is written as a hidden sibling, flushed to disk, and renamed over the old one. While it is
written, a guard file beside it is locked. A lock ends with its process: a guard that can be locked
belongs to a writer that was killed, and both the guard and its sibling are cleared. Files that
belong together are first written into a hidden folder, the stage, and moved out of it when all of
them are whole.
"""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from zeroinit_cli.errors import OutputError, reason_of

PART = ".zeroinit-part"
STAGE = ".zeroinit-stage"
GUARD = ".zeroinit-guard"
_PATIENCE = 1.0  # seconds before a person is told what we wait for


def is_reserved(path: Path) -> bool:
    """Tell whether a name is kept for unfinished files, which the next writer would clear."""
    return path.name.endswith((PART, STAGE, GUARD))


def check_replaceable(path: Path) -> None:
    """Refuse a path at which `guarded`, `staging` or `replacing` would fail.

    Raises:
        OutputError: the siblings' names are too long, or something stands in their place.
    """
    for suffix in (PART, GUARD, STAGE):
        sibling = _sibling(path, suffix)
        with reported_as_output(path), suppress(FileNotFoundError):
            if _is_obstacle(sibling, suffix):
                raise OutputError(
                    f"what is there keeps {path.name} from being written",
                    where=str(sibling),
                    hint="remove it",
                )


@contextmanager
def guarded(path: Path, *, waiting: Callable[[str], None] = lambda message: None) -> Iterator[None]:
    """Hold the right to replace `path`, after waiting for other holders, and clear old litter.

    Args:
        path: the file to be replaced; its folder exists.
        waiting: told once, in a sentence, when another process holds the right for a while.

    Raises:
        OutputError: the folder cannot be written.
    """
    lock = FileLock(_sibling(path, GUARD))
    try:
        with reported_as_output(path):
            path.parent.stat()  # filelock would make a folder that is missing
            _acquire(lock, path, waiting)
            _sweep(path.parent, except_for=Path(lock.lock_file))
            _clear(path.parent, f".{path.name}")
        yield
    finally:
        _drop(lock)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open an unbuffered file that replaces `path` if the block ends without an exception.

    The caller holds `guarded(path)`. The mode is that of the old file, or 0666 less the umask.

    Raises:
        OutputError: it cannot be written, flushed or renamed.
    """
    part = _sibling(path, PART)
    with reported_as_output(path):
        try:
            # O_EXCL: never through a link that someone put in the way.
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                yield file
                _keep_mode(path, descriptor)
                os.fsync(descriptor)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Make an empty folder beside `path`, for files to be moved out of it; clear it at the end.

    The caller holds `guarded(path)`.

    Raises:
        OutputError: it cannot be made or cleared, or the system refuses what the block does.
    """
    stage = _sibling(path, STAGE)
    with reported_as_output(path):
        try:
            stage.mkdir()
            # a umask such as 0177 would keep its own maker out
            stage.chmod(stat.S_IMODE(stage.stat().st_mode) | stat.S_IRWXU)
            yield stage
        finally:
            _clear_stage(stage)


def move(source: Path, target: Path) -> None:
    """Put a whole file, flushed to disk, in the place of another, and give it the other's mode."""
    with suppress(FileNotFoundError):
        source.chmod(stat.S_IMODE(target.stat().st_mode))
    source.replace(target)


@contextmanager
def reported_as_output(path: Path) -> Iterator[None]:
    """Turn the system's errors into ours, which name the file that a person asked for.

    Raises:
        OutputError: for any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            "cannot write the file", where=str(path), found=reason_of(error)
        ) from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block, which should be a short one.

    A handler of ours takes them. Blocking them in this thread would not do: the system would give
    them to another thread, such as one of numpy's, and Python would still answer them here.
    Handlers can only be set in the main thread; in other threads no signal interrupts the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, signal.SIG_DFL if action is None else action)
        if arrived:
            signal.raise_signal(arrived[0])


def write_all(file: IO[bytes], data: bytes | memoryview) -> None:
    """Write to an unbuffered file, which may take only a part at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def flush_folder(path: Path) -> None:
    """Make renames durable, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


def _is_obstacle(sibling: Path, suffix: str) -> bool:
    """Tell whether a writer could neither clear nor use what stands at a sibling's path.

    Raises:
        OSError: nothing is there, or it cannot be told.
    """
    mode = sibling.lstat().st_mode
    if suffix == STAGE:  # cleared with the files in it, but not with folders
        return stat.S_ISDIR(mode) and any(
            entry.is_dir() and not entry.is_symlink() for entry in sibling.iterdir()
        )
    # a part is removed, unless it is a folder; a guard is opened
    return stat.S_ISDIR(mode) or (suffix == GUARD and not stat.S_ISREG(mode))


def _acquire(lock: FileLock, path: Path, waiting: Callable[[str], None]) -> None:
    try:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            # In a folder where no file can be made (/proc) filelock waits as for a held guard.
            os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, 0o666))
            waiting(f"waiting for another zeroinit that is writing {path}")
            lock.acquire()
    except PermissionError as error:
        if not Path(lock.lock_file).exists():
            raise  # the folder is closed
        raise OutputError(
            "a guard of another account is there, as if it were writing",
            where=str(lock.lock_file),
            found=reason_of(error),
            hint="remove it, if no other zeroinit is running",
        ) from error


def _drop(lock: FileLock) -> None:
    """Remove the guard while it is still ours, then release it.

    A process that had opened the removed file finds that it has no name any more and starts again
    (filelock compares the link count), so two never hold the same guard.
    """
    if lock.is_locked:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _sweep(folder: Path, *, except_for: Path) -> None:
    """Clear what killed writers left in the folder."""
    names = sorted(
        {
            entry.name.removesuffix(suffix)
            for suffix in (GUARD, PART, STAGE)
            for entry in folder.glob(f".*{suffix}")
        }
    )
    for name in names:
        guard = folder / f"{name}{GUARD}"
        if guard == except_for:
            continue
        lock = FileLock(guard)
        with suppress(OSError, Timeout):  # a living writer's, or not ours to remove
            lock.acquire(timeout=0)
            _clear(folder, name)
        _drop(lock)


def _clear(folder: Path, name: str) -> None:
    (folder / f"{name}{PART}").unlink(missing_ok=True)
    _clear_stage(folder / f"{name}{STAGE}")


def _clear_stage(stage: Path) -> None:
    """Remove a stage and the files in it; a folder in it is not ours, and then both stay."""
    if stage.is_symlink() or not stage.is_dir():
        stage.unlink(missing_ok=True)
        return
    for path in stage.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
    stage.rmdir()


def _keep_mode(path: Path, descriptor: int) -> None:
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if hasattr(os, "fchmod"):  # not on Windows before 3.13, whose modes mean little
            os.fchmod(descriptor, mode)

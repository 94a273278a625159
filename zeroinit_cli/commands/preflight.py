"""Where a checkpoint and what belongs to it may be written: refused before any work is done."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from zeroinit_cli.atomic import check_replaceable, is_reserved, reported_as_output
from zeroinit_cli.errors import OutputError, UsageError, pasted
from zeroinit_cli.filenames import MODEL, SUMS, is_of_family
from zeroinit_cli.lock import LOCK_NAME, read_lock
from zeroinit_cli.lock.schema import plain_path
from zeroinit_cli.source import Source

_LOCK_SUFFIX = PurePath(LOCK_NAME).suffix


def check_output(output: Path) -> None:
    """Refuse what cannot become a checkpoint with its sidecar.

    Raises:
        UsageError: the path is no file's name, or a name that is kept for another use.
        OutputError: it cannot be written.
    """
    from zeroinit_cli.store.write import sidecar_path

    _check_name(output)
    check_place(output, "give the path that it points to, or remove it")
    _check_folder(output)
    check_place(sidecar_path(output), "remove it")


def check_folder(folder: Path) -> None:
    """Refuse what cannot become a folder with a checkpoint in it.

    Raises:
        UsageError: its name is kept for another use.
        OutputError: it cannot be written or made.
    """
    _check_reserved(folder, "--output")
    with reported_as_output(folder):
        there = folder.is_dir()
        if not there and (folder.is_symlink() or folder.exists()):
            raise OutputError("not a folder", where=str(folder))
    if not there:
        _check_folder(folder)
        return
    for name in (MODEL, SUMS):
        _check_folder(folder / name)
        check_place(folder / name, "give the folder that it points into, or remove it")


def check_document(path: Path, option: str, read: Iterable[Path], *, force: bool) -> None:
    """Refuse what cannot become a report or a picture.

    Args:
        path: where it is to be.
        option: that named it.
        read: files that are read for it, and may not be replaced by it.
        force: replace another file.

    Raises:
        UsageError: the path is no file's name, is kept for another use, or is one of those read.
        OutputError: it cannot be written, or a file is there.
    """
    if path.name in ("", ".", ".."):
        raise UsageError("no file name", where=option, expected="a path such as report.html")
    _check_reserved(path, option)
    check_place(path, "give the path that it points to, or remove it")
    _check_folder(path)
    with reported_as_output(path):
        if not path.exists():
            return
        if any(each.exists() and path.samefile(each) for each in read):
            raise UsageError(
                "what is read would be replaced",
                where=option,
                expected="a path of its own",
                found=str(path),
            )
    if not force:
        raise OutputError("a file is there", where=str(path), hint="--force replaces it")


def check_source(source: Source, output: Path, lock: Path | None) -> None:
    """Refuse to replace the spec that the checkpoint is made from.

    Raises:
        UsageError: the checkpoint or the lock would.
        OutputError: it cannot be told.
    """
    if source.spec is None:
        return
    for where, path in (("--output", output), ("--lock", lock)):
        if path is None:
            continue
        with reported_as_output(path):
            if path.exists() and path.samefile(source.name):
                raise UsageError(
                    "the spec itself would be replaced",
                    where=where,
                    expected="a path of its own",
                    found=str(path),
                )


def check_lock(output: Path, lock: Path) -> str:
    """Refuse what cannot be the lock that records a checkpoint.

    Returns:
        the checkpoint's path as the lock records it: relative to its folder, forward slashes.

    Raises:
        UsageError: the lock cannot name the checkpoint, or would replace it.
        OutputError: it cannot be written.
        LockError: what is there is no lock.
        InputError: it cannot be read.
    """
    from zeroinit_cli.store.write import sidecar_path

    _check_folder(lock)
    target = _absolute(output)
    if _absolute(lock) in (target, sidecar_path(target)):
        raise UsageError(
            "the lock would replace the checkpoint or its .sha256",
            where="--lock",
            expected=f"a path of its own, such as {LOCK_NAME}",
            found=str(lock),
        )
    _check_reserved(lock, "--lock")
    check_place(lock, "give the path that it points to, or remove it")
    relative = _relative(target, lock.parent.resolve())
    if lock.exists():
        read_lock(lock)
    return relative


def check_folder_lock(folder: Path, lock: Path) -> str:
    """Refuse what cannot be the lock that records a folder's checkpoint.

    Returns:
        what leads from the lock's folder to the checkpoint's files: empty, or with a slash at its
        end.

    Raises:
        UsageError: the lock cannot name the checkpoint, or would replace a part of it.
        OutputError: it cannot be written.
        LockError: what is there is no lock.
        InputError: it cannot be read.
    """
    within = lock.parent.resolve() == folder.resolve()
    if within and (is_of_family(lock.name) or lock.name == SUMS):
        raise UsageError(
            "the lock would replace the checkpoint or its .sha256",
            where="--lock",
            expected=f"a path of its own, such as {LOCK_NAME}",
            found=str(lock),
        )
    path = check_lock(folder / MODEL, lock)
    return path.removesuffix(MODEL)


def _check_name(output: Path) -> None:
    if output.name in ("", ".", ".."):
        raise UsageError(
            "no file name", where="--output", expected="a path such as init.safetensors"
        )
    if output.suffix == _LOCK_SUFFIX:
        which = "the" if output.name == LOCK_NAME else "a"
        raise UsageError(f"a checkpoint cannot be called like {which} lock", where=str(output))
    _check_reserved(output, "--output")


def _check_reserved(path: Path, where: str) -> None:
    if is_reserved(path):
        raise UsageError(
            "a name that is kept for unfinished files, which are cleared",
            where=where,
            found=str(path),
        )


def check_place(path: Path, about_links: str) -> None:
    """Refuse what a file may not or cannot replace.

    Raises:
        OutputError: a link, a folder, or no regular file is there, or it cannot be written.
    """
    with reported_as_output(path):
        if path.is_symlink():
            raise OutputError(
                "a symbolic link, which would be replaced by a file",
                where=str(path),
                hint=about_links,
            )
        if path.is_dir():
            raise OutputError("a folder of this name is there", where=str(path))
        if path.exists() and not path.is_file():
            raise OutputError("not a regular file", where=str(path))
        if path.parent.is_dir():
            check_replaceable(path)


def _check_folder(path: Path) -> None:
    folder = path.parent
    with reported_as_output(path):
        if not folder.is_dir():
            if folder.is_symlink() or folder.exists():
                raise OutputError("not a folder", where=str(folder))
            hint = f"mkdir -p {pasted(folder)}"
            raise OutputError("no such folder", where=str(folder), hint=hint)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS if _is_read_only(folder) else errno.EACCES, "")


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _absolute(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _relative(target: Path, folder: Path) -> str:
    if not target.is_relative_to(folder):
        raise UsageError(
            "the checkpoint lies outside the lock's folder",
            where="--lock",
            expected=f"a path within {folder}",
            found=str(target),
            hint="use a lock in a folder above both, or --no-lock",
        )
    relative = PurePath(target.relative_to(folder)).as_posix()
    try:
        return plain_path(relative)
    except ValueError as error:
        unwritable = not relative.isprintable() or "\\" in relative
        raise UsageError(
            "a name that a lock cannot hold",
            where="--output",
            expected="printable characters without a backslash"
            if unwritable
            else "no letter and colon at its start, which Windows takes for a drive",
            found=repr(relative),
            hint="choose another name, or --no-lock",
        ) from error

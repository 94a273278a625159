"""Checks of the paths that a command is to write, made before any work is done."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from zeroinit_cli.atomic import check_replaceable, is_reserved, reported_as_output
from zeroinit_cli.commands.location import Location
from zeroinit_cli.errors import OutputError, UsageError, pasted
from zeroinit_cli.filenames import CONFIG, is_of_family
from zeroinit_cli.lock import LOCK_NAME, read_lock
from zeroinit_cli.options import Options
from zeroinit_cli.source import Source

_LOCK_SUFFIX = PurePath(LOCK_NAME).suffix
_POINTED_TO = "give the path that it points to, or remove it"
_INTO_FOLDER = "give the folder that it points into, or remove it"


def check_output(location: Location) -> None:
    """Refuse a location where the checkpoint and its list of digests cannot be written.

    Raises:
        UsageError: the path is no file's name, or a name that is kept for another use.
        OutputError: it cannot be written or made.
    """
    if not location.own_folder:
        _check_file_name(location.path)
    else:
        _check_reserved(location.path, "--output")
        if not _folder_is_there(location.path):
            _check_parent(location.path)
            return
    about_links, about_sums = _INTO_FOLDER, _INTO_FOLDER
    if not location.own_folder:
        about_links, about_sums = _POINTED_TO, "remove it"
    _check_place(location.file, about_links)
    _check_parent(location.file)
    _check_place(location.sha256sum_file, about_sums)


def check_replaced_files(location: Location, names: Iterable[str]) -> None:
    """Refuse to replace files in a folder of its own that may not or cannot be replaced.

    Raises:
        OutputError: a link, a folder, or no regular file is there, or it cannot be written.
    """
    if location.own_folder:
        for path in (*(location.folder / name for name in names), location.sha256sum_file):
            _check_place(path, _INTO_FOLDER)


def check_document(path: Path, option: str, read: Iterable[Path], *, force: bool) -> None:
    """Refuse a path where a report or a picture cannot be written.

    Args:
        path: where it is to be.
        option: that named it.
        read: files that are read for it, and may not be replaced by it.
        force: replace another file.

    Raises:
        UsageError: the path is no file's name, is kept for another use, or is one of those read.
        OutputError: it cannot be written, or a file is there.
    """
    if path.name in ("", ".", "..", "-"):
        raise UsageError("no file name", where=option, expected="a path such as report.html")
    _check_reserved(path, option)
    _check_place(path, _POINTED_TO)
    _check_parent(path)
    with reported_as_output(path):
        if not path.exists():
            return
        if any(other.exists() and path.samefile(other) for other in read):
            raise UsageError(
                "what is read would be replaced",
                where=option,
                expected="a path of its own",
                found=str(path),
            )
    if not force:
        raise OutputError("a file is there", where=str(path), hint="--force replaces it")


def check_source_is_kept(source: Source, location: Location, lock: Path | None) -> None:
    """Refuse to replace the file that describes the source.

    Raises:
        UsageError: the checkpoint or the lock would.
        OutputError: it cannot be told.
    """
    for file in source.files:
        what = "configuration" if file.name == CONFIG else "spec"
        for where, path in (("--output", location.file), ("--lock", lock)):
            if path is not None and _is_same(path, file):
                raise UsageError(
                    f"the {what} itself would be replaced",
                    where=where,
                    expected="a path of its own",
                    found=str(path),
                )
        beside = file.name == CONFIG and (location.own_folder or is_of_family(location.file.name))
        if beside and _is_same(location.folder, file.parent):
            raise UsageError(
                "the source's own folder, whose configuration would be replaced",
                where="--output",
                expected="a folder of its own",
                found=str(location.path),
            )


def _is_same(path: Path, other: Path) -> bool:
    with reported_as_output(path):
        return path.exists() and path.samefile(other)


def check_lock(location: Location, lock: Path) -> None:
    """Refuse a path that cannot be the lock of a checkpoint.

    Args:
        location: of the checkpoint; its folder is there.
        lock: the lock's path.

    Raises:
        UsageError: the lock cannot name the checkpoint, or would replace a part of it.
        OutputError: it cannot be written.
        LockError: what is there is no lock.
        InputError: it cannot be read.
    """
    _check_parent(lock)
    taken = lock.name in (location.file.name, location.sha256sum_file.name)
    if location.own_folder:
        taken = taken or is_of_family(lock.name)
    if taken and lock.parent.resolve() == location.folder.resolve():
        raise UsageError(
            "the lock would replace the checkpoint or its .sha256",
            where="--lock",
            expected=f"a path of its own, such as {LOCK_NAME}",
            found=str(lock),
        )
    _check_reserved(lock, "--lock")
    _check_place(lock, _POINTED_TO)
    location.path_in(lock)
    if lock.exists():
        read_lock(lock)


def check_recordable(source: Source, options: Options, lock: Path) -> None:
    """Refuse a source and options that a lock cannot hold.

    Raises:
        UsageError: bytes of the command line are no text, or the spec has no path from the lock.
    """
    words = [("--override", str(override)) for override in options.overrides]
    for key, value in source.arguments.items():
        parts = value if isinstance(value, tuple) else (value,)
        words += [(f"--set {key}", part) for part in parts if isinstance(part, str)]
    for where, word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                "no text that a lock can hold",
                where=where,
                expected="UTF-8",
                found=repr(word),
                hint="write it in UTF-8, or --no-lock",
            ) from error
    source.recorded_in(lock.parent)


def _check_place(path: Path, about_links: str) -> None:
    """Refuse a path that holds something which a file may not or cannot replace.

    Args:
        path: where the file is to be.
        about_links: what to do where a link is there.

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


def _check_file_name(output: Path) -> None:
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


def _folder_is_there(path: Path) -> bool:
    """Tell whether a folder is there already, where nothing else may be.

    Raises:
        OutputError: something else is there.
    """
    with reported_as_output(path):
        there = path.is_dir()
        if not there and (path.is_symlink() or path.exists()):
            raise OutputError("not a folder", where=str(path))
    return there


def _check_parent(path: Path) -> None:
    """Refuse a path in whose folder no file can be made."""
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

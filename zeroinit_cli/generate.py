"""Source -> plan -> checkpoint, sidecar, lock entry.

Everything that can be checked is checked before anything is written.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from zeroinit_cli.errors import LockError, OutputError, UsageError
from zeroinit_cli.files.replacing import guarded, reported_as_output
from zeroinit_cli.lock import LOCK_NAME, make_entry, read_lock, update_lock
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """What a run left behind.

    Attributes:
        path: the checkpoint.
        sha256: of its bytes.
        size: in bytes.
        tensors: how many it holds.
        already_there: the file had exactly these bytes and was left alone.
    """

    path: Path
    sha256: str
    size: int
    tensors: int
    already_there: bool


def generate(
    source: Source,
    options: Options,
    output: Path,
    *,
    lock: Path | None,
    force: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> Generated:
    """Write a checkpoint and what belongs to it.

    Args:
        source: the architecture.
        options: what else decides the bytes.
        output: the checkpoint's path; its folder exists.
        lock: the lock to record it in; None for none.
        force: replace another file at `output`.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Raises:
        ZeroinitError: any of its kinds; then nothing was written, or the checkpoint is whole and
            the message says what is missing beside it.
    """
    check_output(output)
    locked_path = _locked_path(output, lock)
    if lock is not None and lock.exists():
        read_lock(lock)  # an unreadable lock is said before the work, not after

    from zeroinit_cli.architectures import plan_source, versions

    plan = plan_source(source, options)
    result = write_files(plan, output, force=force, progress=progress, say=say)
    if lock is not None:
        entry = make_entry(
            path=locked_path,
            source=source,
            options=options,
            plan_digest=plan.digest(),
            sha256=result.sha256,
            size=result.size,
            tensors=result.tensors,
            built_with=versions(),
        )
        update_lock(lock, entry, waiting=say)
    return result


def write_files(
    plan: Plan,
    output: Path,
    *,
    force: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> Generated:
    """Write a plan's checkpoint and its sidecar; `check_output` was called before the work.

    Raises:
        OutputError: they cannot be written, or another file is there.
    """
    from zeroinit_cli.checkpoint.writer import write_sidecar

    with guarded(output, waiting=say):
        result = _write(plan, output, force=force, progress=progress)
        write_sidecar(output, result.sha256)
    return result


def default_lock(output: Path) -> Path:
    """The lock beside a checkpoint."""
    return output.parent / LOCK_NAME


def check_output(output: Path) -> None:
    """Refuse what cannot become a checkpoint, before any work is done for it.

    Raises:
        UsageError: the path is no file's name.
        OutputError: it cannot be written.
    """
    if output.name in ("", ".", ".."):
        raise UsageError(
            "no file name", where="--output", expected="a path such as init.safetensors"
        )
    if output.name == LOCK_NAME:
        raise UsageError("a checkpoint cannot be called like the lock", where=str(output))
    if output.is_symlink():
        raise OutputError(
            "a symbolic link, which would be replaced by a file",
            where=str(output),
            hint="give the path that it points to, or remove it",
        )
    if output.is_dir():
        raise OutputError("a folder of this name is there", where=str(output))
    if output.exists() and not output.is_file():
        raise OutputError("not a regular file", where=str(output))
    folder = output.parent
    if not folder.is_dir():
        raise OutputError("no such folder", where=str(folder), hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        with reported_as_output(output):
            raise PermissionError(13, "Permission denied")


def _locked_path(output: Path, lock: Path | None) -> str:
    """The checkpoint's path as the lock records it: relative to its folder, forward slashes."""
    if lock is None:
        return ""
    if not lock.parent.is_dir():
        raise OutputError("no such folder", where=str(lock.parent), hint=f"mkdir -p {lock.parent}")
    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        raise LockError("not a regular file", where=str(lock))
    folder, target = lock.parent.resolve(), output.parent.resolve() / output.name
    if not target.is_relative_to(folder):
        raise UsageError(
            "the checkpoint lies outside the lock's folder",
            where="--lock",
            expected=f"a path within {folder}",
            found=str(target),
            hint="use a lock in a folder above both, or --no-lock",
        )
    relative = PurePath(target.relative_to(folder)).as_posix()
    if not relative.isprintable() or "\\" in relative:
        raise UsageError(
            "a name that a lock cannot hold",
            where="--output",
            expected="printable characters without a backslash",
            found=repr(relative),
            hint="choose another name, or --no-lock",
        )
    return relative


def _write(plan: Plan, output: Path, *, force: bool, progress: Progress) -> Generated:
    from zeroinit_cli.checkpoint.compare import compare_with_plan
    from zeroinit_cli.checkpoint.writer import plan_size, write_checkpoint

    size, already_there = plan_size(plan), False
    if output.exists() and output.stat().st_size == size:
        comparison = compare_with_plan(plan, output, progress("comparing", plan.nbytes))
        already_there, sha256 = comparison.same, comparison.plan_sha256
    if not already_there:
        if output.exists() and not force:
            raise OutputError(
                "another file is there",
                where=str(output),
                expected="no file, or one with the bytes of this source and these options",
                hint="--force replaces it",
            )
        sha256 = write_checkpoint(plan, output, progress("writing", plan.nbytes))
    return Generated(
        path=output,
        sha256=sha256,
        size=size,
        tensors=len(plan.tensors),
        already_there=already_there,
    )

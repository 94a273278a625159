"""Source -> plan -> checkpoint, sidecar, lock entry.

Everything that can be checked is checked before anything is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.atomic import guarded
from zeroinit_cli.commands.preflight import (
    check_folder,
    check_folder_lock,
    check_lock,
    check_output,
    check_source,
)
from zeroinit_cli.errors import InputError, OutputError, UsageError
from zeroinit_cli.filenames import MODEL
from zeroinit_cli.lock import LOCK_NAME, make_entry
from zeroinit_cli.lock.write import update_lock
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.store.shards import FileDigest


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """What a run left behind.

    Attributes:
        path: the checkpoint.
        sha256: of its bytes.
        size: in bytes.
        tensors: how many it holds.
        already_there: the file had exactly these bytes and was left alone.
        files: of a folder, each file; `sha256` and `size` are then those of all together.
    """

    path: Path
    sha256: str
    size: int
    tensors: int
    already_there: bool
    files: "tuple[FileDigest, ...]" = ()


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
    check_source(source, output, lock)
    locked_path = ""
    if lock is not None:
        locked_path = check_lock(output, lock)
        _check_words(source, options)
        source.recorded_in(lock.parent)  # what a lock cannot hold is said before the work

    from zeroinit_cli.models import plan_source, versions

    plan = plan_source(source, options)
    result = write_files(plan, output, force=force, progress=progress, say=say)
    if lock is not None:
        entry = make_entry(
            path=locked_path,
            source=source,
            folder=lock.parent,
            options=options,
            plan_digest=plan.digest(),
            sha256=result.sha256,
            size=result.size,
            tensors=result.tensors,
            built_with=versions(),
        )
        update_lock(lock, entry, waiting=say)
    return result


def generate_folder(
    source: Source,
    options: Options,
    folder: Path,
    *,
    lock: Path | None,
    force: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> Generated:
    """Write a checkpoint into a folder of its own: one file, or shards and their index.

    Args:
        source: the architecture.
        options: what else decides the bytes, the largest size of a shard among them.
        folder: where; it is made if its own folder exists.
        lock: the lock to record it in, which may lie in the folder; None for none.
        force: replace what is there, and remove shards that the lock has of an earlier run.
        jobs: processes that write at a time.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Raises:
        ZeroinitError: any of its kinds; then no file of the folder was touched, or a message says
            which could not be written, and the next run mends the rest.
    """
    from zeroinit_cli.commands.folders import made_folder, write_folder
    from zeroinit_cli.commands.recording import FolderPlace

    check_folder(folder)
    check_source(source, folder / MODEL, lock)
    with made_folder(folder):
        place = None
        if lock is not None:
            place = FolderPlace(lock=lock, prefix=check_folder_lock(folder, lock))
            _check_words(source, options)
            source.recorded_in(lock.parent)

        from zeroinit_cli.models import plan_source, versions
        from zeroinit_cli.store.shards import split

        plan = plan_source(source, options)
        shards = split(plan, options.max_shard_size)
        if place is not None:
            place.check_room(source, options, plan, shards, versions())
        files, already_there = write_folder(
            shards,
            folder,
            ours=frozenset() if place is None else place.files(),
            force=force,
            jobs=jobs,
            progress=progress,
            say=say,
        )
        if place is not None:
            entry = place.entry(source, options, plan, files, versions())
            update_lock(place.lock, entry, waiting=say, instead_of=place.paths)
    return _of_folder(folder, plan, files, already_there=already_there)


def write_shards(plan: Plan, folder: Path, most_bytes: int, *, force: bool = False) -> Generated:
    """Write a plan's checkpoint into a folder of its own, and the list of its digests.

    Args:
        plan: the whole.
        folder: where; it is made if its own folder exists.
        most_bytes: of tensors in a shard.
        force: replace files with other bytes.

    Raises:
        OutputError: they cannot be written, or other files are there.
    """
    from zeroinit_cli.commands.folders import made_folder, write_folder
    from zeroinit_cli.store.shards import split

    check_folder(folder)
    with made_folder(folder):
        files, already_there = write_folder(split(plan, most_bytes), folder, force=force)
    return _of_folder(folder, plan, files, already_there=already_there)


def _of_folder(
    folder: Path, plan: Plan, files: "tuple[FileDigest, ...]", *, already_there: bool
) -> Generated:
    from zeroinit_cli.store.shards import overall

    sha256, size = overall(files)
    return Generated(
        path=folder,
        sha256=sha256,
        size=size,
        tensors=len(plan.tensors),
        already_there=already_there,
        files=files,
    )


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
    from zeroinit_cli.store.write import write_sidecar

    with guarded(output, waiting=say):
        result = _write(plan, output, force=force, progress=progress)
        write_sidecar(output, result.sha256)
    return result


def default_lock(output: Path) -> Path:
    """The lock beside a checkpoint."""
    return output.parent / LOCK_NAME


def _check_words(source: Source, options: Options) -> None:
    """Refuse bytes of the command line that are no text: TOML could not record them."""
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


def _write(plan: Plan, output: Path, *, force: bool, progress: Progress) -> Generated:
    from zeroinit_cli.store.stream import plan_size
    from zeroinit_cli.store.write import write_checkpoint

    sha256 = _same_bytes(plan, output, force=force, progress=progress)
    already_there = sha256 is not None
    if sha256 is None:
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
        size=plan_size(plan),
        tensors=len(plan.tensors),
        already_there=already_there,
    )


def _same_bytes(plan: Plan, output: Path, *, force: bool, progress: Progress) -> str | None:
    """The digest of the file that is there already, if it has exactly the plan's bytes."""
    from zeroinit_cli.store.compare import compare_with_plan
    from zeroinit_cli.store.stream import plan_size

    if not output.exists() or output.stat().st_size != plan_size(plan):
        return None
    try:
        comparison = compare_with_plan(plan, output, progress("comparing", plan.nbytes))
    except InputError:
        if not force:
            raise
        return None  # what may not be read may still be replaced
    return comparison.plan_sha256 if comparison.same else None

"""A checkpoint in a folder of its own: one file, or shards and their index, all of them or none.

Every file is written and flushed to disk in a hidden stage before any takes its place. Then the
index goes first and comes last: while files are exchanged, no loader takes a mixture for a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from zeroinit_cli.atomic import (
    flush_folder,
    guarded,
    move,
    replacing,
    reported_as_output,
    staging,
    undisturbed,
    write_all,
)
from zeroinit_cli.commands.preflight import check_place
from zeroinit_cli.errors import InputError, OutputError
from zeroinit_cli.filenames import INDEX, MODEL, SUMS, is_of_family, sums
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.progress import Advance, Progress, no_progress
from zeroinit_cli.store.jobs import in_order
from zeroinit_cli.store.shards import FileDigest, PlannedFile, Shard, index_bytes, with_index
from zeroinit_cli.store.write import write_checkpoint

_MOST_NAMED = 5


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder that is there, and is gone again if it was not before and nothing was put into it.

    Raises:
        OutputError: it cannot be made.
    """
    with reported_as_output(folder):
        made = not folder.is_dir()
        folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise


def write_folder(
    shards: Sequence[Shard],
    folder: Path,
    *,
    ours: frozenset[str] = frozenset(),
    force: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> tuple[tuple[FileDigest, ...], bool]:
    """Put a checkpoint into a folder that is there, with the list of its digests.

    Args:
        shards: of `split`.
        folder: where.
        ours: names of files that an earlier run is known to have made there.
        force: replace files with other bytes, and remove those of `ours` that are no longer any.
        jobs: processes that work at a time.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Returns:
        the files, shards first, and whether all of them were there already.

    Raises:
        OutputError: they cannot be written, or other files are there.
    """
    names = [shard.name for shard in shards] + [INDEX] * (len(shards) > 1)
    for name in (*names, SUMS):
        check_place(folder / name, "give the folder that it points into, or remove it")
    with guarded(folder / MODEL, waiting=say):
        stale = _stale(folder, names, ours, force=force)
        standing = _standing(shards, folder, force=force, jobs=jobs, progress=progress)
        _check_differing(folder, names, standing, force=force)
        todo = [shard for shard in shards if shard.name not in standing]
        written = dict(standing)
        with staging(folder / MODEL) as stage:
            advance = progress("writing", sum(shard.plan.nbytes for shard in todo))
            tasks = [PlannedFile(path=stage / shard.name, plan=shard.plan) for shard in todo]
            digests = in_order(_write, tasks, jobs=jobs, advance=advance)
            written |= zip((shard.name for shard in todo), digests, strict=True)
            if len(shards) > 1 and INDEX not in standing:
                with replacing(stage / INDEX) as file:
                    write_all(file, index_bytes(shards))
            with undisturbed():  # by Ctrl-C, which would leave files without an index
                _exchange(stage, folder, [name for name in names if name not in standing], stale)
        files = with_index(shards, written)
        with guarded(folder / SUMS), replacing(folder / SUMS) as file:
            write_all(file, sums((each.name, each.sha256) for each in files))
    return files, len(standing) == len(names) and not stale


def _write(task: PlannedFile, advance: Advance) -> str:
    try:
        return write_checkpoint(task.plan, task.path, advance)
    except OutputError as error:
        error.where = str(task.path.parent.parent / task.path.name)  # no person asked for the stage
        raise


def _same(task: PlannedFile, advance: Advance) -> str | InputError | None:
    """The digest of a file that has its plan's bytes, or why it cannot be read."""
    from zeroinit_cli.store.compare import compare_with_plan

    try:
        comparison = compare_with_plan(task.plan, task.path, advance)
    except InputError as error:
        return error
    return comparison.plan_sha256 if comparison.same else None


def _stale(
    folder: Path, names: Iterable[str], ours: frozenset[str], *, force: bool
) -> tuple[str, ...]:
    """Files of an earlier checkpoint that a loader would take for parts of this one."""
    with reported_as_output(folder):
        found = sorted(each.name for each in folder.iterdir() if is_of_family(each.name))
    others = [name for name in found if name not in set(names)]
    strangers = [name for name in others if name not in ours]
    if strangers:
        raise OutputError(
            "a loader would take files of another checkpoint for parts of this one",
            where=str(folder),
            found=_named(strangers),
            hint="remove them; no lock says that they are ours to remove",
        )
    if others and not force:
        raise OutputError(
            "an earlier checkpoint is there",
            where=str(folder),
            expected="no files, or those of this source and these options",
            found=_named(others),
            hint="--force removes what the lock says of it",
        )
    return tuple(others)


def _standing(
    shards: Sequence[Shard], folder: Path, *, force: bool, jobs: int, progress: Progress
) -> dict[str, str]:
    """The digests of files that have the right bytes already, the index's being of no use."""
    with reported_as_output(folder):
        tasks = [
            PlannedFile(path=folder / shard.name, plan=shard.plan)
            for shard in shards
            if _has_size(folder / shard.name, shard.size)
        ]
        advance = progress("comparing", sum(task.plan.nbytes for task in tasks))
    found = {}
    for task, answer in zip(tasks, in_order(_same, tasks, jobs=jobs, advance=advance), strict=True):
        if isinstance(answer, InputError):
            if not force:
                raise answer
        elif answer is not None:
            found[task.path.name] = answer
    if len(shards) > 1 and _reads(folder / INDEX, index_bytes(shards)):
        found[INDEX] = ""
    return found


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _reads(path: Path, data: bytes) -> bool:
    if not path.exists():
        return False
    with suppress(InputError), opened(path) as (file, size):
        found = bytearray(len(data))
        return size == len(data) == read_exactly(file, memoryview(found)) and found == data
    return False


def _check_differing(
    folder: Path, names: Sequence[str], standing: dict[str, str], *, force: bool
) -> None:
    if force:
        return
    with reported_as_output(folder):
        differing = [name for name in names if name not in standing and (folder / name).exists()]
    if differing:
        raise OutputError(
            "other files are there",
            where=str(folder),
            expected="no files, or those of this source and these options",
            found=_named(differing),
            hint="--force replaces them",
        )


def _exchange(stage: Path, folder: Path, names: Sequence[str], stale: Sequence[str]) -> None:
    """Move the new files in and remove what is stale, so that no mixture has an index."""
    there = [name for name in names if (folder / name).exists()]
    if there or stale:
        index = folder / INDEX
        if INDEX in names:
            index.unlink(missing_ok=True)
        elif index.exists() and INDEX not in stale:  # right, but not while others are moved
            move(index, stage / INDEX)
            names = [*names, INDEX]
        for name in sorted(stale, key=lambda name: name != INDEX):
            (folder / name).unlink(missing_ok=True)
        flush_folder(folder)
    for name in names:  # the index is the last
        move(stage / name, folder / name)
    flush_folder(folder)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

"""Put a checkpoint's files where they belong: all of them or none.

Every file is written and flushed to disk in a hidden stage before any is moved into place. The
index of shards is removed first and moved in last, so that no loader takes a mixture of old and
new files for a checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from zeroinit_cli.commands.foreign_files import recognised
from zeroinit_cli.commands.location import Location
from zeroinit_cli.commands.preflight import check_replaced_files
from zeroinit_cli.errors import InputError, LockError, OutputError
from zeroinit_cli.filenames import (
    INDEX,
    FileDigest,
    digests_of,
    is_of_family,
    sha256sum_list,
)
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.progress import Advance, Progress, no_advance, no_progress
from zeroinit_cli.store.compare import compare_with_plan
from zeroinit_cli.store.jobs import in_order
from zeroinit_cli.store.shards import PlannedFile, Shard, index_bytes, with_index
from zeroinit_cli.store.write import write_checkpoint
from zeroinit_cli.text import listed

_MOST_NAMED = 5


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder if it is missing; remove it again if the block fails and left it empty.

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


def write_files(
    shards: Sequence[Shard],
    location: Location,
    *,
    beside: Mapping[str, bytes] | None = None,
    ours: frozenset[str] = frozenset(),
    expected: Mapping[str, str] | None = None,
    force: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> tuple[tuple[FileDigest, ...], bool]:
    """Put a checkpoint's files into a folder that is there, with the list of their digests.

    Args:
        shards: of `Location.split`.
        location: where.
        beside: what belongs beside them, by name, such as a model's configuration.
        ours: names of files that an earlier run is known to have made there.
        expected: the SHA-256 that each file must have before it is put in place, by name.
        force: replace files with other bytes, and remove those of `ours` that are no longer any.
        jobs: processes that work at a time.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Returns:
        the checkpoint's files, shards first, and whether all files were there already.

    Raises:
        OutputError: they cannot be written, or other files are there.
        LockError: they do not have the expected digests.
    """
    texts = _texts(shards, beside or {})
    names = [*(beside or {}), *(shard.name for shard in shards), *([INDEX] * (len(shards) > 1))]
    check_replaced_files(location, names)
    with guarded(location.file, waiting=say):
        stale = _stale(location, names, ours, force=force)
        standing = _standing(shards, location, texts, force=force, jobs=jobs, progress=progress)
        new = [name for name in names if name not in standing]
        if not force:
            _check_not_there(location, new)
        written = dict(standing)
        if new or stale:
            written |= _replace(
                shards,
                location,
                texts,
                new,
                stale,
                expected=expected,
                jobs=jobs,
                progress=progress,
            )
        files = with_index(shards, written)
        with guarded(location.sha256sum_file), replacing(location.sha256sum_file) as file:
            listed_files = (*files, *digests_of(beside or {}))
            write_all(file, sha256sum_list((file.name, file.sha256) for file in listed_files))
    return files, not new and not stale


def _texts(shards: Sequence[Shard], beside: Mapping[str, bytes]) -> dict[str, bytes]:
    """The bytes of the files that hold no tensors, by name."""
    return {**beside, **({INDEX: index_bytes(shards)} if len(shards) > 1 else {})}


def _replace(
    shards: Sequence[Shard],
    location: Location,
    texts: Mapping[str, bytes],
    new: Sequence[str],
    stale: Sequence[str],
    *,
    expected: Mapping[str, str] | None,
    jobs: int,
    progress: Progress,
) -> dict[str, str]:
    """Write the new files into a stage and exchange them; return their digests by name."""
    todo = [shard for shard in shards if shard.name in new]
    with staging(location.file) as stage:
        tasks = [PlannedFile(path=stage / shard.name, plan=shard.plan) for shard in todo]
        digests = in_order(
            _write, tasks, jobs=jobs, advance=_advance_for("writing", tasks, progress)
        )
        for name in [name for name in texts if name in new]:
            with _named_as_asked(stage / name), replacing(stage / name) as file:
                write_all(file, texts[name])
        written = dict(zip((shard.name for shard in todo), digests, strict=True))
        if expected is not None:
            _check_digests(texts, location, written, expected)
        with undisturbed():  # Ctrl-C here would leave files without an index
            _exchange(stage, location.folder, new, stale, sharded=len(shards) > 1)
    return written


def _check_digests(
    texts: Mapping[str, bytes],
    location: Location,
    written: Mapping[str, str],
    expected: Mapping[str, str],
) -> None:
    """Refuse files of a stage that are not the expected ones."""
    found = {**written, **{file.name: file.sha256 for file in digests_of(texts)}}
    for name, sha256 in sorted(found.items()):
        if expected.get(name) != sha256:
            raise LockError(
                "the plan no longer gives the locked bytes",
                where=str(location.folder / name),
                expected=expected.get(name, "no such file"),
                found=sha256,
                hint="zeroinit verify tells more; zeroinit generate locks what it gives now",
            )


def _advance_for(label: str, tasks: Sequence[PlannedFile], progress: Progress) -> Advance:
    return progress(label, sum(task.plan.nbytes for task in tasks)) if tasks else no_advance


def _write(task: PlannedFile, advance: Advance) -> str:
    with _named_as_asked(task.path):
        return write_checkpoint(task.plan, task.path, advance)


@contextmanager
def _named_as_asked(path: Path) -> Iterator[None]:
    """Name a file of the stage in errors by its later path, which the person asked for.

    Raises:
        OutputError: what the block raises.
    """
    try:
        yield
    except OutputError as error:
        error.where = str(path.parent.parent / path.name)
        raise


def _stale(
    location: Location, names: Sequence[str], ours: frozenset[str], *, force: bool
) -> tuple[str, ...]:
    """Find files of an earlier checkpoint that a loader would take for parts of this one."""
    if not location.own_folder:
        return ()
    folder = location.folder
    with reported_as_output(folder):
        found = sorted(path.name for path in folder.iterdir() if is_of_family(path.name))
    others = [name for name in found if name not in set(names)]
    strangers = [name for name in others if name not in ours]
    if strangers:
        raise OutputError(
            "a loader would take files of another checkpoint for parts of this one",
            where=str(folder),
            found=listed(strangers, _MOST_NAMED),
            hint="remove them; no lock says that they are ours to remove",
        )
    if others and not force:
        raise OutputError(
            "an earlier checkpoint is there",
            where=str(folder),
            expected="no files, or those of this source and these options",
            found=listed(others, _MOST_NAMED),
            hint="--force removes what the lock says of it",
        )
    return tuple(others)


def _standing(
    shards: Sequence[Shard],
    location: Location,
    texts: Mapping[str, bytes],
    *,
    force: bool,
    jobs: int,
    progress: Progress,
) -> dict[str, str]:
    """Find the files that already have the right bytes: digests by name, empty for texts."""
    with reported_as_output(location.file):
        tasks = [
            PlannedFile(path=location.folder / shard.name, plan=shard.plan)
            for shard in shards
            if _has_size(location.folder / shard.name, shard.size)
        ]
    advance = _advance_for("comparing", tasks, progress)
    answers = in_order(_digest_if_same, tasks, jobs=jobs, advance=advance)
    found = {}
    for task, answer in zip(tasks, answers, strict=True):
        if isinstance(answer, InputError):
            if not force:  # an unreadable file may still be replaced
                raise answer
        elif answer is not None:
            found[task.path.name] = answer
    found |= {name: "" for name, data in texts.items() if _reads(location.folder / name, data)}
    return found


def _digest_if_same(task: PlannedFile, advance: Advance) -> str | InputError | None:
    """Return the digest of a file that has its plan's bytes, or the error of reading it."""
    try:
        comparison = compare_with_plan(task.plan, task.path, advance)
    except InputError as error:
        return error
    return comparison.plan_sha256 if comparison.same else None


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _reads(path: Path, data: bytes) -> bool:
    if not path.exists():
        return False
    with suppress(InputError), opened(path) as (file, size):
        found = bytearray(len(data))
        return size == len(data) == read_exactly(file, memoryview(found)) and found == data
    return False


def _check_not_there(location: Location, names: Sequence[str]) -> None:
    """Refuse to replace what has other bytes."""
    with reported_as_output(location.file):
        differing = [name for name in names if (location.folder / name).exists()]
    if differing and not location.own_folder:
        other = None
        with suppress(InputError):  # what it is does not matter
            other = recognised(location.path)
        raise OutputError(
            "another file is there",
            where=str(location.path),
            expected="no file, or one with the bytes of this source and these options",
            found=None if other is None else other.what,
            hint="--force replaces it",
        )
    if differing:
        raise OutputError(
            "other files are there",
            where=str(location.path),
            expected="no files, or those of this source and these options",
            found=listed(differing, _MOST_NAMED),
            hint="--force replaces them",
        )


def _exchange(
    stage: Path, folder: Path, new: Sequence[str], stale: Sequence[str], *, sharded: bool
) -> None:
    """Move the new files in and remove what is stale, so that no mixture has an index."""
    there = [name for name in new if (folder / name).exists()]
    index = folder / INDEX
    if (sharded and there) or stale:
        if INDEX in new:
            index.unlink(missing_ok=True)
        elif index.exists() and INDEX not in stale:  # right, but not while shards are moved
            move(index, stage / INDEX)
            new = [*new, INDEX]
        for name in sorted(stale, key=lambda name: name != INDEX):
            (folder / name).unlink(missing_ok=True)
        flush_folder(folder)
    for name in new:  # the index is the last
        move(stage / name, folder / name)
    flush_folder(folder)

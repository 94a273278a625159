"""Source -> plan -> files -> checkpoint, list of digests, lock entry.

All checks come before the first write. A checkpoint in one file is treated as a folder's only
file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.commands.exchange import made_folder, write_files
from zeroinit_cli.commands.location import Location, lock_entry
from zeroinit_cli.commands.preflight import (
    check_lock,
    check_output,
    check_recordable,
    check_source_is_kept,
)
from zeroinit_cli.filenames import FileDigest, digests_of
from zeroinit_cli.lock import read_lock
from zeroinit_cli.lock.write import check_room, update_lock
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.store.shards import overall, with_index

_UNKNOWN = "0" * 64  # a placeholder of a digest's length


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """The checkpoint that a run wrote or found.

    Attributes:
        location: of the checkpoint.
        files: each file's digest and size, the index last.
        beside: likewise, of what belongs beside them.
        tensors: how many they hold.
        already_there: all files had exactly these bytes and were left alone.
        warnings: how many things the plan warns of.
    """

    location: Location
    files: tuple[FileDigest, ...]
    tensors: int
    already_there: bool
    warnings: int
    beside: tuple[FileDigest, ...] = ()

    @property
    def sha256(self) -> str:
        """The file's SHA-256; of several files, that of the list of theirs."""
        return overall(self.files)[0]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return overall(self.files)[1]


def generate(
    source: Source,
    options: Options,
    location: Location,
    *,
    lock: Path | None,
    force: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda message: None,
) -> Generated:
    """Write a checkpoint and what belongs to it.

    Args:
        source: the architecture.
        options: what else decides the bytes, the largest size of a shard among them.
        location: where; a folder of its own is made if the folder above it exists.
        lock: the lock to record it in, which may lie in the folder; None for none.
        force: replace what is there, and remove shards that the lock has of an earlier run.
        jobs: processes that write at a time.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Raises:
        ZeroinitError: any of its kinds; then nothing was written, or the checkpoint is whole and
            the message says what is missing beside it.
    """
    check_output(location)
    check_source_is_kept(source, location, lock)
    with made_folder(location.folder):
        if lock is not None:
            check_lock(location, lock)
            check_recordable(source, options, lock)

        from zeroinit_cli.models import plan_source

        plan = plan_source(source, options)
        shards = location.split(plan, options.max_shard_size)
        texts = source.beside(options.dtype) if location.own_folder else {}
        beside = digests_of(texts)
        ours: frozenset[str] = frozenset()
        if lock is not None:
            unwritten = with_index(
                shards, dict.fromkeys((shard.name for shard in shards), _UNKNOWN)
            )
            entry = lock_entry(location, lock, source, options, plan, unwritten, beside)
            check_room(lock, entry, instead_of=location.paths_in(lock))
            ours = _recorded_files(location, lock)
        files, already_there = write_files(
            shards,
            location,
            beside=texts,
            ours=ours,
            force=force,
            jobs=jobs,
            progress=progress,
            say=say,
        )
        if lock is not None:
            entry = lock_entry(location, lock, source, options, plan, files, beside)
            update_lock(lock, entry, waiting=say, instead_of=location.paths_in(lock))
    return Generated(
        location=location,
        files=files,
        tensors=len(plan.tensors),
        already_there=already_there,
        warnings=len(plan.warnings),
        beside=beside,
    )


def write_plan(
    plan: Plan, location: Location, most_bytes: int | None = None, *, force: bool = False
) -> Generated:
    """Write a plan's checkpoint and the list of its digests, without a lock.

    Args:
        plan: the whole.
        location: where; a folder of its own is made if the folder above it exists.
        most_bytes: of tensors in a file; None for one file.
        force: replace files with other bytes.

    Raises:
        UsageError: the path is no file's name, or a name that is kept for another use.
        OutputError: they cannot be written, or other files are there.
    """
    check_output(location)
    with made_folder(location.folder):
        shards = location.split(plan, most_bytes)
        files, already_there = write_files(shards, location, force=force)
    return Generated(
        location=location,
        files=files,
        tensors=len(plan.tensors),
        already_there=already_there,
        warnings=len(plan.warnings),
    )


def _recorded_files(location: Location, lock: Path) -> frozenset[str]:
    """List the files of the checkpoint's folder that the lock records from an earlier run."""
    paths = location.paths_in(lock)
    prefix = paths[0].removesuffix(location.file.name)
    entries = read_lock(lock).checkpoint if lock.exists() else ()
    return frozenset(
        path.removeprefix(prefix)
        for entry in entries
        if entry.path in paths
        for path in entry.files
    )

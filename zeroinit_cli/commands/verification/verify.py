"""The way in: every checkpoint that locks record, or one against a source that a caller names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zeroinit_cli.commands.verification.files import hash_file, source_file, verify_file
from zeroinit_cli.commands.verification.findings import Unanswered, Verified
from zeroinit_cli.commands.verification.shards import hash_shards, source_shards, verify_shards
from zeroinit_cli.errors import UsageError, ZeroinitError
from zeroinit_cli.files import is_there
from zeroinit_cli.lock import Locked, locked_checkpoints
from zeroinit_cli.options import Options
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source


def verify_locked(
    paths: Sequence[Path],
    *,
    ignore_missing: bool = False,
    hash_only: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> list[Verified | Unanswered]:
    """Every checkpoint that is asked for, in the order of the locks; none stops the others.

    Args:
        paths: folders with a lock, locks, or locked files; the current folder if there are none.
        ignore_missing: a file that is not there fails nothing.
        hash_only: hold the files against the locked digests alone, without torch.
        jobs: processes that check shards at a time.
        progress: shown while bytes are computed.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    results: list[Verified | Unanswered] = []
    for locked in locked_checkpoints(paths):
        result: Verified | Unanswered
        try:
            locked.check_place()
            result = (
                verify_hash(locked, ignore_missing=ignore_missing)
                if hash_only
                else verify_entry(
                    locked, ignore_missing=ignore_missing, jobs=jobs, progress=progress
                )
            )
        except ZeroinitError as error:
            result = Unanswered(path=locked.path, error=error)
        except MemoryError:  # this one's, whose arguments a stranger may have chosen
            no_memory = ZeroinitError("out of memory", where=str(locked.path))
            result = Unanswered(path=locked.path, error=no_memory)
        results.append(replace(result, lock=locked.lock, line=locked.line))
    return results


def verify_entry(
    locked: Locked, *, ignore_missing: bool = False, jobs: int = 1, progress: Progress = no_progress
) -> Verified:
    """All three steps for one checkpoint.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file is there but cannot be read.
    """
    if locked.entry.shard:
        return verify_shards(locked, ignore_missing=ignore_missing, jobs=jobs, progress=progress)
    return verify_file(locked, ignore_missing=ignore_missing, progress=progress)


def verify_hash(locked: Locked, *, ignore_missing: bool = False) -> Verified:
    """The digests of its files alone, without torch or numpy.

    Raises:
        InputError: a file is there but cannot be read.
    """
    verify = hash_shards if locked.entry.shard else hash_file
    return verify(locked, ignore_missing=ignore_missing)


def verify_source(
    path: Path,
    source: Source,
    options: Options,
    *,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Verified:
    """A file, or a folder with shards, against a source that the caller names, without a lock.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: the file cannot be read.
        UsageError: there are options for shards, and no folder that holds them.
    """
    if is_there(path) and path.is_dir():
        return source_shards(path, source, options, jobs=jobs, progress=progress)
    if options.max_shard_size is not None:
        raise UsageError(
            "shards are in a folder",
            where="--max-shard-size",
            expected="the folder that holds them",
            found=str(path),
        )
    return source_file(path, source, options, progress=progress)

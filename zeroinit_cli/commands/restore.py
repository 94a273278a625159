"""The other half of a lock: write what it names and its folder lacks; lock anew what has drifted.

Whatever is written has the locked digests before it is moved into place, and no file with other
bytes is ever replaced.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zeroinit_cli.commands.checked_files import (
    CheckedFile,
    checked_files,
    file_findings,
)
from zeroinit_cli.commands.exchange import made_folder, write_files
from zeroinit_cli.commands.findings import drift_lines, source_lines
from zeroinit_cli.commands.foreign_files import foreign
from zeroinit_cli.commands.generate import generate
from zeroinit_cli.commands.location import Location
from zeroinit_cli.commands.preflight import check_output
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.lock import Locked, locked_checkpoints
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source

Say = Callable[[str], None]


class Status(StrEnum):
    """What became of a checkpoint; of the last three nothing was written."""

    OK = "ok"
    RESTORED = "restored"
    UPDATED = "updated"
    CHANGED = "changed"
    DRIFTED = "drifted"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What became of one checkpoint of a lock.

    Attributes:
        path: the file, or the folder of shards.
        lock: that records it.
        status: in a word.
        lines: what was written, what is in the way, or how the plan has changed.
        error: why there is no answer.
    """

    path: Path
    lock: Path
    status: Status
    lines: tuple[str, ...] = ()
    error: ZeroinitError | None = None


def restore(
    paths: Sequence[Path],
    *,
    update: bool = False,
    trust_code: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
    say: Say = lambda message: None,
) -> list[Restored]:
    """Restore every checkpoint that is asked for, in the order of the locks.

    An error in one of them does not stop the others.

    Args:
        paths: folders with a lock, locks, or locked files; the current folder if there are none.
        update: write and lock anew those whose source gives another plan than the locked one.
        trust_code: the code that locks name may run.
        jobs: processes that write shards at a time.
        progress: shown while bytes are computed.
        say: told what a person should know meanwhile.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    results = []
    for locked in locked_checkpoints(paths):
        status, lines, error = Status.UNANSWERED, tuple[str, ...](), None
        try:
            locked.check_links()
            status, lines = _restore(
                locked,
                update=update,
                trust_code=trust_code,
                jobs=jobs,
                progress=progress,
                say=say,
            )
        except ZeroinitError as problem:
            error = problem
        results.append(
            Restored(path=locked.path, lock=locked.lock, status=status, lines=lines, error=error)
        )
    return results


def _restore(
    locked: Locked, *, update: bool, trust_code: bool, jobs: int, progress: Progress, say: Say
) -> tuple[Status, tuple[str, ...]]:
    entry = locked.entry
    location = Location(path=locked.path, own_folder=bool(entry.shard))
    expected = entry.named_files()
    files = checked_files(location, expected, None)
    in_the_way = file_findings(location, files, ignore_missing=True)
    if in_the_way:
        lines = [line for finding in in_the_way for line in finding.lines]
        return Status.CHANGED, (*lines, *_what_they_are(files))
    missing = [file for file in files if not file.there]
    if not missing and not update:
        return Status.OK, ()

    from zeroinit_cli.models import plan_source

    source = entry.read_source(locked.lock.parent, trust_code=trust_code)
    options = entry.read_options()
    plan = plan_source(source, options)
    drift = _drift(locked, source, plan)
    if drift and not update:
        return Status.DRIFTED, drift
    with _folders_to(location.folder):
        if drift:
            made = generate(
                source,
                options,
                location,
                lock=locked.lock,
                force=True,
                jobs=jobs,
                progress=progress,
                say=say,
            )
            return Status.UPDATED, (*drift, f"sha256: locked {entry.sha256}, now {made.sha256}")
        check_output(location)
        write_files(
            location.split(plan, options.max_shard_size),
            location,
            beside=source.beside(options.dtype) if entry.beside else {},
            expected={file.name: file.sha256 for file in expected},
            jobs=jobs,
            progress=progress,
            say=say,
        )
    written = (f"{file.path.name}: {file.expected.size:,} bytes" for file in missing)
    return (Status.RESTORED, tuple(written)) if missing else (Status.OK, ())


def _what_they_are(files: Sequence[CheckedFile]) -> Iterator[str]:
    """Yield what lies in the place of files, where their bytes tell, such as an LFS pointer."""
    for file in files:
        cause = foreign(file.path, file.expected.sha256) if file.lines else None
        if cause is not None:
            yield f"probably: {cause.text}" + (f": {cause.hint}" if cause.hint else "")


def _drift(locked: Locked, source: Source, plan: Plan) -> tuple[str, ...]:
    """Say how the source's plan differs from the locked one."""
    spec = source_lines(source, locked.entry)
    if plan.digest() == locked.entry.plan and not spec:
        return ()
    comparison = None
    if not locked.entry.shard and locked.path.exists():
        from zeroinit_cli.store.compare import compare_with_plan

        comparison = compare_with_plan(plan, locked.path)
    same = comparison is not None and comparison.same
    difference = None if comparison is None else comparison.difference
    return (*spec, *drift_lines(plan, locked.entry, difference, reproduced=same, changed=False))


@contextmanager
def _folders_to(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; remove again what was made if the block fails."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with ExitStack() as stack:
        for each in reversed(missing):
            stack.enter_context(made_folder(each))
        yield

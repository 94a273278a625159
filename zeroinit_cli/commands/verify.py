"""Verification that checkpoints are what their sources give: derive, reproduce, compare.

Every checkpoint is checked over the list of files that `generate` writes. With a source, its plan
is derived and the files are compared with it; without one, the files are compared with the locked
digests alone. Nothing here writes, and all findings are reported.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.checked_files import (
    CheckedFile,
    Derived,
    checked_files,
    file_findings,
    whole_words,
)
from zeroinit_cli.commands.findings import (
    Finding,
    Outcome,
    Unanswered,
    Verified,
    drift_lines,
    source_lines,
    unreproduced_lines,
)
from zeroinit_cli.commands.location import Location
from zeroinit_cli.errors import UsageError, ZeroinitError
from zeroinit_cli.filenames import digests_of
from zeroinit_cli.files import is_there, size_of
from zeroinit_cli.lock import Locked, LockEntry, locked_checkpoints
from zeroinit_cli.options import Options
from zeroinit_cli.progress import Advance, Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.store.jobs import in_order

if TYPE_CHECKING:
    from zeroinit_cli.plans.plan import Plan
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.diff import Difference
    from zeroinit_cli.store.shards import PlannedFile


def verify_locked(
    paths: Sequence[Path],
    *,
    ignore_missing: bool = False,
    hash_only: bool = False,
    trust_code: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> list[Verified | Unanswered]:
    """Verify every checkpoint that is asked for, in the order of the locks.

    An error in one of them does not stop the others.

    Args:
        paths: folders with a lock, locks, or locked files; the current folder if there are none.
        ignore_missing: a file that is not there fails nothing.
        hash_only: hold the files against the locked digests alone, without torch.
        trust_code: the code that locks name may run.
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
            if not hash_only:  # a digest tells the same wherever the bytes lie
                locked.check_links()
            result = verify_entry(
                locked,
                ignore_missing=ignore_missing,
                hash_only=hash_only,
                trust_code=trust_code,
                jobs=jobs,
                progress=progress,
            )
        except ZeroinitError as error:
            result = Unanswered(path=locked.path, error=error)
        except MemoryError:  # a stranger's arguments may need any amount
            no_memory = ZeroinitError("out of memory", where=str(locked.path))
            result = Unanswered(path=locked.path, error=no_memory)
        results.append(replace(result, lock=locked.lock, line=locked.line))
    return results


def verify_entry(
    locked: Locked,
    *,
    ignore_missing: bool = False,
    hash_only: bool = False,
    trust_code: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Verified:
    """Verify one checkpoint of a lock: all three steps, or with `hash_only` the digests alone.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file is there but cannot be read.
    """
    entry = locked.entry
    location = Location(path=locked.path, own_folder=bool(entry.shard))
    derived = None
    if not hash_only:
        source = entry.read_source(locked.lock.parent, trust_code=trust_code)
        options = entry.read_options()
        beside = source.beside(options.dtype) if entry.beside else {}
        derived = _derive(location, source, options, beside, jobs=jobs, progress=progress)
    return _verify(
        location,
        derived,
        entry,
        within=locked.lock.parent if hash_only else None,
        ignore_missing=ignore_missing,
    )


def verify_source(
    path: Path,
    source: Source,
    options: Options,
    *,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Verified:
    """Verify a file, or a folder with shards, against a source that the caller names.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file cannot be read.
        UsageError: there are options for shards, and no folder that holds them.
    """
    location = Location(path=path, own_folder=is_there(path) and path.is_dir())
    if not location.own_folder:
        if options.max_shard_size is not None:
            raise UsageError(
                "shards are in a folder",
                where="--max-shard-size",
                expected="the folder that holds them",
                found=str(path),
            )
        size_of(path)  # raises InputError if the named file is missing
    texts = source.beside(options.dtype) if location.own_folder else {}
    there = {name: data for name, data in texts.items() if is_there(path / name)}
    derived = _derive(location, source, options, there, jobs=jobs, progress=progress)
    return _verify(location, derived, None)


def _verify(
    location: Location,
    derived: Derived | None,
    entry: LockEntry | None,
    *,
    within: Path | None = None,
    ignore_missing: bool = False,
) -> Verified:
    """Compare files, plan and lock with each other, as far as plan and lock are known.

    Args:
        location: of the files.
        derived: what the source gives; None to hold the files against digests alone.
        entry: what is locked; None to hold the files against the plan alone.
        within: the folder of the lock, where digests alone are compared.
        ignore_missing: a file that is not there fails nothing.
    """
    expected = entry.named_files() if entry is not None else ()
    unreproduced: tuple[str, ...] = ()
    if derived is not None and entry is not None:
        tensors = entry.tensors, len(derived.plan.tensors)
        unreproduced = unreproduced_lines(
            expected, derived.files, tensors, named=location.own_folder or len(expected) > 1
        )
    elif derived is not None:
        expected = derived.files
    # If the plan no longer gives the locked bytes, files are compared with the lock's digests.
    files = checked_files(location, expected, None if unreproduced else derived, within)
    drift = _drift(location, derived, entry, files, reproduced=not unreproduced)
    findings = (
        *([Finding(outcome=Outcome.DRIFTED, lines=drift)] if drift else []),
        *([Finding(outcome=Outcome.UNREPRODUCED, lines=unreproduced)] if unreproduced else []),
        *file_findings(location, files, ignore_missing=ignore_missing),
    )
    verified = Verified(
        path=location.path,
        checked=_held(derived, entry, files, {finding.outcome for finding in findings}),
        findings=findings,
    )
    if not findings:
        return verified
    from zeroinit_cli.commands.probable_causes import probable_causes

    return replace(verified, causes=probable_causes(location, findings, files, derived, entry))


def _held(
    derived: Derived | None,
    entry: LockEntry | None,
    files: Sequence[CheckedFile],
    wrong: Collection[Outcome],
) -> tuple[str, ...]:
    """List the steps that were taken and held, in words."""
    if derived is not None and entry is not None:
        held = [] if Outcome.DRIFTED in wrong else ["the source gives the locked plan"]
        if Outcome.UNREPRODUCED not in wrong:
            held += [
                "the plan gives the locked bytes",
                *whole_words(files, "has them", "have them"),
            ]
        return tuple(held)
    if wrong:
        return ()
    if derived is None:
        return whole_words(files, "has the locked digest", "have the locked digests")
    given = "the bytes that the source gives"
    return whole_words(files, f"has {given}", f"have {given}")


def _derive(
    location: Location,
    source: Source,
    options: Options,
    beside: Mapping[str, bytes],
    *,
    jobs: int,
    progress: Progress,
) -> Derived:
    """Plan the source, and compare each file that is there with its part of the plan."""
    from zeroinit_cli.models import plan_source
    from zeroinit_cli.store.shards import PlannedFile, index_bytes, with_index

    plan = plan_source(source, options)
    shards = location.split(plan, options.max_shard_size)
    tasks = [PlannedFile(path=location.folder / shard.name, plan=shard.plan) for shard in shards]
    verb = "verifying" if any(is_there(task.path) for task in tasks) else "deriving"
    advance = progress(f"{verb} {location.path.absolute().name}", plan.nbytes)
    found = in_order(_compare_file, tasks, jobs=jobs, advance=advance)
    by_name = dict(zip((shard.name for shard in shards), found, strict=True))
    return Derived(
        source=source,
        plan=plan,
        plans={shard.name: shard.plan for shard in shards},
        files=(
            *with_index(shards, {name: sha256 for name, (sha256, _) in by_name.items()}),
            *digests_of(beside),
        ),
        index=index_bytes(shards) if len(shards) > 1 else b"",
        comparisons={
            name: comparison for name, (_, comparison) in by_name.items() if comparison is not None
        },
    )


def _compare_file(task: "PlannedFile", advance: Advance) -> "tuple[str, Comparison | None]":
    """Derive a file's digest from its plan, and compare the file with it, if it is there."""
    from zeroinit_cli.store.compare import compare_with_plan
    from zeroinit_cli.store.stream import plan_sha256

    if not is_there(task.path):
        return plan_sha256(task.plan, advance=advance), None
    comparison = compare_with_plan(task.plan, task.path, advance)
    return comparison.plan_sha256, comparison


def _drift(
    location: Location,
    derived: Derived | None,
    entry: LockEntry | None,
    files: Sequence[CheckedFile],
    *,
    reproduced: bool,
) -> tuple[str, ...]:
    """Say how the source's plan differs from the locked one."""
    if derived is None or entry is None:
        return ()
    spec = source_lines(derived.source, entry)
    if derived.plan.digest() == entry.plan and not spec:
        return ()
    difference = None
    if location.own_folder:
        if not reproduced and all(file.there and not file.lines for file in files):
            difference = _difference_of(location.folder, derived.plan)
    elif (comparison := derived.comparisons.get(location.file.name)) is not None:
        difference = comparison.difference
    changed = any(file.lines for file in files)
    told = drift_lines(derived.plan, entry, difference, reproduced=reproduced, changed=changed)
    return (*spec, *told)


def _difference_of(folder: Path, plan: "Plan") -> "Difference":
    """Compare a plan with the tensors of a folder, whatever files they lie in."""
    from zeroinit_cli.store.diff import diff, planned_contents, stored_contents
    from zeroinit_cli.store.read import read_checkpoint

    return diff(planned_contents("", plan), stored_contents(read_checkpoint(folder)))

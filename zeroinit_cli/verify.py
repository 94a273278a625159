"""Prove that locked checkpoints are what their sources give: derive, reproduce, compare."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.causes.openings import opening_causes
from zeroinit_cli.errors import UsageError, ZeroinitError
from zeroinit_cli.files.reading import is_there
from zeroinit_cli.findings import (
    Finding,
    Outcome,
    Unanswered,
    Verified,
    changed_lines,
    comparison_lines,
    drift_lines,
    hash_lines,
    spec_lines,
    steps,
    unreproduced_lines,
)
from zeroinit_cli.lock import Locked, locked_checkpoints
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.verify_shards import hash_shards, source_shards, verify_shards

if TYPE_CHECKING:
    from zeroinit_cli.checkpoint.compare import Comparison


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
        InputError: the file is there but cannot be read.
    """
    if locked.entry.shard:
        return verify_shards(locked, ignore_missing=ignore_missing, jobs=jobs, progress=progress)

    from zeroinit_cli.architectures import plan_source

    entry = locked.entry
    source, options = entry.read_source(locked.lock.parent), entry.read_options()
    spec = spec_lines(source, entry)
    plan = plan_source(source, options)
    drifted = plan.digest() != entry.plan or bool(spec)
    there = is_there(locked.path)
    comparison = _compare(plan, locked.path, progress) if there else None
    sha256 = comparison.plan_sha256 if comparison else _reproduce(plan, locked.path, progress)
    differing = unreproduced_lines(plan, entry, sha256)
    # Where the plan no longer gives the locked bytes, the lock's digest is the file's measure.
    changed = changed_lines(locked, comparison, by_digest=bool(differing))
    findings = []
    if drifted:
        told = drift_lines(plan, entry, comparison, reproduced=not differing, changed=bool(changed))
        findings.append(Finding(outcome=Outcome.DRIFTED, lines=(*spec, *told)))
    if differing:
        findings.append(Finding(outcome=Outcome.UNREPRODUCED, lines=differing))
    if changed:
        differences = comparison.differences if comparison and not differing else ()
        findings.append(Finding(outcome=Outcome.CHANGED, lines=changed, differences=differences))
    if not there and not ignore_missing:
        findings.append(Finding(outcome=Outcome.MISSING, lines=("no such file",)))
    verified = Verified(
        path=locked.path,
        checked=steps(drifted, bool(differing), comparison),
        findings=tuple(findings),
    )
    return _explained(verified, plan, source, options, comparison, locked)


def verify_hash(locked: Locked, *, ignore_missing: bool = False) -> Verified:
    """The file's digest alone, without torch or numpy.

    Raises:
        InputError: the file is there but cannot be read.
    """
    if locked.entry.shard:
        return hash_shards(locked, ignore_missing=ignore_missing)
    if not is_there(locked.path):
        missing = Finding(outcome=Outcome.MISSING, lines=("no such file",))
        findings = () if ignore_missing else (missing,)
        return Verified(path=locked.path, checked=(), findings=findings)
    lines = hash_lines(locked)
    findings = (Finding(outcome=Outcome.CHANGED, lines=lines),) if lines else ()
    checked = () if findings else ("the file has the locked digest",)
    causes = opening_causes(locked) if findings else ()
    return Verified(path=locked.path, checked=checked, findings=findings, causes=causes)


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

    from zeroinit_cli.architectures import plan_source

    plan = plan_source(source, options)
    comparison = _compare(plan, path, progress)
    lines, differences = comparison_lines(comparison), comparison.differences
    changed = Finding(outcome=Outcome.CHANGED, lines=lines, differences=differences)
    findings = (changed,) if lines else ()
    checked = () if findings else ("the file has the bytes that the source gives",)
    verified = Verified(path=path, checked=checked, findings=findings)
    return _explained(verified, plan, source, options, comparison)


def _explained(
    verified: Verified,
    plan: Plan,
    source: Source,
    options: Options,
    comparison: "Comparison | None",
    locked: Locked | None = None,
) -> Verified:
    """The same with its probable causes, which are looked for only where something is wrong."""
    if not verified.findings:
        return verified
    from zeroinit_cli.causes.guesses import Case, probable_causes
    from zeroinit_cli.causes.requests import Request

    case = Case(
        verified=verified,
        plan=plan,
        request=Request(source=source, options=options),
        comparison=comparison,
        entry=None if locked is None else locked.entry,
    )
    return replace(verified, causes=probable_causes(case))


def _reproduce(plan: Plan, path: Path, progress: Progress) -> str:
    from zeroinit_cli.checkpoint.stream import plan_sha256

    return plan_sha256(plan, advance=progress(f"deriving {path.name}", plan.nbytes))


def _compare(plan: Plan, path: Path, progress: Progress) -> "Comparison":
    from zeroinit_cli.checkpoint.compare import compare_with_plan

    return compare_with_plan(plan, path, progress(f"verifying {path.name}", plan.nbytes))

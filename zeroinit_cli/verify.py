"""Prove that locked checkpoints are what their sources give: derive, reproduce, compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.errors import LockError, ZeroinitError
from zeroinit_cli.files.reading import sha256_of
from zeroinit_cli.lock import LOCK_NAME, LockEntry, read_lock
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.checkpoint.compare import Comparison


class Outcome(StrEnum):
    """What can be wrong with a checkpoint."""

    DRIFTED = "drifted"
    UNREPRODUCED = "unreproduced"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that does not hold, and the lines that explain it."""

    outcome: Outcome
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was checked of one checkpoint, and what was found.

    Attributes:
        path: the checkpoint.
        checked: the steps that were taken and held, in words.
        findings: what does not hold; empty if all does.
    """

    path: Path
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """A checkpoint of which nothing can be said, and why."""

    path: Path
    error: ZeroinitError


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A checkpoint to verify, the lock entry that it is held against, and the lock's folder."""

    path: Path
    entry: LockEntry
    folder: Path


def verify_locked(
    paths: Sequence[Path],
    *,
    ignore_missing: bool = False,
    hash_only: bool = False,
    progress: Progress = no_progress,
) -> list[Verified | Unanswered]:
    """Every checkpoint that is asked for, in the order of the locks; none stops the others.

    Args:
        paths: folders with a lock, or locked files; the current folder if there are none.
        ignore_missing: a file that is not there fails nothing.
        hash_only: hold the files against the locked digests alone, without torch.
        progress: shown while bytes are computed.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    results: list[Verified | Unanswered] = []
    for task in locked_tasks(paths):
        try:
            if hash_only:
                results.append(verify_hash(task, ignore_missing=ignore_missing))
            else:
                results.append(verify_entry(task, ignore_missing=ignore_missing, progress=progress))
        except ZeroinitError as error:
            results.append(Unanswered(path=task.path, error=error))
    return results


def locked_tasks(paths: Sequence[Path]) -> list[Task]:
    """What `verify` is asked to check: every entry of the lock here, of a folder's, or of files.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    tasks: list[Task] = []
    for path in paths or [Path()]:
        if path.is_dir():
            lock = _lock_in(path)
            entries = read_lock(lock).checkpoint
        else:
            lock = _lock_in(path.parent)
            entries = tuple(
                entry for entry in read_lock(lock).checkpoint if entry.path == path.name
            )
            if not entries:
                raise LockError(
                    f"no entry for {path.name!r}",
                    where=str(lock),
                    hint="lock it with zeroinit generate, or give --source",
                )
        if not entries:
            raise LockError("no checkpoint is locked", where=str(lock))
        tasks += [
            Task(path=_within(lock, entry.path), entry=entry, folder=lock.parent)
            for entry in entries
        ]
    return tasks


def verify_entry(
    task: Task, *, ignore_missing: bool = False, progress: Progress = no_progress
) -> Verified:
    """All three steps for one checkpoint.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: the file is there but cannot be read.
    """
    from zeroinit_cli.architectures import plan_source

    entry = task.entry
    source = entry.read_source(task.folder)
    changed = _changed_spec(source, entry)
    plan = plan_source(source, entry.read_options())
    drifted = plan.digest() != entry.plan or bool(changed)
    missing = not task.path.exists()
    if missing:
        comparison, sha256 = None, _reproduce(plan, task.path, progress)
    else:
        comparison = _compare(plan, task.path, progress)
        sha256 = comparison.plan_sha256
    findings = []
    if drifted:
        findings.append(_drift(plan, entry, comparison, changed))
    differing = _unreproduced_lines(plan, entry, sha256)
    if differing:
        findings.append(Finding(outcome=Outcome.UNREPRODUCED, lines=differing))
    if comparison is not None:
        findings += _changes(task, comparison, differing=bool(differing))
    elif missing and not ignore_missing:
        findings.append(Finding(outcome=Outcome.MISSING, lines=("no such file",)))
    return Verified(
        path=task.path,
        checked=_steps(drifted, bool(differing), comparison),
        findings=tuple(findings),
    )


def verify_hash(task: Task, *, ignore_missing: bool = False) -> Verified:
    """The file's digest alone, without torch or numpy.

    Raises:
        InputError: the file is there but cannot be read.
    """
    if not task.path.exists():
        missing = Finding(outcome=Outcome.MISSING, lines=("no such file",))
        findings = () if ignore_missing else (missing,)
        return Verified(path=task.path, checked=(), findings=findings)
    lines = _hash_lines(task)
    findings = (Finding(outcome=Outcome.CHANGED, lines=lines),) if lines else ()
    checked = () if findings else ("the file has the locked digest",)
    return Verified(path=task.path, checked=checked, findings=findings)


def verify_source(
    path: Path, source: Source, options: Options, *, progress: Progress = no_progress
) -> Verified:
    """A file against a source that the caller names, without a lock.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: the file cannot be read.
    """
    from zeroinit_cli.architectures import plan_source

    comparison = _compare(plan_source(source, options), path, progress)
    lines = _comparison_lines(comparison)
    findings = (Finding(outcome=Outcome.CHANGED, lines=lines),) if lines else ()
    checked = () if findings else ("the file has the bytes that the source gives",)
    return Verified(path=path, checked=checked, findings=findings)


def _lock_in(folder: Path) -> Path:
    lock = folder / LOCK_NAME
    if lock.exists():
        return lock
    below = sorted(str(found) for found in folder.glob(f"*/**/{LOCK_NAME}"))[:5]
    raise LockError(
        f"no {LOCK_NAME}",
        where=str(folder.absolute()),
        found=f"locks below it: {', '.join(below)}" if below else None,
        hint=f"zeroinit verify {Path(below[0]).parent}"
        if below
        else "zeroinit generate SOURCE -o FILE writes one",
    )


def _within(lock: Path, relative: str) -> Path:
    """The path of a checkpoint, which no link may lead out of the lock's folder."""
    path = lock.parent / relative
    if not path.resolve().is_relative_to(lock.parent.resolve()):
        raise LockError(
            "a checkpoint's path leaves the lock's folder",
            where=str(lock),
            expected=f"a file within {lock.parent.resolve()}",
            found=f"{relative}, which is {path.resolve()}",
        )
    return path


def _reproduce(plan: Plan, path: Path, progress: Progress) -> str:
    from zeroinit_cli.checkpoint.stream import plan_sha256

    return plan_sha256(plan, advance=progress(f"deriving {path.name}", plan.nbytes))


def _compare(plan: Plan, path: Path, progress: Progress) -> "Comparison":
    from zeroinit_cli.checkpoint.compare import compare_with_plan

    return compare_with_plan(plan, path, progress(f"verifying {path.name}", plan.nbytes))


def _unreproduced_lines(plan: Plan, entry: LockEntry, sha256: str) -> tuple[str, ...]:
    from zeroinit_cli.checkpoint.writer import plan_size

    facts = (
        ("sha256", entry.sha256, sha256),
        ("size", entry.size, plan_size(plan)),
        ("tensors", entry.tensors, len(plan.tensors)),
    )
    return tuple(
        f"{name}: locked {locked}, derived {derived}"
        for name, locked, derived in facts
        if locked != derived
    )


def _changed_spec(source: Source, entry: LockEntry) -> tuple[str, ...]:
    """What to say of a spec that is not the one that was locked."""
    found = source.spec.digest() if source.spec is not None else None
    if found == entry.spec_sha256:
        return ()
    return (f"the spec {entry.source} has changed: locked {entry.spec_sha256}, found {found}",)


def _drift(
    plan: Plan, entry: LockEntry, comparison: "Comparison | None", changed: tuple[str, ...]
) -> Finding:
    """What can be told of how the plan changed: the lock holds its digest, the file its tensors."""
    if plan.digest() == entry.plan:
        same = "the plan is the same: lock it again with zeroinit generate"
        return Finding(outcome=Outcome.DRIFTED, lines=(*changed, same))
    lines = [*changed, f"plan: locked {entry.plan}, derived {plan.digest()}"]
    if comparison is None:
        lines.append("the file is not there to tell which tensors are concerned")
    else:
        lines += [problem for problem in comparison.problems if problem.startswith("tensor ")]
        lines += [
            f"tensor {difference.info.name!r}: another rule"
            for difference in comparison.differences
        ]
    return Finding(outcome=Outcome.DRIFTED, lines=tuple(lines))


def _changes(task: Task, comparison: "Comparison", *, differing: bool) -> list[Finding]:
    """The file against the locked digest; in detail where the plan still gives the locked bytes."""
    if comparison.same and not differing:
        return []
    # where the plan no longer gives the locked bytes, the lock's digest is the measure
    lines = _hash_lines(task) if differing else _comparison_lines(comparison)
    return [Finding(outcome=Outcome.CHANGED, lines=lines)] if lines else []


def _hash_lines(task: Task) -> tuple[str, ...]:
    sha256, size = sha256_of(task.path)
    facts = (("sha256", task.entry.sha256, sha256), ("size", task.entry.size, size))
    return tuple(
        f"{name}: locked {locked}, found {found}"
        for name, locked, found in facts
        if locked != found
    )


def _comparison_lines(comparison: "Comparison") -> tuple[str, ...]:
    lines = list(comparison.problems)
    for difference in comparison.differences:
        count = f"{difference.count} of {difference.info.numel} elements differ"
        first = f"first at {list(difference.index)}"
        values = f"expected {difference.expected}, found {difference.found}"
        lines.append(f"tensor {difference.info.name!r}: {count}, {first}: {values}")
    return tuple(lines)


def _steps(drifted: bool, unreproduced: bool, comparison: "Comparison | None") -> tuple[str, ...]:
    steps = []
    if not drifted:
        steps.append("the source gives the locked plan")
    if not unreproduced:
        steps.append("the plan gives the locked bytes")
    if comparison is not None and comparison.same and not unreproduced:
        steps.append("the file has them")
    return tuple(steps)

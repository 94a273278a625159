"""A checkpoint in one file: held against its plan, and both against the lock."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.verification.causes.openings import opening_cause
from zeroinit_cli.commands.verification.findings import Finding, Outcome, Verified
from zeroinit_cli.commands.verification.words import (
    changed_lines,
    comparison_lines,
    drift_lines,
    hash_lines,
    spec_lines,
    steps,
    unreproduced_lines,
)
from zeroinit_cli.files import is_there
from zeroinit_cli.lock import Locked
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison


def verify_file(
    locked: Locked, *, ignore_missing: bool = False, progress: Progress = no_progress
) -> Verified:
    """All three steps for a checkpoint in one file.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: the file is there but cannot be read.
    """
    from zeroinit_cli.models import plan_source

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


def hash_file(locked: Locked, *, ignore_missing: bool = False) -> Verified:
    """The file's digest alone, without torch or numpy.

    Raises:
        InputError: the file is there but cannot be read.
    """
    if not is_there(locked.path):
        missing = Finding(outcome=Outcome.MISSING, lines=("no such file",))
        findings = () if ignore_missing else (missing,)
        return Verified(path=locked.path, checked=(), findings=findings)
    lines = hash_lines(locked)
    findings = (Finding(outcome=Outcome.CHANGED, lines=lines),) if lines else ()
    checked = () if findings else ("the file has the locked digest",)
    entry = locked.entry
    cause = opening_cause(locked.path, entry.sha256, entry.size) if findings else None
    causes = () if cause is None else (cause,)
    return Verified(path=locked.path, checked=checked, findings=findings, causes=causes)


def source_file(
    path: Path, source: Source, options: Options, *, progress: Progress = no_progress
) -> Verified:
    """A file against a source that the caller names, without a lock.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: the file cannot be read.
    """
    from zeroinit_cli.models import plan_source

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
    from zeroinit_cli.commands.verification.causes.guesses import Case, causes_of_file
    from zeroinit_cli.commands.verification.causes.requests import Request

    case = Case(
        verified=verified,
        plan=plan,
        request=Request(source=source, options=options),
        entry=None if locked is None else locked.entry,
    )
    return replace(verified, causes=causes_of_file(case, comparison))


def _reproduce(plan: Plan, path: Path, progress: Progress) -> str:
    from zeroinit_cli.store.stream import plan_sha256

    return plan_sha256(plan, advance=progress(f"deriving {path.name}", plan.nbytes))


def _compare(plan: Plan, path: Path, progress: Progress) -> "Comparison":
    from zeroinit_cli.store.compare import compare_with_plan

    return compare_with_plan(plan, path, progress(f"verifying {path.name}", plan.nbytes))

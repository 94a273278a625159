"""All guesses about one checkpoint, the surest first; at most one of its file, one of its lock."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.checkpoint.compare import Comparison
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.lock import LockEntry
from zeroinit_cli.plans import Plan
from zeroinit_cli.verification.causes import changes, damage
from zeroinit_cli.verification.causes.evidence import Evidence
from zeroinit_cli.verification.causes.openings import foreign
from zeroinit_cli.verification.causes.requests import Request, asked_otherwise, locked_otherwise
from zeroinit_cli.verification.findings import Cause, Outcome, Verified

_CERTAIN: tuple[Callable[[Evidence], Cause | None], ...] = (
    damage.cut_short,
    damage.appended,
    damage.converted_line_ends,
    damage.flipped,
    damage.never_written,
    changes.written_again,
    changes.wrapped,
    changes.ties_left_out,
    changes.run_in_training_mode,
)
"""Of what the bytes are: each is seen, not inferred."""
_LIKELY: tuple[Callable[[Evidence], Cause | None], ...] = (changes.trained, changes.another_model)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A checkpoint of which something does not hold.

    Attributes:
        verified: what was found.
        plan: as it is derived now.
        request: what it was derived from.
        comparison: of the file with the plan; None if there is no file.
        entry: of the lock, if there is one.
    """

    verified: Verified
    plan: Plan
    request: Request
    comparison: Comparison | None
    entry: LockEntry | None

    def has(self, outcome: Outcome) -> bool:
        """Whether this is one of the things that were found."""
        return any(finding.outcome is outcome for finding in self.verified.findings)


def probable_causes(case: Case) -> tuple[Cause, ...]:
    """What has probably happened to the lock, and to the file.

    A guess that fails, as on a file that changes under our eyes, is none.
    """
    try:
        guesses = (_cause_of_lock(case), _cause_of_file(case))
    except (ZeroinitError, MemoryError):  # what was found counts, whatever becomes of the guesses
        return ()
    return tuple(cause for cause in guesses if cause is not None)


def cause_of_shard(plan: Plan, path: Path, comparison: Comparison) -> Cause | None:
    """What has certainly happened to a shard; what is only likely needs the whole checkpoint.

    A guess that fails, as on a file that changes under our eyes, is none.
    """
    try:
        evidence = Evidence(plan=plan, path=path, comparison=comparison)
        return foreign(path, comparison.plan_sha256) or _first(_CERTAIN, evidence)
    except ZeroinitError:
        return None


def _cause_of_file(case: Case) -> Cause | None:
    if not case.has(Outcome.CHANGED) or case.comparison is None:
        return None
    sha256 = case.entry.sha256 if case.entry is not None else case.comparison.plan_sha256
    cause = foreign(case.verified.path, sha256)
    if cause is not None or case.has(Outcome.UNREPRODUCED):
        return cause  # what the plan gives now is no measure of the file
    evidence = Evidence(plan=case.plan, path=case.verified.path, comparison=case.comparison)
    return (
        _first(_CERTAIN, evidence)
        or asked_otherwise(evidence, case.request)
        or _first(_LIKELY, evidence)
    )


def _first(guesses: tuple[Callable[[Evidence], Cause | None], ...], of: Evidence) -> Cause | None:
    return next((cause for guess in guesses if (cause := guess(of)) is not None), None)


def _cause_of_lock(case: Case) -> Cause | None:
    """Why the lock says something else than its source gives."""
    entry, source = case.entry, case.request.source
    if entry is None:
        return None
    if case.has(Outcome.DRIFTED):
        if source.spec is not None and source.spec.digest() != entry.spec_sha256:
            return None  # which is said already, and no guess
        if case.plan.digest() == entry.plan:
            return None
        return _other_versions(entry) or locked_otherwise(entry.plan, case.request)
    same = case.comparison is not None and case.comparison.same
    if case.has(Outcome.UNREPRODUCED) and same:
        return Cause(
            kind="lock-edited",
            text="the lock was edited or merged wrongly: the file has the bytes of the plan",
            hint="zeroinit generate records them again",
        )
    return None


def _other_versions(entry: LockEntry) -> Cause | None:
    from zeroinit_cli.architectures import versions

    here = versions()
    changed = [
        f"{name} {was} then, {here[name]} now"
        for name, was in sorted(entry.built_with.items())
        if name in here and here[name] != was
    ]
    if not changed:
        return None
    return Cause(
        kind="other-versions",
        text=f"another version builds another net: {', '.join(changed)}",
        hint="install the versions of then, or lock the checkpoint again",
    )

"""All guesses about one checkpoint, the surest first; at most one of its files, one of its lock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zeroinit_cli.commands.verification.causes import changes, damage
from zeroinit_cli.commands.verification.causes.evidence import (
    Evidence,
    FileEvidence,
    evidence_of_file,
    evidence_of_folder,
)
from zeroinit_cli.commands.verification.causes.folders import of_files, split_otherwise
from zeroinit_cli.commands.verification.causes.openings import foreign, opening_cause
from zeroinit_cli.commands.verification.causes.requests import (
    Request,
    asked_otherwise,
    locked_otherwise,
)
from zeroinit_cli.commands.verification.findings import Cause, Outcome, Verified
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.lock import LockedShard, LockEntry
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.store.compare import Comparison

_Known = TypeVar("_Known", bound=Evidence)
_OF_BYTES: tuple[Callable[[FileEvidence], Cause | None], ...] = (
    damage.cut_short,
    damage.appended,
    damage.converted_line_ends,
    damage.flipped,
    damage.never_written,
    changes.written_again,
)
_OF_TENSORS: tuple[Callable[[Evidence], Cause | None], ...] = (
    changes.wrapped,
    changes.ties_left_out,
    changes.run_in_training_mode,
)
"""These and those above are seen, not inferred."""
_LIKELY: tuple[Callable[[Evidence], Cause | None], ...] = (changes.trained, changes.another_model)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A checkpoint of which something does not hold.

    Attributes:
        verified: what was found.
        plan: as it is derived now.
        request: what it was derived from.
        entry: of the lock, if there is one.
    """

    verified: Verified
    plan: Plan
    request: Request
    entry: LockEntry | None

    def has(self, outcome: Outcome) -> bool:
        """Whether this is one of the things that were found."""
        return any(finding.outcome is outcome for finding in self.verified.findings)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseShard:
    """A file of such a checkpoint, as its plan has it.

    Attributes:
        path: of the file.
        plan: of its tensors.
        comparison: of the file with the plan; None if there is no file.
    """

    path: Path
    plan: Plan
    comparison: Comparison | None


def causes_of_file(case: Case, comparison: Comparison | None) -> tuple[Cause, ...]:
    """What has probably happened to the lock, and to a checkpoint's only file.

    Args:
        case: the checkpoint.
        comparison: of the file with the plan; None if there is no file.
    """
    same = comparison is not None and comparison.same
    return _guessed(
        lambda: _cause_of_lock(case, same=same), lambda: _cause_of_file(case, comparison)
    )


def causes_of_folder(
    case: Case, changed: Sequence[LockedShard], shards: Sequence[CaseShard]
) -> tuple[Cause, ...]:
    """What has probably happened to the lock, and to the files of a folder with shards.

    Args:
        case: the checkpoint.
        changed: files that are there and are not as they should be, an index among them.
        shards: what the plan gives.
    """
    same = all(each.comparison is not None and each.comparison.same for each in shards)
    return _guessed(
        lambda: _cause_of_lock(case, same=same),
        lambda: _cause_of_folder(case, changed, shards),
    )


def _guessed(*guesses: Callable[[], Cause | None]) -> tuple[Cause, ...]:
    """What they come to; one that fails, as on a file that changes under our eyes, is none."""
    try:
        causes = [guess() for guess in guesses]
    except (ZeroinitError, MemoryError):  # what was found counts, whatever becomes of the guesses
        return ()
    return tuple(cause for cause in causes if cause is not None)


def _cause_of_file(case: Case, comparison: Comparison | None) -> Cause | None:
    if not case.has(Outcome.CHANGED) or comparison is None:
        return None
    sha256 = case.entry.sha256 if case.entry is not None else comparison.plan_sha256
    cause = foreign(case.verified.path, sha256)
    if cause is not None or case.has(Outcome.UNREPRODUCED):
        return cause  # what the plan gives now is no measure of the file
    evidence = evidence_of_file(case.plan, case.verified.path, comparison)
    return _first(_OF_BYTES, evidence) or _cause_of_tensors(evidence, case.request)


def _cause_of_folder(
    case: Case, changed: Sequence[LockedShard], shards: Sequence[CaseShard]
) -> Cause | None:
    """Of the bytes of a file, or else of the tensors of all."""
    folder = case.verified.path
    known = {} if case.has(Outcome.UNREPRODUCED) else {each.path: each for each in shards}
    guesses = ((each.path, _cause_of_shard(folder, each, known)) for each in changed)
    cause = of_files(guesses)
    if cause is not None or not known:
        return cause
    places = {tensor.info.name: each.path.name for each in shards for tensor in each.plan.tensors}
    evidence = evidence_of_folder(case.plan, folder)
    return split_otherwise(evidence, places) or _cause_of_tensors(evidence, case.request)


def _cause_of_shard(
    folder: Path, expected: LockedShard, known: Mapping[Path, CaseShard]
) -> Cause | None:
    path = folder / expected.path
    cause = opening_cause(path, expected.sha256, expected.size)
    shard = known.get(path)
    if cause is not None or shard is None or shard.comparison is None:
        return cause
    return _first(_OF_BYTES, evidence_of_file(shard.plan, path, shard.comparison))


def _cause_of_tensors(evidence: Evidence, request: Request) -> Cause | None:
    """Whatever files they lie in."""
    return (
        _first(_OF_TENSORS, evidence)
        or asked_otherwise(evidence, request)
        or _first(_LIKELY, evidence)
    )


def _first(guesses: tuple[Callable[[_Known], Cause | None], ...], of: _Known) -> Cause | None:
    return next((cause for guess in guesses if (cause := guess(of)) is not None), None)


def _cause_of_lock(case: Case, *, same: bool) -> Cause | None:
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
    if case.has(Outcome.UNREPRODUCED) and same:
        return Cause(
            kind="lock-edited",
            text="the lock was edited or merged wrongly: "
            + ("the shards have" if entry.shard else "the file has")
            + " the bytes of the plan",
            hint="zeroinit generate records them again",
        )
    return None


def _other_versions(entry: LockEntry) -> Cause | None:
    from zeroinit_cli.models import versions

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

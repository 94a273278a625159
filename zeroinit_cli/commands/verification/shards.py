"""A checkpoint in the shards of a folder: held against its plan, and both against the lock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.verification.causes.folders import of_files
from zeroinit_cli.commands.verification.causes.openings import opening_cause
from zeroinit_cli.commands.verification.findings import Finding, Outcome, Verified
from zeroinit_cli.commands.verification.folder_files import FolderFiles
from zeroinit_cli.commands.verification.words import drift_lines, spec_lines
from zeroinit_cli.files import is_there
from zeroinit_cli.lock import Locked, LockedShard, LockEntry
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Advance, Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.store.jobs import in_order

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.shards import FileDigest, PlannedFile, Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """A shard's digest as its plan gives it, and its file beside the plan, if it is there."""

    shard: "Shard"
    sha256: str
    comparison: "Comparison | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Derived:
    """What a source gives, and each of its shards beside its file."""

    source: Source
    options: Options
    plan: Plan
    checked: "tuple[_Checked, ...]"

    def files(self) -> "tuple[FileDigest, ...]":
        """What the folder should hold, the index last."""
        from zeroinit_cli.store.shards import with_index

        digests = {each.shard.name: each.sha256 for each in self.checked}
        return with_index([each.shard for each in self.checked], digests)

    def index(self) -> bytes:
        """What the index should be."""
        from zeroinit_cli.store.shards import index_bytes

        return index_bytes([each.shard for each in self.checked])

    def comparisons(self) -> "dict[str, Comparison]":
        """Of the shards that are there, by their names."""
        found = ((each.shard.name, each.comparison) for each in self.checked)
        return {name: comparison for name, comparison in found if comparison is not None}


def verify_shards(
    locked: Locked, *, ignore_missing: bool = False, jobs: int = 1, progress: Progress = no_progress
) -> Verified:
    """All three steps for a sharded checkpoint.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file is there but cannot be read.
    """
    entry, folder = locked.entry, locked.path
    source, options = entry.read_source(locked.lock.parent), entry.read_options()
    spec = spec_lines(source, entry)
    derived = _derive(source, options, folder, jobs=jobs, progress=progress)
    plan = derived.plan
    drifted = plan.digest() != entry.plan or bool(spec)
    differing = _unreproduced_lines(entry, derived.files(), len(plan.tensors))
    files = FolderFiles(
        folder=folder,
        expected=entry.named_shards(),
        # Where the plan no longer gives the locked bytes, the lock's digests are the measure.
        comparisons={} if differing else derived.comparisons(),
        index=None if differing else derived.index(),
    )
    findings = []
    if drifted:
        told = drift_lines(plan, entry, None, reproduced=not differing, changed=False)
        findings.append(Finding(outcome=Outcome.DRIFTED, lines=(*spec, *told)))
    if differing:
        findings.append(Finding(outcome=Outcome.UNREPRODUCED, lines=differing))
    findings += files.findings(ignore_missing=ignore_missing)
    held = ["the source gives the locked plan"] * (not drifted)
    if not differing:
        held += ["the plan gives the locked bytes", *_whole_words(files, "have them")]
    verified = Verified(path=folder, checked=tuple(held), findings=tuple(findings))
    return _explained(verified, derived, files, entry)


def hash_shards(locked: Locked, *, ignore_missing: bool = False) -> Verified:
    """The digests of a sharded checkpoint's files alone, without torch or numpy.

    Raises:
        InputError: a file is there but cannot be read.
    """
    files = FolderFiles(folder=locked.path, expected=locked.entry.named_shards())
    findings = files.findings(ignore_missing=ignore_missing)
    words = () if findings else _whole_words(files, "have the locked digests")
    cause = of_files(
        (each.path, opening_cause(locked.path / each.path, each.sha256, each.size))
        for each in files.changed
    )
    causes = () if cause is None else (cause,)
    return Verified(path=locked.path, checked=words, findings=findings, causes=causes)


def source_shards(
    folder: Path,
    source: Source,
    options: Options,
    *,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> Verified:
    """A folder against a source that the caller names, without a lock.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file cannot be read.
    """
    derived = _derive(source, options, folder, jobs=jobs, progress=progress)
    files = FolderFiles(
        folder=folder,
        expected=[
            LockedShard(path=each.name, sha256=each.sha256, size=each.size)
            for each in derived.files()
        ],
        comparisons=derived.comparisons(),
        index=derived.index(),
    )
    findings = files.findings()
    words = () if findings else _whole_words(files, "have the bytes that the source gives")
    return _explained(Verified(path=folder, checked=words, findings=findings), derived, files)


def _derive(
    source: Source, options: Options, folder: Path, *, jobs: int, progress: Progress
) -> _Derived:
    from zeroinit_cli.models import plan_source
    from zeroinit_cli.store.shards import PlannedFile, split

    plan = plan_source(source, options)
    shards = split(plan, options.max_shard_size)
    tasks = [PlannedFile(path=folder / shard.name, plan=shard.plan) for shard in shards]
    advance = progress(
        f"verifying {folder.absolute().name}", sum(task.plan.nbytes for task in tasks)
    )
    found = in_order(_check, tasks, jobs=jobs, advance=advance)
    checked = tuple(
        _Checked(shard=shard, sha256=sha256, comparison=comparison)
        for shard, (sha256, comparison) in zip(shards, found, strict=True)
    )
    return _Derived(source=source, options=options, plan=plan, checked=checked)


def _check(task: "PlannedFile", advance: Advance) -> "tuple[str, Comparison | None]":
    """A shard's digest as its plan gives it, and its file beside the plan, if it is there."""
    from zeroinit_cli.store.compare import compare_with_plan
    from zeroinit_cli.store.stream import plan_sha256

    if not is_there(task.path):
        return plan_sha256(task.plan, advance=advance), None
    comparison = compare_with_plan(task.plan, task.path, advance)
    return comparison.plan_sha256, comparison


def _unreproduced_lines(
    entry: LockEntry, derived: "Sequence[FileDigest]", tensors: int
) -> tuple[str, ...]:
    """The locked facts that the plan does not give, file by file."""
    locked = {each.path: (each.sha256, each.size) for each in entry.named_shards()}
    found = {each.name: (each.sha256, each.size) for each in derived}
    lines = []
    for name in sorted(locked.keys() | found.keys()):
        if name not in found:
            lines.append(f"{name}: locked, not derived")
        elif name not in locked:
            lines.append(f"{name}: derived, not locked")
        else:
            facts = zip(("sha256", "size"), locked[name], found[name], strict=True)
            lines += [
                f"{name}: {fact}: locked {recorded}, derived {now}"
                for fact, recorded, now in facts
                if recorded != now
            ]
    if entry.tensors != tensors:
        lines.append(f"tensors: locked {entry.tensors}, derived {tensors}")
    return tuple(lines)


def _whole_words(files: FolderFiles, verb: str) -> tuple[str, ...]:
    """How many files were checked and held, in words."""
    if not files.whole:
        return ()
    there, every = len(files.changes), len(files.expected)
    if every == 1:
        return (f"the file {verb.replace('have', 'has', 1)}",)
    count = f"all {every}" if there == every else f"{there} of {every}"
    return (f"{count} files {verb}",)


def _explained(
    verified: Verified, derived: _Derived, files: FolderFiles, entry: LockEntry | None = None
) -> Verified:
    """The same with its probable causes, which are looked for only where something is wrong."""
    if not verified.findings:
        return verified
    from zeroinit_cli.commands.verification.causes.guesses import Case, CaseShard, causes_of_folder
    from zeroinit_cli.commands.verification.causes.requests import Request

    case = Case(
        verified=verified,
        plan=derived.plan,
        request=Request(source=derived.source, options=derived.options),
        entry=entry,
    )
    shards = [
        CaseShard(
            path=files.folder / each.shard.name, plan=each.shard.plan, comparison=each.comparison
        )
        for each in derived.checked
    ]
    return replace(verified, causes=causes_of_folder(case, files.changed, shards))

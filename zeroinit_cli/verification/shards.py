"""A checkpoint in the shards of a folder: held against its plan, and both against the lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.files.reading import is_there
from zeroinit_cli.jobs import in_order
from zeroinit_cli.lock import Locked, LockedShard, LockEntry
from zeroinit_cli.options import Options
from zeroinit_cli.progress import Advance, Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.verification.findings import Cause, Finding, Outcome, Verified
from zeroinit_cli.verification.folder_files import FolderFiles
from zeroinit_cli.verification.words import drift_lines, spec_lines

if TYPE_CHECKING:
    from zeroinit_cli.checkpoint.compare import Comparison
    from zeroinit_cli.checkpoint.shards import FileDigest, Placed, Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """A shard's digest as its plan gives it, and its file beside the plan, if it is there."""

    sha256: str
    comparison: "Comparison | None"


def verify_shards(
    locked: Locked, *, ignore_missing: bool = False, jobs: int = 1, progress: Progress = no_progress
) -> Verified:
    """All three steps for a sharded checkpoint.

    Raises:
        SourceError: the source is not known here or cannot be built.
        InputError: a file is there but cannot be read.
    """
    from zeroinit_cli.architectures import plan_source
    from zeroinit_cli.checkpoint.shards import index_bytes, split, with_index

    entry, folder = locked.entry, locked.path
    source, options = entry.read_source(locked.lock.parent), entry.read_options()
    spec = spec_lines(source, entry)
    plan = plan_source(source, options)
    drifted = plan.digest() != entry.plan or bool(spec)
    shards = split(plan, options.max_shard_size)
    checked = _check_all(shards, folder, jobs=jobs, progress=progress)
    digests = {shard.name: each.sha256 for shard, each in zip(shards, checked, strict=True)}
    differing = _unreproduced_lines(entry, with_index(shards, digests), len(plan.tensors))
    files = FolderFiles(
        folder=folder,
        expected=entry.named_shards(),
        # Where the plan no longer gives the locked bytes, the lock's digests are the measure.
        comparisons={} if differing else _comparisons(shards, checked),
        index=None if differing else index_bytes(shards),
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
    return Verified(
        path=folder,
        checked=tuple(held),
        findings=tuple(findings),
        causes=() if differing else _causes(files, shards),
    )


def hash_shards(locked: Locked, *, ignore_missing: bool = False) -> Verified:
    """The digests of a sharded checkpoint's files alone, without torch or numpy.

    Raises:
        InputError: a file is there but cannot be read.
    """
    files = FolderFiles(folder=locked.path, expected=locked.entry.named_shards())
    findings = files.findings(ignore_missing=ignore_missing)
    words = () if findings else _whole_words(files, "have the locked digests")
    return Verified(path=locked.path, checked=words, findings=findings)


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
    from zeroinit_cli.architectures import plan_source
    from zeroinit_cli.checkpoint.shards import index_bytes, split, with_index

    shards = split(plan_source(source, options), options.max_shard_size)
    checked = _check_all(shards, folder, jobs=jobs, progress=progress)
    digests = {shard.name: each.sha256 for shard, each in zip(shards, checked, strict=True)}
    files = FolderFiles(
        folder=folder,
        expected=[
            LockedShard(path=each.name, sha256=each.sha256, size=each.size)
            for each in with_index(shards, digests)
        ],
        comparisons=_comparisons(shards, checked),
        index=index_bytes(shards),
    )
    findings = files.findings()
    return Verified(
        path=folder,
        checked=() if findings else _whole_words(files, "have the bytes that the source gives"),
        findings=findings,
        causes=_causes(files, shards),
    )


def _check_all(
    shards: "Sequence[Shard]", folder: Path, *, jobs: int, progress: Progress
) -> list[_Checked]:
    from zeroinit_cli.checkpoint.shards import Placed

    tasks = [Placed(path=folder / shard.name, plan=shard.plan) for shard in shards]
    advance = progress(
        f"verifying {folder.absolute().name}", sum(task.plan.nbytes for task in tasks)
    )
    return in_order(_check, tasks, jobs=jobs, advance=advance)


def _check(task: "Placed", advance: Advance) -> _Checked:
    from zeroinit_cli.checkpoint.compare import compare_with_plan
    from zeroinit_cli.checkpoint.stream import plan_sha256

    if not is_there(task.path):
        return _Checked(sha256=plan_sha256(task.plan, advance=advance), comparison=None)
    comparison = compare_with_plan(task.plan, task.path, advance)
    return _Checked(sha256=comparison.plan_sha256, comparison=comparison)


def _comparisons(shards: "Sequence[Shard]", checked: Sequence[_Checked]) -> "dict[str, Comparison]":
    return {
        shard.name: each.comparison
        for shard, each in zip(shards, checked, strict=True)
        if each.comparison is not None
    }


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


def _causes(files: FolderFiles, shards: "Sequence[Shard]") -> tuple[Cause, ...]:
    """What has probably happened to the first shard with other bytes."""
    for shard in shards:
        comparison = files.comparisons.get(shard.name)
        if comparison is not None and not comparison.same:
            from zeroinit_cli.verification.causes.guesses import cause_of_shard

            cause = cause_of_shard(shard.plan, files.folder / shard.name, comparison)
            return () if cause is None else (cause,)
    return ()

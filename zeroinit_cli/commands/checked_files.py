"""The files of a checkpoint, one by one: what each should be, and what is there instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.findings import (
    Finding,
    Outcome,
    comparison_lines,
    digest_lines,
    index_lines,
)
from zeroinit_cli.commands.foreign_files import recognised
from zeroinit_cli.commands.location import Location
from zeroinit_cli.errors import InputError, reason_of
from zeroinit_cli.filenames import INDEX, SUFFIX, FileDigest, is_of_family
from zeroinit_cli.files import is_there, outside, sha256_of, size_of
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.diff import TensorDifference


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """The plan of a source, its files, and their comparison with the files on disk.

    Attributes:
        source: of the plan.
        plan: the whole.
        plans: of each file's tensors, by its name.
        files: what the files are, the index and what belongs beside them last.
        index: the bytes of the index; none for one file.
        comparisons: of the files that are there with their plans, by name.
    """

    source: Source
    plan: Plan
    plans: Mapping[str, Plan]
    files: tuple[FileDigest, ...]
    index: bytes
    comparisons: "Mapping[str, Comparison]"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedFile:
    """An expected file, and what is there instead of it.

    Attributes:
        path: of the file.
        expected: what it should be.
        there: something is.
        elsewhere: links lead to it out of the lock's folder, as into a cache. Then nothing is told
            but whether it is the right one: who made the link may not learn what it holds.
        lines: what it has instead of what it should, in words.
        differences: the tensors that the lines tell of.
        comparison: with its plan, where that is the measure.
    """

    path: Path
    expected: FileDigest
    there: bool = True
    elsewhere: bool = False
    lines: tuple[str, ...] = ()
    differences: "tuple[TensorDifference, ...]" = ()
    comparison: "Comparison | None" = None


def checked_files(
    location: Location,
    expected: Sequence[FileDigest],
    derived: Derived | None,
    within: Path | None = None,
) -> tuple[CheckedFile, ...]:
    """Compare each file with its plan, or with its digest where no plan is known.

    Args:
        location: of the files.
        expected: what each should be.
        derived: the plan, if it is known.
        within: the folder of the lock, where files are held against their digests alone.

    Raises:
        InputError: one is there but cannot be read.
    """
    return tuple(_checked_file(location, file, expected, derived, within) for file in expected)


def _checked_file(
    location: Location,
    file: FileDigest,
    expected: Sequence[FileDigest],
    derived: Derived | None,
    within: Path | None,
) -> CheckedFile:
    path = location.folder / file.name
    if not is_there(path):
        return CheckedFile(path=path, expected=file, there=False)
    if within is not None and (target := outside(path, within)) is not None:
        lines = digest_lines(path, file) and (f"not the locked bytes, behind a link to {target}",)
        return CheckedFile(path=path, expected=file, elsewhere=True, lines=lines)
    comparison = None if derived is None else derived.comparisons.get(file.name)
    differences = () if comparison is None else comparison.differences
    if comparison is not None:
        lines = comparison_lines(comparison)
    elif derived is not None and file.name == INDEX and derived.index:
        lines = index_lines(path, derived.index)
    else:
        lines = digest_lines(path, file)
    if lines and (other := _whose_bytes(path, file, expected)) is not None:
        lines, differences = (f"it has the bytes of {other}",), ()
    elif lines and recognised(path) is not None:  # of another format no tensor can be told
        lines, differences = lines[:1], ()
    return CheckedFile(
        path=path, expected=file, lines=lines, differences=differences, comparison=comparison
    )


def _whose_bytes(path: Path, file: FileDigest, expected: Sequence[FileDigest]) -> str | None:
    """Find another expected file that has this file's bytes."""
    size = size_of(path)
    others = [other for other in expected if other.name != file.name and other.size == size]
    if not others:
        return None
    sha256, _ = sha256_of(path)
    return next((other.name for other in others if other.sha256 == sha256), None)


def file_findings(
    location: Location, files: Sequence[CheckedFile], *, ignore_missing: bool = False
) -> tuple[Finding, ...]:
    """Collect the findings of all files.

    Raises:
        InputError: the folder or a file in it cannot be read.
    """
    others = _other_files(location, files)
    changed: list[str] = []
    missing: list[str] = []
    for file in files:
        named = location.own_folder or len(files) > 1
        prefix = f"{file.expected.name}: " if named else ""
        if not file.there:
            missing.append(f"{prefix}{_where_it_is(location, file.expected, others)}")
        changed += (f"{prefix}{line}" for line in file.lines)
    changed += (
        f"{name}: not of this checkpoint, but a loader may take it for a part"
        for name in others
        if is_of_family(name)
    )
    differences = tuple(tensor for file in files for tensor in file.differences)
    findings = []
    if changed:
        findings.append(
            Finding(outcome=Outcome.CHANGED, lines=tuple(changed), differences=differences)
        )
    if missing and not ignore_missing:
        findings.append(Finding(outcome=Outcome.MISSING, lines=tuple(missing)))
    return tuple(findings)


def _other_files(location: Location, files: Sequence[CheckedFile]) -> tuple[str, ...]:
    """List other checkpoint files in the checkpoint's own folder."""
    if not location.own_folder or not is_there(location.folder):
        return ()
    known = {file.expected.name for file in files}
    try:
        names = sorted(path.name for path in location.folder.iterdir())
    except OSError as error:
        raise InputError(
            "cannot read the folder", where=str(location.folder), found=reason_of(error)
        ) from error
    return tuple(
        name
        for name in names
        if name not in known and (name.endswith(SUFFIX) or is_of_family(name))
    )


def _where_it_is(location: Location, file: FileDigest, others: Sequence[str]) -> str:
    """Say that a file is missing, and which other file has its bytes."""
    for name in others:
        path = location.folder / name
        if path.is_file() and size_of(path) == file.size and sha256_of(path)[0] == file.sha256:
            return f"no such file; {name} has its bytes"
    return "no such file"


def whole_words(files: Sequence[CheckedFile], of_one: str, of_several: str) -> tuple[str, ...]:
    """Count the files that were checked, in words, if all that are there hold."""
    there = [file for file in files if file.there]
    if not there or any(file.lines for file in there):
        return ()
    if len(files) == 1:
        return (f"the file {of_one}",)
    count = f"all {len(files)}" if len(there) == len(files) else f"{len(there)} of {len(files)}"
    return (f"{count} files {of_several}",)

"""The findings of verification, and the lines that describe them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroinit_cli.errors import CheckpointError, ZeroinitError, shown
from zeroinit_cli.filenames import FileDigest
from zeroinit_cli.files import opened, read_exactly, sha256_of, size_of
from zeroinit_cli.lock import LockEntry
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.plans.plan import Plan
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.diff import Difference, TensorDifference


DESCRIBED = {"config-sha256": "configuration", "spec-sha256": "spec"}
"""What each digest of a source is of, in words."""


class Outcome(StrEnum):
    """The ways in which a checkpoint can fail verification."""

    DRIFTED = "drifted"
    UNREPRODUCED = "unreproduced"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One way in which a checkpoint fails, with its details.

    Attributes:
        outcome: what it is.
        lines: in words.
        differences: the tensors that the lines tell of, for programs.
    """

    outcome: Outcome
    lines: tuple[str, ...]
    differences: "tuple[TensorDifference, ...]" = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A guess at what happened to a checkpoint.

    Attributes:
        kind: a word for programs, stable between releases.
        text: a phrase that can follow "probably".
        hint: what to type or look at, where something helps.
    """

    kind: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was checked of one checkpoint, and what was found.

    Attributes:
        path: the checkpoint.
        checked: the steps that were taken and held, in words.
        findings: what does not hold; empty if all does.
        causes: what has probably happened, the likeliest first; empty where nothing can be told.
        lock: that records it, if one does.
        line: where in the lock its entry begins.
    """

    path: Path
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    causes: tuple[Cause, ...] = ()
    lock: Path | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """A checkpoint that could not be checked, and the error."""

    path: Path
    error: ZeroinitError
    lock: Path | None = None
    line: int | None = None


def source_lines(source: Source, entry: LockEntry) -> tuple[str, ...]:
    """Say which of the files that describe the source are not the locked ones."""
    locked, found = entry.source_digests(), source.digests()
    # a spec may name a configuration, too
    names = {"config-sha256": "that it names"} if entry.spec_sha256 is not None else {}
    return tuple(
        f"the {DESCRIBED[key]} {names.get(key, entry.source)} has changed: "
        f"locked {locked.get(key)}, found {found.get(key)}"
        for key in sorted(locked.keys() | found.keys())
        if locked.get(key) != found.get(key)
    )


def unreproduced_lines(
    locked: Sequence[FileDigest],
    derived: Sequence[FileDigest],
    tensors: tuple[int, int],
    *,
    named: bool,
) -> tuple[str, ...]:
    """List the locked facts that the plan does not give, file by file.

    Args:
        locked: the files of the lock.
        derived: the files of the plan.
        tensors: how many the lock and the plan have.
        named: begin each line with the file's name.
    """
    was, now = ({file.name: file for file in files} for files in (locked, derived))
    lines = []
    for name in sorted(was.keys() | now.keys()):
        if name not in now:
            lines.append(f"{name}: locked, not derived")
        elif name not in was:
            lines.append(f"{name}: derived, not locked")
        else:
            pairs = (
                ("sha256", was[name].sha256, now[name].sha256),
                ("size", was[name].size, now[name].size),
            )
            lines += [
                (f"{name}: " if named else "") + f"{fact}: locked {before}, derived {after}"
                for fact, before, after in pairs
                if before != after
            ]
    if tensors[0] != tensors[1]:
        lines.append(f"tensors: locked {tensors[0]}, derived {tensors[1]}")
    return tuple(lines)


def drift_lines(
    plan: "Plan",
    entry: LockEntry,
    difference: "Difference | None",
    *,
    reproduced: bool,
    changed: bool,
) -> tuple[str, ...]:
    """Say how the plan has changed: the lock holds its digest, the file its tensors.

    Args:
        plan: as it is derived now.
        entry: what was locked.
        difference: of the plan and the files; None if they are not all there.
        reproduced: the plan gives the locked bytes all the same.
        changed: the file's bytes are not the locked ones, so it does not show the old rules.
    """
    if plan.digest() == entry.plan:
        return ("the plan is the same: lock it again with zeroinit generate",)
    lines = [f"plan: locked {entry.plan}, derived {plan.digest()}"]
    if reproduced:
        return tuple(lines)  # no tensor has other bytes
    if difference is None:
        lines.append("the file is not there to tell which tensors are concerned")
    elif changed:
        lines.append("the file has changed too, and cannot tell which tensors are concerned")
    else:
        from zeroinit_cli.store.compare import form_problems

        lines += form_problems(difference)
        lines += (f"tensor {tensor.info.name!r}: another rule" for tensor in difference.differing)
    return tuple(lines)


def digest_lines(path: Path, expected: FileDigest) -> tuple[str, ...]:
    """List the locked facts that a file does not have.

    Raises:
        InputError: it cannot be read.
    """
    size = size_of(path)
    facts: list[tuple[str, object, object]] = [("size", expected.size, size)]
    if size <= expected.size:  # a longer file differs for certain, and may be endless
        sha256, size = sha256_of(path)
        facts = [("sha256", expected.sha256, sha256), ("size", expected.size, size)]
    return tuple(
        f"{name}: locked {recorded}, found {found}"
        for name, recorded, found in facts
        if recorded != found
    )


def comparison_lines(comparison: "Comparison") -> tuple[str, ...]:
    """Say where a file differs from its plan, tensor by tensor."""
    lines = list(comparison.problems)
    for difference in comparison.differences:
        count = f"{difference.count} of {difference.info.numel} elements differ"
        first = f"first at {list(difference.index)}"
        values = f"expected {difference.expected}, found {difference.found}"
        lines.append(f"tensor {difference.info.name!r}: {count}, {first}: {values}")
    return tuple(lines)


def index_lines(path: Path, expected: bytes) -> tuple[str, ...]:
    """Say how an index differs from the expected one.

    Raises:
        InputError: it cannot be read.
    """
    with opened(path) as (file, size):
        found = bytearray(min(size, len(expected) + 1))
        if size == len(expected) == read_exactly(file, memoryview(found)) and found == expected:
            return ()
    from zeroinit_cli.store.index import parse_index

    try:
        table = parse_index(path)
    except CheckpointError as error:
        detail = error.found or f"expected {error.expected}"
        return (f"{error.problem}: {detail}",)
    return tuple(_index_edits(json.loads(expected), table)) or (
        "the same entries, but written otherwise",
    )


def _index_edits(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    planned, there = expected["weight_map"], found["weight_map"]
    for name in sorted(planned.keys() | there.keys()):
        if name not in there:
            yield f"tensor {name!r}: missing"
        elif name not in planned:
            yield f"tensor {name!r}: not planned"
        elif planned[name] != there[name]:
            yield f"tensor {name!r}: expected in {planned[name]}, found in {there[name]!r}"
    for key in sorted((expected.keys() | found.keys()) - {"weight_map"}):
        if expected.get(key) != found.get(key):
            yield f"{key}: expected {shown(expected.get(key))}, found {shown(found.get(key))}"

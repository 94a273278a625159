"""A folder with shards, file by file: what is changed, missing or one too many."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroinit_cli.commands.verification.findings import Finding, Outcome
from zeroinit_cli.commands.verification.words import comparison_lines, digest_lines
from zeroinit_cli.errors import CheckpointError, InputError, reason_of, shown
from zeroinit_cli.filenames import INDEX, is_of_family
from zeroinit_cli.files import is_there, opened, read_exactly, sha256_of, size_of
from zeroinit_cli.lock import LockedShard

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.differences import TensorDifference

_SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class FolderFiles:
    """The files that a folder should hold, beside those that it does.

    Attributes:
        folder: where.
        expected: names, digests and sizes.
        comparisons: of files with their plans, for those that are held against one.
        index: what the index should be, where that is known; else its digest decides.
    """

    folder: Path
    expected: Sequence[LockedShard]
    comparisons: Mapping[str, "Comparison"] = field(default_factory=dict)
    index: bytes | None = None

    @cached_property
    def changes(self) -> "Mapping[str, tuple[tuple[str, ...], tuple[TensorDifference, ...]]]":
        """For each expected file that is there what it has instead, in lines and by tensors.

        Raises:
            InputError: it cannot be read.
        """
        there = (each for each in self.expected if is_there(self.folder / each.path))
        return {each.path: self._changes(each) for each in there}

    @property
    def changed(self) -> tuple[LockedShard, ...]:
        """Those that are there and are not as they should be.

        Raises:
            InputError: one cannot be read.
        """
        return tuple(each for each in self.expected if self.changes.get(each.path, ((), ()))[0])

    @property
    def whole(self) -> bool:
        """All that is there is as it should be, and something is."""
        return bool(self.changes) and not self.changed

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Names of other checkpoint files beside them.

        Raises:
            InputError: the folder cannot be read.
        """
        if not is_there(self.folder):
            return ()
        known = {each.path for each in self.expected}
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except OSError as error:
            raise InputError(
                "cannot read the folder", where=str(self.folder), found=reason_of(error)
            ) from error
        return tuple(
            name
            for name in names
            if name not in known and (name.endswith(_SUFFIX) or is_of_family(name))
        )

    def findings(self, *, ignore_missing: bool = False) -> tuple[Finding, ...]:
        """What does not hold, file by file.

        Raises:
            InputError: a file is there but cannot be read.
        """
        changed: list[str] = []
        missing: list[str] = []
        differences: list[TensorDifference] = []
        for each in self.expected:
            if each.path not in self.changes:
                missing.append(f"{each.path}: {self._where_it_is(each)}")
                continue
            lines, tensors = self.changes[each.path]
            changed += (f"{each.path}: {line}" for line in lines)
            differences += tensors
        changed += (
            f"{name}: not of this checkpoint, but a loader may take it for a part"
            for name in self.others
            if is_of_family(name)
        )
        found = []
        if changed:
            found.append(
                Finding(
                    outcome=Outcome.CHANGED, lines=tuple(changed), differences=tuple(differences)
                )
            )
        if missing and not ignore_missing:
            found.append(Finding(outcome=Outcome.MISSING, lines=tuple(missing)))
        return tuple(found)

    def _changes(self, file: LockedShard) -> tuple[tuple[str, ...], "tuple[TensorDifference, ...]"]:
        path = self.folder / file.path
        comparison = self.comparisons.get(file.path)
        if comparison is not None:
            lines, differences = comparison_lines(comparison), comparison.differences
        elif file.path == INDEX and self.index is not None:
            lines, differences = index_lines(path, self.index), ()
        else:
            lines, differences = digest_lines(path, file.sha256, file.size), ()
        if lines and (other := self._whose_bytes(path, file.path)) is not None:
            return (f"it has the bytes of {other}",), ()
        return lines, differences

    def _whose_bytes(self, path: Path, name: str) -> str | None:
        """Another of the files, whose bytes this one has."""
        size = size_of(path)
        others = [each for each in self.expected if each.path != name and each.size == size]
        if not others:
            return None
        sha256, _ = sha256_of(path)
        return next((each.path for each in others if each.sha256 == sha256), None)

    def _where_it_is(self, file: LockedShard) -> str:
        """What to say of a file that is not there: it may only have another name."""
        for name in self.others:
            path = self.folder / name
            if path.is_file() and size_of(path) == file.size and sha256_of(path)[0] == file.sha256:
                return f"no such file; {name} has its bytes"
        return "no such file"


def index_lines(path: Path, expected: bytes) -> tuple[str, ...]:
    """What happened to an index that has other bytes than it should.

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
    return tuple(_edits(json.loads(expected), table)) or (
        "the same entries, but written otherwise",
    )


def _edits(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
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

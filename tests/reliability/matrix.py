"""Change a checkpoint, its lock and its sidecar in every way, and count what is accepted."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.reliability import mutants
from tests.reliability.small import (
    LOCK,
    NAME,
    SIDECAR,
    Judge,
    command,
    judges,
    planned_once,
)
from zeroinit_cli.errors import LockError
from zeroinit_cli.lock import parse_lock

Change = TypeVar("Change")
_FEW = 25


@dataclass(kw_only=True)
class Row:
    """A class of changes, and what became of them.

    Attributes:
        name: the class, in words.
        tried: how many.
        accepted: by each judge.
        meaningless: of a lock or sidecar: changes of what nobody reads.
    """

    name: str
    tried: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    meaningless: int = 0

    def ask(self, judging: Mapping[str, Judge]) -> None:
        """Count who accepts what is there now.

        Raises:
            RuntimeError: a judge gave no judgement.
        """
        for name, judge in judging.items():
            code = judge()
            if code not in (0, 1, 2):
                raise RuntimeError(f"{name} ended with {code}")
            self.accepted[name] += code == 0


def checkpoint_classes(data: bytes) -> dict[str, Iterable[bytes]]:
    """Ways to change a checkpoint."""
    return {
        "each byte of the header, each bit": mutants.header_bytes(data),
        "10,000 random bits of the data": mutants.data_bits(data, 10_000),
        "each shorter length": mutants.truncations(data),
        "more at the end": mutants.appends(data),
        "each byte of the header twice, or left out": mutants.insertions(data),
        "the data of two tensors swapped": mutants.swapped_data(data),
        "the names of two tensors swapped": mutants.swapped_names(data),
        "two tensors laid out in another order": mutants.moved(data),
        "a header that means the same": mutants.rewritten_headers(data),
        "another shape or type of as many bytes": mutants.reshaped(data),
    }


def _some(changes: Iterable[Change], quick: bool) -> list[Change]:
    """All, or a few from everywhere."""
    every = list(changes)
    return every[:: max(len(every) // _FEW, 1)] if quick else every


def checkpoint_rows(data: bytes, *, quick: bool) -> Iterator[Row]:
    """Every mutant of the checkpoint before every judge."""
    judging = judges()
    with planned_once():
        for name, changes in checkpoint_classes(data).items():
            row = Row(name=name)
            for changed in _some(changes, quick):
                assert changed != data
                Path(NAME).write_bytes(changed)
                row.tried += 1
                row.ask(judging)
            yield row
    Path(NAME).write_bytes(data)


def replaced_row(data: bytes) -> Row:
    """The checkpoint that other options give, in this one's place."""
    row, judging = Row(name="the checkpoint of other options"), judges()
    for options in (
        ("--dtype", "float16"),
        ("--dtype", "float64"),
        ("--scale", "paper"),
        ("--expansion", "paley"),
        ("--residual", "layer"),
        ("--residual", "none"),
        ("--override", "5.weight=zeros"),
    ):
        assert command("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *options) == 0
        if Path(NAME).read_bytes() == data:
            continue  # options that say nothing of this net
        row.tried += 1
        row.ask(judging)
    Path(NAME).write_bytes(data)
    return row


def lock_rows(*, quick: bool) -> Iterator[Row]:
    """Edits of each field, and of each byte; the source is planned anew for each."""
    text = Path(LOCK).read_text()
    fields = Row(name="each field of the lock edited, left out, given twice")
    for edited in mutants.lock_fields(text):
        _judge_lock(fields, text.encode(), edited.encode())
    yield fields
    each = Row(name="each byte of the lock, some values")
    for changed in _some(mutants.bytes_of(text.encode(), 4), quick):
        _judge_lock(each, text.encode(), changed)
    yield each
    Path(LOCK).write_text(text)


def _judge_lock(row: Row, before: bytes, after: bytes) -> None:
    assert after != before
    Path(LOCK).write_bytes(after)
    row.tried += 1
    if _meaning(after) == _meaning(before):
        row.meaningless += 1
        return
    row.ask({"`verify`": lambda: command("verify")})


def _meaning(lock: bytes) -> Any:
    """All that a lock says but what it was built with, which is for information."""
    try:
        entries = parse_lock(lock, LOCK).checkpoint
    except LockError:
        return None
    return [entry.model_dump(exclude={"built_with"}) for entry in entries]


def sidecar_row(*, quick: bool) -> Row:
    """Edits of each byte of the sidecar, which sha256sum judges; verify does not read it."""
    sidecar, row = Path(SIDECAR), Row(name="each byte of the sidecar, some values")
    before = sidecar.read_bytes()
    for after in (*_some(mutants.bytes_of(before, 4), quick), b"", before[:-1], before * 2):
        sidecar.write_bytes(after)
        row.tried += 1
        if _digests(after) == _digests(before):
            row.meaningless += 1
            continue
        row.ask({"`sha256sum -c`": lambda: _sha256sum(sidecar)})
    sidecar.write_bytes(before)
    return row


def _digests(sidecar: bytes) -> set[tuple[bytes, bytes]]:
    """Digest and name of each line; capital digits and the mark of binary files mean the same."""
    lines = sidecar.splitlines()
    return {(line[:64].lower(), line[64:].replace(b" *", b"  ", 1)) for line in lines}


def _sha256sum(sidecar: Path) -> int:
    words = [str(shutil.which("sha256sum")), "--strict", "--status", "-c", str(sidecar)]
    return subprocess.run(words, capture_output=True, check=False).returncode


def all_rows(data: bytes, *, quick: bool = False) -> Iterator[Row]:
    """The whole matrix, in the folder of the small checkpoint, which every judge accepts.

    Raises:
        RuntimeError: one does not, before or after.
    """
    _control()
    yield from checkpoint_rows(data, quick=quick)
    yield replaced_row(data)
    yield from lock_rows(quick=quick)
    if shutil.which("sha256sum"):
        yield sidecar_row(quick=quick)
    _control()


def _control() -> None:
    control, judging = Row(name="no change"), judges()
    control.ask(judging)
    if control.accepted.total() != len(judging):
        raise RuntimeError(f"what nobody changed is not accepted: {dict(control.accepted)}")

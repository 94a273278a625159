"""Change a checkpoint, its lock and its sidecar in every way, and count what is accepted."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.reliability import lock_mutants, mutants
from tests.reliability.rows import (
    Row,
    all_said,
    by_sha256sum,
    check_control,
    digests,
    judge_lock,
    some,
)
from tests.reliability.small import (
    LOCK,
    NAME,
    OPTIONS,
    SIDECAR,
    command,
    judges,
    planned_once,
)


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


def checkpoint_rows(data: bytes, *, quick: bool) -> Iterator[Row]:
    """Every mutant of the checkpoint before every judge."""
    judging = judges()
    with planned_once():
        for name, changes in checkpoint_classes(data).items():
            row = Row(name=name)
            for changed in some(changes, quick):
                assert changed != data
                Path(NAME).write_bytes(changed)
                row.tried += 1
                row.ask(judging)
            yield row
    Path(NAME).write_bytes(data)


def replaced_row(data: bytes) -> Row:
    """The checkpoint that other options give, in this one's place."""
    row, judging = Row(name="the checkpoint of other options"), judges()
    for options in OPTIONS:
        assert command("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *options) == 0
        if Path(NAME).read_bytes() == data:
            continue  # options that say nothing of this net
        row.tried += 1
        row.ask(judging)
    Path(NAME).write_bytes(data)
    return row


def lock_rows(*, quick: bool) -> Iterator[Row]:
    """Edits of each field, and of each byte; the source is planned anew for each."""
    lock, judging = Path(LOCK), {"`verify`": (judges()["`verify`"], all_said)}
    text = lock.read_bytes()
    fields = Row(name="each field of the lock edited, left out, given twice")
    for edited in lock_mutants.lock_fields(text.decode()):
        judge_lock(fields, lock, edited.encode(), judging)
    yield fields
    each = Row(name="each byte of the lock, some values")
    for changed in some(lock_mutants.bytes_of(text, 4), quick):
        judge_lock(each, lock, changed, judging)
    yield each


def sidecar_row(*, quick: bool) -> Row:
    """Edits of each byte of the sidecar, which sha256sum judges; verify does not read it."""
    sidecar, row = Path(SIDECAR), Row(name="each byte of the sidecar, some values")
    before, judging = sidecar.read_bytes(), {"`sha256sum -c`": by_sha256sum(sidecar)}
    changes = some(lock_mutants.bytes_of(before, 4), quick)
    for after in (*changes, b"", before[:-1], before * 2):
        sidecar.write_bytes(after)
        row.tried += 1
        if digests(after) == digests(before):
            row.meaningless += 1
            continue
        row.ask(judging)
    sidecar.write_bytes(before)
    return row


def all_rows(data: bytes, *, quick: bool = False) -> Iterator[Row]:
    """The whole matrix, in the folder of the small checkpoint, which every judge accepts.

    Raises:
        RuntimeError: one does not, before or after.
    """
    check_control(judges())
    yield from checkpoint_rows(data, quick=quick)
    yield replaced_row(data)
    yield from lock_rows(quick=quick)
    if shutil.which("sha256sum"):
        yield sidecar_row(quick=quick)
    check_control(judges())

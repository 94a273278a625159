"""A slice of each fuzz run, and that the fuzzers find what there is to find."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import header, index, lock, spec
from tests.fuzz.engines import blind
from tests.fuzz.session import Session
from tests.fuzz.target import Target
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.store import read as reader
from zeroinit_cli.store import safetensors as header_reader

pytestmark = pytest.mark.long  # mutants by the hundred

TARGETS = [header.HEADER, index.INDEX, lock.LOCK, spec.SPEC]


def run(target: Target, folder: Path, executions: int, seed: int = 0) -> Session:
    session = Session(target, folder / "findings")
    blind(session, executions, 600, seed)
    return session


@pytest.mark.parametrize("target", TARGETS[:3], ids=lambda target: target.name)
def test_a_slice_of_each_run_finds_nothing(target: Target, tmp_path: Path) -> None:
    """The first mutants of seed 0; `make fuzz` goes on for as long as you like.

    The slice of specs stands in tests/spec/test_generated.py.
    """
    session = run(target, tmp_path, 1000)
    assert not session.findings
    assert session.executions == 1000
    assert {"read", "refused"} <= session.kinds.keys()
    assert not (tmp_path / "findings").exists()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_seed_is_examined_and_some_are_sound(target: Target) -> None:
    kinds = {target.examine(data) for data in target.seeds()}
    assert kinds & {"read", "valid"}


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [], "data_offsets": [0, 1], **changes}


STRICTER = {
    "a header that does not begin with {": b" " + json.dumps({"a": entry()}).encode(),
    "duplicate keys": b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2),
    "unknown fields": json.dumps({"a": entry(x=[-0.0])}).encode(),
    "an entry that is an array": b'{"a":["U8",[],[0,1]]}',
    "a dtype that is an object": json.dumps({"a": entry(dtype={"U8": None})}).encode(),
    "metadata that is null": json.dumps({"__metadata__": None, "a": entry()}).encode(),
}


@pytest.mark.parametrize("reason", header.STRICTER)
def test_each_reason_to_refuse_what_the_library_reads_is_needed(reason: str) -> None:
    text = STRICTER[reason]
    data = len(text).to_bytes(8, "little") + text + b"x"
    assert header.examine(data) == f"only we refuse {reason}"


def test_a_reader_that_reads_too_much_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of offsets we would read what the library refuses."""
    monkeypatch.setattr(header_reader, "_check_contiguous", lambda *arguments: None)
    session = run(header.HEADER, tmp_path, 500)
    assert any("read what the library refuses" in found for found in session.findings)
    [kept] = (tmp_path / "findings").iterdir()
    with pytest.raises(ValueError, match="read what the library refuses"):
        header.examine(kept.read_bytes())


def test_a_reader_that_refuses_too_much_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise CheckpointError("no reason", where="x")

    monkeypatch.setattr(header_reader, "_check_contiguous", refuse)
    session = run(header.HEADER, tmp_path, 200)
    assert any("we alone refuse: no reason" in found for found in session.findings)


def test_an_exception_and_a_long_time_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **words: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(reader, "check_weight_map", fail)
    session = run(index.INDEX, tmp_path, 100)
    [(found, count)] = session.findings.items()
    assert found.startswith("KeyError at test_fuzz.py:")
    assert count > 1
    assert "findings (" in session.report()
    slow = Target(
        name="slow",
        suffix=".x",
        seeds=lambda: [b""],
        mutate=lambda data, others, chance: data,
        examine=lambda data: "",
        most_seconds=-1.0,
    )
    assert run(slow, tmp_path, 1).findings == {"more than -1.0 s": 1}


def test_the_same_seed_makes_the_same_mutants() -> None:
    corpus = header.seeds()
    runs = [
        [header.mutate(corpus[3], corpus, chance) for _ in range(50)]
        for chance in (random.Random(5), random.Random(5), random.Random(6))
    ]
    assert runs[0] == runs[1] != runs[2]

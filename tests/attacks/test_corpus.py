"""Every file of the corpus through the command line: what is said, and at what cost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.answers import answer, lay_out
from tests.attacks.corpus import CASES, HERE, SUFFIXES
from tests.cli.command import Command

ALL = [(kind, name) for kind, cases in CASES.items() for name in cases]
READER = "zeroinit: 1\ninput: [4]\nlayers: [Linear: 2]\n"


def stored(kind: str, name: str) -> bytes:
    return (HERE / kind / f"{name}{SUFFIXES[kind]}").read_bytes()


def text_of(kind: str, name: str) -> str:
    return (HERE / kind / f"{name}.txt").read_text()


@pytest.mark.parametrize("kind", CASES)
def test_the_files_are_those_that_the_corpus_tells(kind: str) -> None:
    """Both ways: no case without its file and its answer, no file without its case."""
    expected = {f"{name}{suffix}" for name in CASES[kind] for suffix in (SUFFIXES[kind], ".txt")}
    assert {path.name for path in (HERE / kind).iterdir()} == expected
    for name, data in CASES[kind].items():
        assert stored(kind, name) == data, name


@pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda each: each)
@pytest.mark.timeout(30)
def test_what_is_said_of_it_is_what_stands_beside_it(kind: str, name: str) -> None:
    text = text_of(kind, name)
    assert answer(kind, stored(kind, name)) == text
    only_odd = name.endswith("-sound") or "\nwarning: " in text.replace("--- err\n", "\n")
    assert text.startswith("exit 0\n" if only_odd else ("exit 2\n", "exit 1\n"))
    assert all(line.isprintable() for line in text.split("\n"))


def test_no_such_file_is_held_for_a_checkpoint(zeroinit: Command, tmp_path: Path) -> None:
    """Against a source: it differs, and that is all. Against a sound file: likewise, or unsound."""
    (tmp_path / "net.yaml").write_text(READER)
    (tmp_path / "sound.safetensors").write_bytes(stored("headers", "shape-zero-size-sound"))
    for name in CASES["headers"]:
        (tmp_path / "x.safetensors").write_bytes(stored("headers", name))
        result = zeroinit("verify", "x.safetensors", "--source", "net.yaml")
        assert (result.code, result.err) == (1, ""), name
        assert result.out.startswith("changed: x.safetensors\n  changed: "), name
        result = zeroinit("diff", "sound.safetensors", "x.safetensors")
        only_odd = text_of("headers", name).startswith("exit 0\n")
        assert result.code == (0 if name == "shape-zero-size-sound" else 1 if only_odd else 2), name
        assert (result.err == "") is name.endswith("-sound"), name


BOUNDED = """
import os, resource, sys, time
from pathlib import Path
from zeroinit_cli.__main__ import run

commands = sys.argv[1].split(";")
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000,) * 2)
for place in sorted(Path().iterdir()):
    os.chdir(place / "inside")
    for command in commands:
        before = time.process_time()
        sys.argv = ["zeroinit", *command.split()]
        code = run()
        took = time.process_time() - before
        print(f"\\n{place.name} {command}: {code}", "slow" if took > 5 else "fast", flush=True)
    os.chdir("../..")
"""
MORE = {
    "headers": "inspect x.safetensors;inspect --json x.safetensors;inspect --header x.safetensors;"
    "inspect x.safetensors --tensor a;diff --json x.safetensors x.safetensors",
    "indexes": "inspect x.safetensors.index.json;diff x.safetensors.index.json sub",
    "locks": "verify --hash-only;verify --hash-only zeroinit.lock -q",
    "specs": "spec check x.yaml;spec check --json x.yaml;spec show x.yaml",
}


@pytest.mark.long
@pytest.mark.parametrize("kind", CASES)
def test_none_costs_time_or_memory_or_ends_in_a_fault(kind: str, tmp_path: Path) -> None:
    """All in one process that may hold 1.5 GB of addresses and take 5 seconds for each command."""
    for name, data in CASES[kind].items():
        lay_out(tmp_path / name, kind, data)
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, MORE[kind]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    commands = MORE[kind].split(";")
    ends = [line for line in done.stdout.splitlines() if line.endswith((" fast", " slow"))]
    assert len(ends) == len(CASES[kind]) * len(commands), done.stderr[-2000:]
    for end in ends:
        assert end.endswith((": 0 fast", ": 1 fast", ": 2 fast")), end
    assert "Traceback" not in done.stderr
    assert "out of memory" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stderr


def test_an_answer_that_stands_beside_no_longer_would_be_seen() -> None:
    """The comparison can fail: another file has another answer."""
    assert answer("headers", stored("headers", "data-cut")) != answer(
        "headers", stored("headers", "data-none")
    )

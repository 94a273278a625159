"""Files are there whole or not at all, whatever interrupts the writer."""

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zeroinit_cli.atomic import guarded, replacing, staging, write_all
from zeroinit_cli.errors import InputError, OutputError
from zeroinit_cli.files import opened, sha256_of

WRITER = """
import sys
from pathlib import Path
from tests.plans import plan, tensor
from zeroinit_cli.store.write import write_checkpoint
from zeroinit_cli.atomic import guarded
from zeroinit_cli.plans.rules import Hadamard

path = Path(sys.argv[1])
made = plan(tensor("a", (4096, 2048), Hadamard(half_exponent=-12)))
print("ready", flush=True)
while True:
    with guarded(path):
        write_checkpoint(made, path)
"""
LOCKER = """
import sys
from pathlib import Path
from tests.entries import entry
from zeroinit_cli.lock.write import update_lock

for number in range(5):
    update_lock(Path(sys.argv[1]), entry(f"{sys.argv[2]}-{number}"))
"""
ROOT = Path(__file__).parents[2]


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def put(path: Path, data: bytes) -> None:
    with guarded(path), replacing(path) as file:
        write_all(file, data)


def test_a_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"first", b"second"):
        put(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with guarded(path), replacing(path) as file:
            file.write(b"half")
            raise error

    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_cleared_by_any_next_run(tmp_path: Path) -> None:
    for name in (".other.zeroinit-part", ".other.zeroinit-guard", ".a.zeroinit-part"):
        (tmp_path / name).write_bytes(b"litter")
    put(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        put(tmp_path / "none" / "a", b"new")
    assert caught.value.problem == "cannot write the file"
    assert caught.value.where == str(tmp_path / "none" / "a")
    assert caught.value.found == "No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_no_umask_closes_the_stage_to_its_maker(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = os.umask(0o777)
    try:
        with guarded(path), staging(path) as stage:
            mode = stat.S_IMODE(stage.stat().st_mode)
    finally:
        os.umask(before)
    assert mode == 0o700
    assert not list(tmp_path.iterdir())


def test_a_living_writers_part_is_not_litter(tmp_path: Path) -> None:
    with guarded(tmp_path / "other"), replacing(tmp_path / "other") as file:
        put(tmp_path / "a", b"new")
        file.write(b"alive")
    assert (tmp_path / "other").read_bytes() == b"alive"


def test_a_link_in_the_way_of_the_part_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".a.zeroinit-part").symlink_to(victim)
    put(tmp_path / "a", b"new")
    assert victim.read_bytes() == b"precious"


@pytest.mark.long
def test_killed_at_any_moment_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """SIGKILL at random moments: what is there is whole, and the next run clears the rest."""
    path = tmp_path / "a"
    moments = random.Random(0)
    digests = set()
    for _ in range(20):
        process = start(WRITER, path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if path.exists():
            digests.add(sha256_of(path))
    assert len(digests) == 1
    put(path, b"next")
    assert list(tmp_path.iterdir()) == [path]


def test_many_processes_on_one_lock_lose_no_entry(tmp_path: Path) -> None:
    from zeroinit_cli.lock import read_lock

    path = tmp_path / "zeroinit.lock"
    processes = [start(LOCKER, path, f"p{number}") for number in range(6)]
    assert [process.wait(120) for process in processes] == [0] * 6
    for process in processes:
        process.communicate()
    expected = sorted(f"p{number}-{entry}" for number in range(6) for entry in range(5))
    assert [entry.path for entry in read_lock(path).checkpoint] == expected
    assert list(tmp_path.iterdir()) == [path]


def test_pipes_folders_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError) as caught, opened(path):
            pass
        assert (caught.value.problem, caught.value.where) == ("not a regular file", str(path))
    with pytest.raises(InputError) as caught:
        sha256_of(tmp_path / "none")
    assert caught.value.problem == "cannot read the file"
    assert caught.value.where == str(tmp_path / "none")
    assert caught.value.found == "No such file or directory"

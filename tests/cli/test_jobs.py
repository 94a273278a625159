"""`--jobs`: the same bytes from any number of processes, none of which outlives the command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Command, child
from tests.long import some_long

LARGE = """\
zeroinit: 1
input: [4096]
layers: [Linear: 16384, ReLU, Linear: 4096, ReLU, Linear: 16384, ReLU, Linear: 10]
"""
ARGUMENTS = ("generate", "large.yaml", "-o", "net/", "--max-shard-size", "300MB", "--jobs", "2")
STAGE = ".model.safetensors.zeroinit-stage"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command while two processes of it write into its stage."""
    (tmp_path / "large.yaml").write_text(LARGE)
    process = subprocess.Popen(
        [sys.executable, "-m", "zeroinit_cli", *ARGUMENTS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stage = tmp_path / "net" / STAGE
    deadline = time.monotonic() + 120
    while not (stage.is_dir() and any(stage.iterdir())):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    yield process
    process.kill()
    process.communicate()


def below(process: subprocess.Popen[str]) -> list[int]:
    """The processes that it has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [int(number) for number in listed.split()]


def is_alive(number: int) -> bool:
    """Whether a process runs; one that has ended may still have a number."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, processes))


def is_worker(number: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()


@pytest.mark.long  # a signal to all of them comes to this one, too
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(
    running: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    processes = below(running)
    assert processes
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (128 + number, "")
    assert err == f"interrupted by {number.name}; no file is left half written\n"
    assert all_gone(processes)
    assert [path.name for path in tmp_path.iterdir()] == ["large.yaml"]


def test_a_signal_to_the_whole_group_is_told_once(tmp_path: Path) -> None:
    """As a terminal's Ctrl-C is sent: what the processes think of it is not printed."""
    (tmp_path / "large.yaml").write_text(LARGE)
    process = subprocess.Popen(
        [sys.executable, "-m", "zeroinit_cli", *ARGUMENTS],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stage = tmp_path / "net" / STAGE
    deadline = time.monotonic() + 120
    while not stage.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted by SIGINT; no file is left half written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["large.yaml"]


@pytest.mark.long
def test_killed_outright_its_processes_end_and_the_next_run_clears_what_is_left(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    processes = below(running)
    assert len(processes) >= 2
    running.kill()
    running.communicate()
    assert all_gone(processes)
    assert [path.name for path in (tmp_path / "net").glob("model*")] == []
    (tmp_path / "net.yaml").write_text("zeroinit: 1\ninput: [4]\nlayers: [Linear: 4]\n")
    done = child("generate", "net.yaml", "-o", "net/", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [
        "model.safetensors",
        "model.safetensors.sha256",
        "zeroinit.lock",
    ]


def test_a_process_that_is_killed_ends_the_command_in_words(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    workers = list(filter(is_worker, below(running)))
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, "")
    assert err == (
        "error: a process that --jobs started has died\n"
        "  found: signal 9\n"
        "\n"
        "hint: fewer processes need less memory\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["large.yaml"]


@pytest.mark.parametrize("jobs", some_long(["1", "2", "5"], lambda jobs: jobs != "2"))
def test_the_bytes_are_the_same_for_any_number(net: Path, zeroinit: Command, jobs: str) -> None:
    arguments = ("generate", "net.yaml", "-o", "other/", "--max-shard-size", "600KB", "-j", jobs)
    done = zeroinit(*arguments)
    assert done.code == 0, done.err
    expected = {path.name: path.read_bytes() for path in net.iterdir()}
    found = {path.name: path.read_bytes() for path in (net.parent / "other").iterdir()}
    assert found == expected


def test_processes_import_no_torch(net: Path) -> None:
    """What they import is seen in their own words: each is told to print its modules."""
    script = (
        "import sys\n"
        "from tests.tasks import modules\n"
        "from zeroinit_cli.store.jobs import in_order\n"
        "if __name__ == '__main__':\n"
        "    print(*sorted(set(sum(in_order(modules, [0, 1], jobs=2), []))), sep=',')\n"
    )
    path = net.parent / "script.py"
    path.write_text(script)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(done.stdout.strip().split(","))
    assert "zeroinit_cli" in found
    assert "numpy" in found  # so that the list can fail
    assert not found & {"torch", "torchvision", "rich", "tomlkit", "pydantic"}

"""What disks, limits and clocks can do to a writer: an error in words, and the old files whole."""

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.entries import entry
from tests.files.test_replacing import ROOT, put, start
from zeroinit_cli.atomic import guarded, replacing
from zeroinit_cli.errors import OutputError
from zeroinit_cli.files import sha256_of
from zeroinit_cli.lock import read_lock
from zeroinit_cli.lock.write import update_lock

SAME_FILE = """
import sys
from pathlib import Path
from tests.plans import plan, tensor
from zeroinit_cli.commands.generate import write_plan
from zeroinit_cli.commands.location import Location
from zeroinit_cli.plans.rules import Hadamard

made = plan(tensor("a", (int(sys.argv[2]), 256), Hadamard(half_exponent=-10)))
for _ in range(5):
    write_plan(made, Location(path=Path(sys.argv[1])), force=True)
"""
LIMITED = """
import resource, sys
from pathlib import Path
from tests.entries import entry
from tests.plans import plan, tensor
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.commands.generate import write_plan
from zeroinit_cli.commands.location import Location
from zeroinit_cli.lock.write import update_lock

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
for write in (
    lambda: write_plan(plan(tensor("a", (1024, 256))), Location(path=Path("a")), force=True),
    lambda: update_lock(Path("zeroinit.lock"), entry("b")),
):
    try:
        write()
    except ZeroinitError as error:
        print(error)
"""


def is_unwritable(error: OutputError, path: Path, code: int) -> bool:
    facts = (error.problem, error.where, error.found)
    return facts == ("cannot write the file", str(path), os.strerror(code))


def message(path: Path, code: int) -> str:
    return f"error: cannot write the file in {path}\n  found: {os.strerror(code)}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["rename", "fsync", "open", "fchmod"])
def test_any_step_can_fail_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    lock = tmp_path / "zeroinit.lock"
    update_lock(lock, entry("a"))
    text = lock.read_bytes()
    break_at(monkeypatch, step, code)
    writes: tuple[tuple[Path, Callable[[], object]], ...] = (
        (path, lambda: put(path, b"new")),
        (lock, lambda: update_lock(lock, entry("b"))),
    )
    for target, write in writes:
        with pytest.raises(OutputError) as caught:
            write()
        assert is_unwritable(caught.value, target, code)
    monkeypatch.undo()
    assert (path.read_bytes(), lock.read_bytes()) == (b"old", text)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "zeroinit.lock"]


def break_at(patch: pytest.MonkeyPatch, step: str, code: int) -> None:
    """Let one step of writing fail, for unfinished files alone."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    match step:
        case "rename":
            patch.setattr(Path, "replace", fail)
            patch.setattr(os, "replace", fail)
        case "open":
            plain = os.open

            def open_(path: Any, *arguments: Any, **options: Any) -> int:
                if str(path).endswith(".zeroinit-part"):
                    fail()
                return plain(path, *arguments, **options)

            patch.setattr(os, "open", open_)
        case _:
            patch.setattr(os, step, fail)


def test_a_folder_that_cannot_be_flushed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems refuse it; the file itself has been flushed, and is in its place."""
    plain = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "")
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    put(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_is_written_is_flushed_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, then its name, then the folder: in any other order a power cut could lose it."""
    steps: list[str] = []

    def noted(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            what = name
            if name == "fsync":
                what += " folder" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else " file"
            steps.append(what)
            return plain(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", noted("rename", Path.replace))
    put(tmp_path / "a", b"new")
    assert steps == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("limit", [0, 100, 65_536])
def test_a_limit_on_the_size_of_files_is_said(tmp_path: Path, limit: int) -> None:
    (tmp_path / "a").write_bytes(b"old")
    update_lock(tmp_path / "zeroinit.lock", entry("a"))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = message(Path("a"), errno.EFBIG) + "\n"
    if limit < 1000:
        expected += message(Path("zeroinit.lock"), errno.EFBIG) + "\n"
    assert (done.stdout, done.stderr) == (expected, "")
    assert (tmp_path / "a").read_bytes() == b"old"
    locked = [each.path for each in read_lock(tmp_path / "zeroinit.lock").checkpoint]
    assert locked == (["a"] if limit < 1000 else ["a", "b"])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "zeroinit.lock"]


@pytest.mark.parametrize("count", [2, 8])
def test_processes_on_one_file_leave_one_whole_file(tmp_path: Path, count: int) -> None:
    """Each writes another; whichever is last, its sidecar is its own."""
    path = tmp_path / "a"
    writers = [start(SAME_FILE, path, str(rows)) for rows in range(300, 300 + count)]
    assert [writer.wait(120) for writer in writers] == [0] * count
    for writer in writers:
        writer.communicate()
    sha256, size = sha256_of(path)
    assert path.with_name("a.sha256").read_text() == f"{sha256}  a\n"
    assert size > 300 * 256 * 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "a.sha256"]


@pytest.mark.parametrize("seconds", [-(10**9), 0, 10**9])
def test_no_clock_is_believed(tmp_path: Path, seconds: int) -> None:
    """Files from the future and from long ago, as after a clock was set back, change nothing."""
    lock = tmp_path / "zeroinit.lock"
    update_lock(lock, entry("a"))
    for name in (".a.zeroinit-part", ".a.zeroinit-guard", ".b.zeroinit-guard", "a"):
        (tmp_path / name).write_bytes(b"litter")
    for path in tmp_path.iterdir():
        now = path.stat().st_mtime + seconds
        os.utime(path, (now, now))
    put(tmp_path / "a", b"new")
    update_lock(lock, entry("b"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [each.path for each in read_lock(lock).checkpoint] == ["a", "b"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "zeroinit.lock"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o755])
def test_modes_of_locks_and_sidecars_are_kept(tmp_path: Path, mode: int) -> None:
    lock, sidecar = tmp_path / "zeroinit.lock", tmp_path / "a.sha256"
    update_lock(lock, entry("a"))
    put(sidecar, b"old")
    for path in (lock, sidecar):
        path.chmod(mode)
    update_lock(lock, entry("b"))
    put(sidecar, b"new")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (lock, sidecar)] == [mode, mode]


def test_nothing_is_left_where_a_process_has_no_more_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(path, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limit[1]))
    try:
        with pytest.raises(OutputError) as caught, guarded(path), replacing(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert is_unwritable(caught.value, path, errno.EMFILE)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

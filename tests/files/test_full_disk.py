"""A disk that is really full: our error, exit 2, the old files whole and nothing beside them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import MODEL, here
from tests.entries import entry
from zeroinit_cli.errors import OutputError
from zeroinit_cli.lock.write import update_lock


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where whoever runs the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, *, leave: int) -> None:
    """Take all but so many bytes, in whole blocks."""
    status = os.statvfs(place)
    (place / "filler").write_bytes(b"x" * (status.f_bavail * status.f_frsize - leave))


def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(small_disk: Path) -> None:
    pytest.importorskip("torch", reason="these tests also run where no model can be built")
    (small_disk / "a").write_text("old")
    done = here("generate", MODEL, "-o", "a", "--force", cwd=small_disk)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "error: cannot write the file in a\n  found: No space left on device\n",
    )
    assert [path.name for path in small_disk.iterdir()] == ["a"]
    assert (small_disk / "a").read_text() == "old"


def test_a_lock_that_does_not_fit_keeps_its_old_entries(small_disk: Path) -> None:
    lock = small_disk / "zeroinit.lock"
    update_lock(lock, entry("a"))
    text = lock.read_text()
    fill(small_disk, leave=0)
    with pytest.raises(OutputError) as caught:
        update_lock(lock, entry("b"))
    assert caught.value.problem == "cannot write the file"
    assert (caught.value.where, caught.value.found) == (str(lock), "No space left on device")
    assert lock.read_text() == text
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "zeroinit.lock"]


@pytest.mark.long
def test_a_lock_that_does_not_fit_behind_its_checkpoint_is_recorded_by_the_next_run(
    small_disk: Path,
) -> None:
    """The checkpoint is whole, the message says what is missing, and nothing is made twice."""
    pytest.importorskip("torch", reason="these tests also run where no model can be built")
    (small_disk / "net.yaml").write_text("zeroinit: 1\ninput: [4]\nlayers: [Linear: 2]\n")
    fill(small_disk, leave=2 * os.statvfs(small_disk).f_frsize)  # for checkpoint and sidecar
    done = here("generate", "net.yaml", "-o", "a", cwd=small_disk)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "error: cannot write the file in zeroinit.lock\n  found: No space left on device\n",
    )
    left = ["a", "a.sha256", "filler", "net.yaml"]
    assert sorted(path.name for path in small_disk.iterdir()) == left
    summed = subprocess.run(["sha256sum", "-c", "a.sha256"], cwd=small_disk, check=True)
    assert summed.returncode == 0
    (small_disk / "filler").unlink()
    again = here("generate", "net.yaml", "-o", "a", cwd=small_disk)
    assert again.code == 0
    assert "a was there already with these bytes: 2 tensors" in again.err
    assert here("verify", "--hash-only", cwd=small_disk).code == 0


def test_a_disk_that_can_only_be_read_is_said_before_the_work(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = here("generate", "no_such_model", "-o", "a", cwd=small_disk)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "error: cannot write the file in a\n  found: Read-only file system\n",
    )

"""Early flushes: when they come, and that a failed one is never lost."""

import errno
import os
import threading
from pathlib import Path

import pytest

from zeroinit_cli.store.write import EarlyFlush


class Disk:
    """Takes the place of os.fdatasync: keeps the file's size at each flush, and may be broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.broken = False
        self.asked = threading.Event()
        monkeypatch.setattr(os, "fdatasync", self._flush)

    def _flush(self, descriptor: int) -> None:
        self.sizes.append(os.fstat(descriptor).st_size)
        self.asked.set()
        if self.broken:
            raise OSError(errno.EIO, "the disk is broken")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_small_file_is_left_to_the_last_flush(tmp_path: Path, disk: Disk) -> None:
    with (
        (tmp_path / "x").open("wb", buffering=0) as file,
        EarlyFlush(file, step_bytes=100) as flush,
    ):
        flush.wrote(file.write(bytes(99)))
    assert disk.sizes == []


def test_a_large_file_is_flushed_on_the_way(tmp_path: Path, disk: Disk) -> None:
    with (
        (tmp_path / "x").open("wb", buffering=0) as file,
        EarlyFlush(file, step_bytes=100) as flush,
    ):
        flush.wrote(file.write(bytes(60)))
        flush.wrote(file.write(bytes(60)))
        assert disk.asked.wait(timeout=60)
    assert disk.sizes == [120]


def write_to_a_broken_disk(path: Path, disk: Disk, error: Exception | None = None) -> None:
    disk.broken = True
    with path.open("wb", buffering=0) as file, EarlyFlush(file, step_bytes=1) as flush:
        flush.wrote(1)
        assert disk.asked.wait(timeout=60)
        if error:
            raise error


def test_a_failed_flush_is_told_though_the_last_one_passes(tmp_path: Path, disk: Disk) -> None:
    """The system reports a lost write once: what the thread was told, the last flush is not."""
    with pytest.raises(OSError, match="the disk is broken"):
        write_to_a_broken_disk(tmp_path / "x", disk)


def test_an_error_of_the_block_is_not_replaced(tmp_path: Path, disk: Disk) -> None:
    with pytest.raises(KeyError, match="the block's own"):
        write_to_a_broken_disk(tmp_path / "x", disk, KeyError("the block's own"))

"""The largest lock: read in full, and never outgrown by what is written."""

from pathlib import Path

import pytest

from tests.entries import entry
from zeroinit_cli.errors import LockError
from zeroinit_cli.lock import read_lock
from zeroinit_cli.lock.read import MOST_LOCK_BYTES
from zeroinit_cli.lock.write import render_lock, update_lock


@pytest.fixture(scope="module")
def full() -> str:
    """As many of the smallest entries as fit into a lock."""
    text, _, one = render_lock([entry("a/0000")]).partition("[[checkpoint]]")
    count = (MOST_LOCK_BYTES - len(text)) // len(f"[[checkpoint]]{one}\n")
    text += "\n".join(f"[[checkpoint]]{one}".replace("a/0000", f"a/{n:04}") for n in range(count))
    assert MOST_LOCK_BYTES - 1000 < len(text) <= MOST_LOCK_BYTES
    return text


def test_the_largest_lock_is_read(full: str, tmp_path: Path) -> None:
    path = tmp_path / "zeroinit.lock"
    path.write_text(full)
    assert len(read_lock(path).checkpoint) > 1500


def test_a_lock_that_nobody_could_read_is_not_written(full: str, tmp_path: Path) -> None:
    path = tmp_path / "zeroinit.lock"
    path.write_text(full)
    with pytest.raises(LockError) as caught:
        update_lock(path, entry("b" * 1000))
    error = caught.value
    assert (error.problem, error.where) == ("too large for a lock", str(path))
    assert error.expected == "at most 1000000 bytes"
    assert error.hint == "record it in another lock with --lock, or remove entries from this one"
    assert path.read_text() == full
    assert list(tmp_path.iterdir()) == [path]


def test_a_larger_lock_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "zeroinit.lock"
    path.write_bytes(b"#" * (MOST_LOCK_BYTES + 1))
    with pytest.raises(LockError) as caught:
        read_lock(path)
    error = caught.value
    assert (error.problem, error.where) == ("too large for a lock", str(path))
    assert (error.expected, error.found) == ("at most 1000000 bytes", "1000001 bytes")

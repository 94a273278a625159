"""What other systems lack or do otherwise, taken away here: nothing depends on it."""

import os
import re
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

import zeroinit_cli
from tests.entries import entry
from tests.files.test_replacing import put
from tests.plans import plan, tensor
from zeroinit_cli.commands.generate import write_plan
from zeroinit_cli.commands.location import Location
from zeroinit_cli.filenames import sha256sum_line
from zeroinit_cli.files import opened
from zeroinit_cli.lock import read_lock
from zeroinit_cli.lock.schema import plain_path
from zeroinit_cli.lock.write import update_lock

PACKAGE = Path(zeroinit_cli.__file__).parent


@pytest.mark.parametrize("missing", ["fchmod", "statvfs", "O_NONBLOCK"])
def test_what_windows_lacks_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    put(tmp_path / "a", b"old")
    if missing == "O_NONBLOCK":  # whose guards are another kind there
        put(tmp_path / "a", b"new")
    monkeypatch.delattr(os, missing)
    if missing != "O_NONBLOCK":
        put(tmp_path / "a", b"new")
        update_lock(tmp_path / "zeroinit.lock", entry("a"))
    with opened(tmp_path / "a") as (file, size):
        assert (file.read(), size) == (b"new", 3)


def test_a_folder_that_cannot_be_opened_as_on_windows_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def open_(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return plain(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_)
    put(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_nothing_is_renamed_or_removed_while_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows would refuse it: the part is closed when it takes its place."""
    plain, open_then = Path.replace, list[Path]()

    def replace(self: Path, target: Path) -> Path:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        open_then.extend(link for link in links if link.readlink() == self)
        return plain(self, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux lists what is open")
    monkeypatch.setattr(Path, "replace", replace)
    put(tmp_path / "a", b"new")
    assert open_then == []


def test_lines_end_alike_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are written, never text: a sidecar and a lock have no CR on Windows either."""
    monkeypatch.setattr(os, "linesep", "\r\n")
    written = write_plan(plan(tensor("a", (2,))), Location(path=tmp_path / "a"))
    update_lock(tmp_path / "zeroinit.lock", entry("a"))
    assert (tmp_path / "a.sha256").read_bytes() == f"{written.sha256}  a\n".encode()
    assert b"\r" not in (tmp_path / "zeroinit.lock").read_bytes()
    assert sha256sum_line("a", "0" * 64).endswith(b"  a\n")
    opens_text = re.compile(r"write_text\(|open\((?![^\n]*newline=)[^)\n]*[\"'][wax]t?[\"']")
    for path in PACKAGE.rglob("*.py"):
        assert not opens_text.search(path.read_text()), path


def test_a_lock_that_was_written_elsewhere_is_read_and_written_alike(tmp_path: Path) -> None:
    lock = tmp_path / "zeroinit.lock"
    update_lock(lock, entry("sub/a"))
    text = lock.read_bytes()
    lock.write_bytes(text.replace(b"\n", b"\r\n"))  # as git may check it out
    assert [each.path for each in read_lock(lock).checkpoint] == ["sub/a"]
    update_lock(lock, entry("sub/a"))
    assert lock.read_bytes() == text


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        (PureWindowsPath("sub\\a").as_posix(), False),
        ("sub\\a", True),
        ("C:a", True),
        ("C:/a", True),
        ("//server/share/a", True),
        ("a:stream", True),
    ],
)
def test_a_lock_names_no_path_that_only_one_system_has(path: str, refused: bool) -> None:
    if not refused:
        assert plain_path(path) == path
        return
    with pytest.raises(ValueError, match="must be a plain relative path"):
        plain_path(path)

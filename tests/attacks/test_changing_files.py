"""Files that grow, shrink, are written to or replaced while a command reads them."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.answers import ONE
from tests.cli.command import Command
from tests.stored_files import save
from zeroinit_cli.commands import inspect as inspecting
from zeroinit_cli.errors import InputError
from zeroinit_cli.files import opened
from zeroinit_cli.store import compare, diff, index

CHANGED = "the file changed while it was read in {}"


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def write(path: Path) -> None:
    """In its place, as many bytes; a clock that stands still would hide it."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    before = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace(path: Path) -> None:
    """By another file of the same name, size and time."""
    shutil.copy2(path, path.with_name("other"))
    path.with_name("other").replace(path)


CHANGES: list[Callable[[Path], None]] = [grow, shrink, write]
ALL = [*CHANGES, replace]


def when(patch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], None]) -> None:
    """Do something once, just before a function is called."""
    original, waiting = getattr(module, name), [act]

    def then(*arguments: Any, **options: Any) -> Any:
        while waiting:
            waiting.pop()()
        return original(*arguments, **options)

    patch.setattr(module, name, then)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("arguments", [(), ("--hash-only",)])
def test_verify_gives_no_answer_of_a_file_that_changes(
    zeroinit: Command,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    arguments: tuple[str, ...],
) -> None:
    path = made / "init.safetensors"
    if arguments:
        when(monkeypatch, hashlib, "sha256", lambda: change(path))
    else:
        when(monkeypatch, compare, "_compare_block", lambda: change(path))
    result = zeroinit("verify", *arguments)
    assert (result.code, result.out, result.err) == (
        2,
        "unanswered: init.safetensors\n",
        f"error: {CHANGED.format('init.safetensors')}\n",
    )


def test_what_takes_a_files_place_while_it_is_read_is_not_what_was_verified(
    zeroinit: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is of the file that was opened; the next run's is of the other."""

    def swap() -> None:
        (made / "other").write_bytes(b"other")
        (made / "other").replace(made / "init.safetensors")

    when(monkeypatch, compare, "_compare_block", swap)
    assert zeroinit("verify").code == 0
    assert zeroinit("verify").code == 1


@pytest.mark.parametrize("change", ALL)
@pytest.mark.parametrize("side", ["x", "y"])
def test_diff_and_inspect_do_not_mix_two_files(
    zeroinit: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    side: str,
) -> None:
    """Between the header and the data, and while the data is read."""
    path = tmp_path / f"{side}.safetensors"
    message = f"error: {CHANGED.format(path.name)}\n"
    for module, name in ((inspecting, "inspect_tensors"), (inspecting, "summarize")):
        save(path, {"a": ONE})
        if change is replace and name == "summarize":
            continue  # both are read from the file that is open
        with monkeypatch.context() as patch:
            when(patch, module, name, lambda: change(path))
            result = zeroinit("inspect", path.name)
        assert (result.code, result.out, result.err) == (2, "", message)
    for each in ("x", "y"):
        save(tmp_path / f"{each}.safetensors", {"a": ONE, "b": ONE})
    with monkeypatch.context() as patch:
        when(patch, diff, "_differing", lambda: change(path))
        result = zeroinit("diff", "x.safetensors", "y.safetensors")
    if change is replace:
        assert result.code == 0  # both tensors are read from the file that is open
    else:
        assert (result.code, result.out, result.err) == (2, "", message)


@pytest.mark.parametrize("change", CHANGES)
def test_a_lock_an_index_and_a_spec_that_change_are_not_believed(
    zeroinit: Command,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    save(made / "a.safetensors", {"a": ONE})
    name = "x.safetensors.index.json"
    (made / name).write_text('{"weight_map": {"a": "a.safetensors"}}')
    (made / "net.yaml").write_text("zeroinit: 1\ninput: [4]\nlayers: [Linear: 2]\n")
    from zeroinit_cli.lock import read as lock_reading
    from zeroinit_cli.spec import check as spec_reading

    for module, path, arguments in (
        (lock_reading, "zeroinit.lock", ("verify", "--hash-only")),
        (index, name, ("inspect", name)),
        (spec_reading, "net.yaml", ("plan", "net.yaml")),
    ):
        with monkeypatch.context() as patch:
            when(patch, module, "read_exactly", lambda path=path: change(made / path))  # type: ignore[misc]  # bound now
            result = zeroinit(*arguments)
        assert (result.code, result.out, result.err) == (2, "", f"error: {CHANGED.format(path)}\n")
        assert zeroinit(*arguments).code in (0, 2)  # by itself again, whatever it is now


def test_a_header_that_shrinks_is_said(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeroinit_cli.store import safetensors

    path = save(tmp_path / "x.safetensors", {"a": ONE})
    when(monkeypatch, safetensors, "header_length", lambda: os.truncate(path, 20))
    result = zeroinit("inspect", "x.safetensors")
    assert (result.code, result.err) == (
        2,
        "error: the file shrank while it was read in x.safetensors\n",
    )


def test_a_file_that_nobody_touches_is_read_in_peace(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with opened(tmp_path / "x") as (file, size):
        assert (file.read(), size) == (b"x", 1)
    with pytest.raises(InputError), opened(tmp_path / "x"):
        grow(tmp_path / "x")

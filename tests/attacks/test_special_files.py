"""Pipes, sockets, devices, loops and the like wherever a file is asked for: said, and at once."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.answers import ONE
from tests.cli.command import Command
from tests.cli.privileges import unprivileged
from tests.stored_files import save

LONG = "n" * 300


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # of the current folder: the name of a socket may not be long


MAKE: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "folder": Path.mkdir,
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
    LONG: lambda path: None,
    "net.yaml/x": lambda path: None,
}
UNREADABLE = {
    "pipe": "error: not a regular file in X",
    "socket": "error: cannot read the file in X\n  found: No such device or address",
    "folder": "error: not a regular file in X",
    "zero": "error: not a regular file in X",
    "null": "error: not a regular file in X",
    "memory": "error: cannot read the file in X\n  found: Input/output error",
    "loop": "error: cannot read the file in X\n  found: Too many levels of symbolic links",
    "dangling": "error: cannot read the file in X\n  found: No such file or directory",
    LONG: "error: cannot read the file in X\n  found: File name too long",
    "net.yaml/x": "error: cannot read the file in X\n  found: Not a directory",
}
NO_CHECKPOINT = {"folder": "error: no *.safetensors and no *.safetensors.index.json in X"}
NOTHING = {
    "dangling": "error: no such file or folder in X",
    "net.yaml/x": "error: no such file or folder in X",
}
EMPTY = {"memory": "error: an empty file in X:1:1\n  expected: a spec: zeroinit: 1, ..."}
NO_JSON = {
    "memory": "error: malformed index in X\n  expected: one JSON object\n"
    "  found: Expecting value: line 1 column 1 (char 0)"
}
NO_LOCK = {
    "folder": "error: no zeroinit.lock in HERE/X\n"
    "\nhint: zeroinit generate SOURCE -o FILE writes one",
    "memory": "error: unknown lock version in X: version\n  expected: 1\n  found: no version\n"
    "\nhint: restore the lock from version control, or remove it and run zeroinit generate",
}
LINKED = (
    "error: a symbolic link, which would be replaced by a file in X\n"
    "\nhint: give the path that it points to, or remove it"
)
UNWRITABLE = {
    "pipe": "error: not a regular file in X",
    "socket": "error: not a regular file in X",
    "folder": "error: a folder of this name is there in X",
    **dict.fromkeys(("zero", "null", "memory", "loop", "dangling"), LINKED),
    LONG: "error: cannot write the file in X\n  found: File name too long",
    "net.yaml/x": "error: not a folder in net.yaml",
}


def but_folders(messages: dict[str, str]) -> dict[str, str]:
    """Of a command that takes a folder, too: a checkpoint may be one."""
    return {kind: message for kind, message in messages.items() if kind != "folder"}


COMMANDS = [
    ("inspect X", ".safetensors", UNREADABLE | NO_CHECKPOINT),
    ("inspect X --json", ".safetensors.index.json", UNREADABLE | NO_CHECKPOINT | NO_JSON),
    ("diff X sound.safetensors", ".safetensors", UNREADABLE | NO_CHECKPOINT | NOTHING),
    ("diff sound.safetensors X", ".safetensors", UNREADABLE | NO_CHECKPOINT | NOTHING),
    ("verify X --source net.yaml", ".safetensors", but_folders(UNREADABLE)),
    ("verify X", ".lock", UNREADABLE | NO_LOCK),
    ("spec check X", ".yaml", UNREADABLE | EMPTY),
    ("plan X", ".yaml", UNREADABLE | EMPTY),
    ("generate net.yaml -o X --force", ".safetensors", but_folders(UNWRITABLE)),
    ("generate net.yaml -o a --lock X", ".lock", UNWRITABLE),
    ("inspect sound.safetensors --tensor a --image X --force", ".png", UNWRITABLE),
]


@pytest.fixture
def place(zeroinit: Command, tmp_path: Path) -> Path:
    """The current folder, with a spec and a sound checkpoint."""
    (tmp_path / "net.yaml").write_text("zeroinit: 1\ninput: [4]\nlayers: [Linear: 2]\n")
    save(tmp_path / "sound.safetensors", {"a": ONE})
    return tmp_path


@pytest.mark.parametrize(
    ("command", "kind", "suffix", "message"),
    [
        pytest.param(command, kind, suffix, messages[kind], id=f"{command}-{kind[:9]}")
        for command, suffix, messages in COMMANDS
        for kind in MAKE
        if kind in messages
    ],
)
@pytest.mark.timeout(60)
def test_it_is_said_and_nothing_is_waited_for_or_written(
    zeroinit: Command,
    place: Path,
    command: str,
    kind: str,
    suffix: str,
    message: str,
) -> None:
    name = f"{kind}{suffix}"
    MAKE[kind](place / name)
    before = sorted(path.name for path in place.iterdir())
    result = zeroinit(*(name if word == "X" else word for word in command.split()))
    expected = message.replace("HERE", str(place)).replace("X", name)
    assert (result.code, result.out, result.err) == (2, "", f"{expected}\n")
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "name", "message"),
    [
        ("inspect X", "x.safetensors", "cannot read the file"),
        ("diff sound.safetensors X", "x.safetensors", "cannot read the file"),
        ("verify X", "x.lock", "cannot read the file"),
        ("spec check X", "x.yaml", "cannot read the file"),
        ("generate net.yaml -o a --lock X", "x.lock", "cannot read the file"),
    ],
)
def test_what_may_not_be_read_is_said(
    zeroinit: Command, place: Path, command: str, name: str, message: str
) -> None:
    place.chmod(0o777)
    (place / name).write_bytes(b"secret")
    arguments = [name if word == "X" else word for word in command.split()]
    zeroinit(*arguments)  # what is imported on first use is out of reach below
    (place / name).chmod(0)
    with unprivileged():
        result = zeroinit(*arguments)
    assert (result.code, result.out, result.err) == (
        2,
        "",
        f"error: {message} in {name}\n  found: Permission denied\n",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".x.zeroinit-part", "error: unknown kind of image in --image\n"),
        ("no/a.png", "error: no such folder in no\n\nhint: mkdir -p no\n"),
        ("blocked.png", "error: what is there keeps blocked.png from being written in "),
    ],
)
def test_an_image_goes_where_a_checkpoint_may_go_and_nowhere_else(
    zeroinit: Command, place: Path, name: str, message: str
) -> None:
    (place / ".blocked.png.zeroinit-part").mkdir()
    result = zeroinit("inspect", "sound.safetensors", "--tensor", "a", "--image", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(message)

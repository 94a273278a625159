"""What the command says of a file of the corpus, in a folder that holds what it may point to."""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from tests.stored_files import save
from zeroinit_cli.__main__ import run

COMMANDS = {
    "headers": ("inspect", "x.safetensors"),
    "indexes": ("inspect", "x.safetensors.index.json"),
    "locks": ("verify", "--hash-only"),
    "specs": ("spec", "check", "x.yaml"),
}
_NAMES = {"locks": "zeroinit.lock", "specs": "x.yaml"}
ONE, ZERO = ("F32", [1], b"\0\0\x80\x3f"), ("F32", [1], bytes(4))


def lay_out(folder: Path, kind: str, data: bytes) -> None:
    """Put a file where the command looks for it, beside all that it may try to reach.

    The folder above holds a checkpoint, and what would be the target of a link that leads out.
    """
    inside = folder / "inside"
    (inside / "sub").mkdir(parents=True)
    for place in (folder / "outside.safetensors", folder / "a", inside / "sub" / "b.safetensors"):
        save(place, {"z": ONE})
    save(inside / "a.safetensors", {"x": ONE, "y": ZERO}, {"format": "pt"})
    save(inside / "b.safetensors", {"z": ONE}, {"format": "pt"})
    save(inside / "same.safetensors", {"x": ONE})
    (inside / "unsound.safetensors").write_bytes(b"{}")
    (inside / "file").write_bytes(b"")
    for suffix in ("", ".safetensors"):
        (inside / f"link{suffix}").symlink_to("../outside.safetensors")
        (inside / f"loop{suffix}").symlink_to(f"loop{suffix}")
        (inside / f"zero{suffix}").symlink_to("/dev/zero")
        os.mkfifo(inside / f"pipe{suffix}")
    (inside / "folder-link").symlink_to("..")
    (inside / _NAMES.get(kind, COMMANDS[kind][-1])).write_bytes(data)


def answer(kind: str, data: bytes) -> str:
    """The exit code, standard output and standard error of a command, as the .txt holds them."""
    out, err = io.StringIO(), io.StringIO()
    before, arguments = Path.cwd(), sys.argv
    with tempfile.TemporaryDirectory() as top:
        lay_out(Path(top), kind, data)
        os.chdir(Path(top) / "inside")
        sys.argv = ["zeroinit", *COMMANDS[kind]]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run()
        finally:
            os.chdir(before)
            sys.argv = arguments
    return told(Path(top), code, out.getvalue(), err.getvalue())


def told(folder: Path, code: int, out: str, err: str) -> str:
    """An answer without the folder that it was given in."""
    place = str(folder.resolve())
    return f"exit {code}\n--- out\n{out}--- err\n{err}".replace(place, "FOLDER")

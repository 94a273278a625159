"""What each command imports: the third-party packages by name, so that start-up cannot creep."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stored_files import save

_SCRIPT = """
import sys
from zeroinit_cli.__main__ import run
sys.argv = ['zeroinit', *sys.argv[1:]]
try:
    run()
except SystemExit:
    pass
tops = {name.split('.')[0] for name in sys.modules if not name.startswith('_')}
print(*sorted(tops - set(sys.stdlib_module_names) - before), sep=',', file=sys.stderr)
"""
# What the interpreter has imported before us (an editable installation's finder) is not ours.
_BEFORE = "import sys; before = {name.split('.')[0] for name in sys.modules}"

_LINE = {"annotated_doc", "shellingham", "typer", "zeroinit_cli"}
_HELP = _LINE | {"attr", "markdown_it", "mdurl", "pygments", "rich"}
# Typer converts a command's arguments with pydantic, and its own are listed with it.
COMMAND = _LINE | {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def imported(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> set[str]:
    """Third-party packages that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", f"{_BEFORE}\n{_SCRIPT}", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split(","))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "x.safetensors", {"one": ("F32", [2], b"\0\0\x80\x3f" * 2)})
    (tmp_path / "x.yaml").write_text("zeroinit: 1\ninput: 8\nlayers: [Linear: 4]\n")
    (tmp_path / "zeroinit.lock").write_text("version = 1\ncheckpoint = []\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        (["--version"], _LINE),
        (["--help"], _HELP),
        (["generate", "--help"], _HELP | COMMAND),
        (["inspect", "x.safetensors", "--header", "--json"], COMMAND),
        (["inspect", "x.safetensors", "--json"], COMMAND | {"numpy"}),
        (["diff", "x.safetensors", "x.safetensors"], COMMAND | {"numpy"}),
        (["verify", "--hash-only"], COMMAND),
        (["models"], COMMAND),
        (["spec", "check", "x.yaml"], COMMAND | {"yaml", "cython_runtime"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",  # a set has no order
)
def test_a_command_imports_no_more_than_it_needs(
    folder: Path, arguments: list[str], packages: set[str]
) -> None:
    assert imported(*arguments, cwd=folder) <= packages


def test_completion_imports_no_more_than_it_needs(folder: Path) -> None:
    environment = {
        "_ZEROINIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "zeroinit gener",
        "COMP_CWORD": "1",
    }
    assert imported(cwd=folder, env=environment) <= COMMAND


def test_what_a_command_needs_is_seen(folder: Path) -> None:
    """The lists above can fail: these commands do import what they are said to."""
    assert "numpy" in imported("inspect", "x.safetensors", cwd=folder)
    assert {"torch", "torchvision"} <= imported("digest", "alexnet", cwd=folder)

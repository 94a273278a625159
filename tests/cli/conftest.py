"""A folder to work in, the command, and one checkpoint that is generated once."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import MODEL, Command, child


@pytest.fixture
def zeroinit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `generate` left behind; not to be written."""
    folder = tmp_path_factory.mktemp("generated")
    done = child("generate", MODEL, "-o", "init.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def made(generated: Path, tmp_path: Path) -> Path:
    """A copy of the generated checkpoint, its sidecar and lock, in the current folder."""
    shutil.copytree(generated, tmp_path, dirs_exist_ok=True)
    return tmp_path

"""A folder to work in, the command, and one checkpoint that is generated once."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import MODEL, NAME, NET, Command, here

SPEC = """\
zeroinit: 1
input: [100]
layers: [Linear: 300, ReLU, Linear: 400, ReLU, Linear: 300, ReLU, Linear: 10]
"""


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
    done = here("generate", MODEL, "-o", "init.safetensors", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def made(generated: Path, tmp_path: Path) -> Path:
    """A copy of the generated checkpoint, its sidecar and lock, in the current folder."""
    shutil.copytree(generated, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def spec(zeroinit: Command, tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(SPEC)
    return tmp_path / "net.yaml"


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec and a folder that `generate` left behind; not to be written."""
    folder = tmp_path_factory.mktemp("sharded")
    (folder / "net.yaml").write_text(SPEC)
    done = here(
        "generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB", "-j", "2", cwd=folder
    )
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def net(sharded: Path, zeroinit: Command, tmp_path: Path) -> Path:
    """A copy of that folder, in the current one."""
    shutil.copytree(sharded, tmp_path, dirs_exist_ok=True)
    return tmp_path / "net"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small net's checkpoint and lock; not to be written."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "net.yaml").write_text(NET)
    done = here("generate", "net.yaml", "-o", NAME, cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def locked(small: Path, tmp_path: Path, zeroinit: Command) -> Path:
    """A copy of them, in the current folder."""
    for name in ("net.yaml", NAME, "zeroinit.lock"):
        (tmp_path / name).write_bytes((small / name).read_bytes())
    return tmp_path

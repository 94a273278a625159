"""Code that a lock names: nothing of it is imported unless somebody says so."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.ci.test_action import ROOT, generated, ready, run, runner  # noqa: F401 - fixtures
from tests.cli.command import Command, Result, here

NETS = """\
from pathlib import Path
from torch import nn

with Path(__file__).with_name("trace").open("a") as trace:
    trace.write("imported\\n")

def build():
    return nn.Linear(4, 3)
"""
ASKED = """\
error: code that a lock names, which is not run unasked in python:pkg.nets:build
  expected: your consent: whoever wrote the code and the lock could do anything here

hint: read it, then --trust-code; --hash-only compares digests without it
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's repository: code, a checkpoint of it, and their lock."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "pkg").mkdir()
    (folder / "pkg" / "nets.py").write_text(NETS)
    done = here("generate", "python:pkg.nets:build", "-o", "init.safetensors", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def cloned(strange: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / "pkg").mkdir(parents=True)
    for name in ("pkg/nets.py", "init.safetensors", "zeroinit.lock"):
        (folder / name).write_bytes((strange / name).read_bytes())
    return folder


def trace(folder: Path) -> bool:
    return (folder / "pkg" / "trace").exists() or (folder / "pkg" / "__pycache__").exists()


def test_verify_says_that_it_needs_consent_and_imports_nothing(cloned: Path) -> None:
    result = here("verify", cwd=cloned)
    assert (result.code, trace(cloned)) == (2, False)
    assert ASKED in result.out + result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--hash-only"],
        ["verify", "--ignore-missing"],
        ["restore"],
        ["restore", "--update"],
        ["inspect", "init.safetensors"],
        ["diff", "init.safetensors", "init.safetensors"],
        ["diff", "zeroinit.lock", "init.safetensors"],
        ["probe", "init.safetensors"],
        ["probe", "zeroinit.lock"],
        ["verify", "--format", "github"],
    ],
    ids=" ".join,
)
def test_no_command_imports_what_only_the_lock_names(cloned: Path, arguments: list[str]) -> None:
    (cloned / "other.safetensors").write_bytes(b"")
    here(*arguments, cwd=cloned)
    (cloned / "init.safetensors").unlink()
    here(*arguments, cwd=cloned)
    assert not trace(cloned)


def test_with_consent_it_is_verified_from_anywhere(
    cloned: Path, zeroinit: Command, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    result = here("verify", "../clone", "--trust-code", cwd=tmp_path / "elsewhere")
    assert result.code == 0, result.out + result.err
    assert result.out.startswith("ok: ../clone/init.safetensors (the source gives the locked plan")
    assert trace(cloned)
    (cloned / "init.safetensors").unlink()
    assert here("restore", "../clone", "--trust-code", cwd=tmp_path / "elsewhere").code == 0
    assert (cloned / "init.safetensors").exists()


def test_two_folders_with_modules_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for width in (3, 5):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "net.py").write_text(f"from sizes import WIDTH\n{BUILD}")
        (folder / "sizes.py").write_text(f"WIDTH = {width}\n")
        done = here("generate", "python:net:build", "-o", "init.safetensors", cwd=folder)
        assert done.code == 0, done.err
    result = here("verify", "3", "5", "--trust-code", cwd=tmp_path)
    assert result.code == 0, result.out
    assert result.out.count("ok: ") == 2


BUILD = """\
from torch import nn

def build():
    return nn.Linear(4, WIDTH)
"""


def test_the_lock_records_the_folder_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "code" / "net.py").write_text(f"WIDTH = 2\n{BUILD}")
    command = ("generate", "python:net:build", "-o", "../weights/init.safetensors")
    assert here(*command, cwd=tmp_path / "code").code == 0
    text = (tmp_path / "weights" / "zeroinit.lock").read_text()
    assert 'source = "python:net:build"\nimport-from = "../code"\n' in text


def python(folder: Path, text: str, *more: str) -> Result:
    (folder / "net.py").write_text(text)
    return here("plan", "python:net:build", *more, cwd=folder)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("", [], "no 'build' in net in python:net:build"),
        ("import nothing_of_this_name", [], "the code cannot be imported in python:net:build"),
        ("raise SystemExit(3)", [], "the code cannot be imported in python:net:build"),
        ("build = 3", [], "not what builds a module in python:net:build"),
        ("def build(width): pass", [], "not the arguments of net:build in --set"),
        ("def build(): pass", ["--set", "width=3"], "not the arguments of net:build in --set"),
        ("def build(): return 3", [], "the builder failed in python:net:build"),
        ("def build(): raise SystemExit", [], "the builder failed in python:net:build"),
        ("from torch import nn\nbuild = nn.ReLU()", [], "not what builds a module in python"),
    ],
)
def test_code_that_builds_no_module_is_an_error_of_ours(
    tmp_path: Path, text: str, more: list[str], message: str
) -> None:
    result = python(tmp_path, text, *more)
    assert result.code == 2
    assert result.err.startswith(f"error: {message}")
    assert "Traceback" not in result.err


def test_what_the_code_prints_does_not_mix_with_the_answer(tmp_path: Path) -> None:
    text = f"print('hello')\nWIDTH = 2\n{BUILD}    "
    result = python(tmp_path, text, "--json")
    assert (result.code, result.json["source"]) == (0, "python:net:build")
    assert "hello" in result.err


def test_a_lock_of_a_stranger_cannot_have_other_code_imported_by_name(cloned: Path) -> None:
    """Not even a module that is installed, such as one with an effect when it is imported."""
    lock = cloned / "zeroinit.lock"
    lock.write_text(lock.read_text().replace("python:pkg.nets:build", "python:this:build"))
    done = here("verify", cwd=cloned)
    assert done.code == 2
    assert "Beautiful is better" not in done.out + done.err
    assert "Beautiful is better" in here("verify", "--trust-code", cwd=cloned).err


def test_the_action_asks_for_consent(ready: Path, cloned: Path) -> None:  # noqa: F811
    assert run(ready, "Verify", paths=str(cloned)).returncode == 2
    assert not trace(cloned)


@pytest.mark.long
def test_the_action_passes_consent_on(ready: Path, cloned: Path) -> None:  # noqa: F811
    done = run(ready, "Verify", trust_code="true", paths=str(cloned))
    assert done.returncode == 0, done.stdout + done.stderr
    assert trace(cloned)


def test_no_hook_gives_consent_by_itself(cloned: Path) -> None:
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()):
        assert "trust" not in hook["entry"]
        assert "trust" not in " ".join(hook.get("args", []))
    entry = ["verify", "init.safetensors", "zeroinit.lock"]  # as pre-commit calls it
    assert (here(*entry, cwd=cloned).code, trace(cloned)) == (2, False)
    done = here(*entry, "--trust-code", cwd=cloned)
    assert done.code == 0, done.out + done.err


def test_the_script_of_the_hook_installs_no_torch(tmp_path: Path) -> None:
    """A recorder stands for Python: what it is called with is what would be installed."""
    (tmp_path / "hooks").mkdir()
    script = tmp_path / "hooks" / "verify-hash"
    script.write_bytes((ROOT / "hooks" / "verify-hash").read_bytes())
    recorder = tmp_path / "python"
    recorder.write_text(
        '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >> "$RECORD"\n'
        'if [ "$1 $2" = "-m venv" ]; then\n'
        '  mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/zeroinit"\nfi\n'
    )
    recorder.chmod(0o755)
    record = tmp_path / "record"
    for _ in range(2):  # the second run finds the environment
        environment = {"PYTHON": str(recorder), "RECORD": str(record), "PATH": "/usr/bin:/bin"}
        subprocess.run(["bash", script, "a b.safetensors"], env=environment, check=True)
    lines = record.read_text().replace(str(tmp_path), "ROOT").splitlines()
    assert lines == [
        "-m venv ROOT/.light",
        "-m pip install --quiet --disable-pip-version-check -c ROOT/constraints.txt "
        "typer rich pydantic PyYAML tomlkit filelock",
        "-m pip install --quiet --disable-pip-version-check --no-deps ROOT",
        "verify --hash-only a b.safetensors",
        "verify --hash-only a b.safetensors",
    ]

"""docs/ci.md: every file it shows has its tool's schema, and every command runs as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.ci.test_action import NAME, NET, ROOT
from tests.cli.command import child, here

PAGE = (ROOT / "docs" / "ci.md").read_text()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


def snippet(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize(
    ("name", "schema"),
    [("workflow", "vendor.github-workflows"), ("gitlab", "vendor.gitlab-ci")],
)
def test_a_file_has_its_tools_schema(tmp_path: Path, name: str, schema: str) -> None:
    path = tmp_path / f"{name}.yml"
    path.write_text(snippet(name))
    program = Path(sys.executable).with_name("check-jsonschema")
    command: list[str | Path] = [program, "--builtin-schema", schema, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    path.write_text(snippet(name).replace("steps:", "stops:").replace("script:", "scrap: "))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_gitlabs_options_are_ours() -> None:
    script = yaml.safe_load(snippet("gitlab"))["verify-checkpoints"]["script"]
    help_ = child("verify", "--help", env={"COLUMNS": "200"}).stdout
    for option in re.findall(r"--[a-z-]+", " ".join(script)):
        assert option in help_


def test_hooks_are_those_that_are_offered() -> None:
    [repo] = yaml.safe_load(snippet("pre-commit"))["repos"]
    assert [each["id"] for each in repo["hooks"]] == [HOOKS[0]["id"]]
    assert HOOKS[1]["id"] in snippet("pre-commit")
    [local] = yaml.safe_load(snippet("local hook"))["repos"][0]["hooks"]
    for key in ("id", "name", "entry", "files", "require_serial"):
        assert local[key] == HOOKS[0][key]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("zeroinit.lock", True),
        ("a/zeroinit.lock", True),
        ("a/init.safetensors", True),
        ("notzeroinit.lock", False),
        ("init.safetensors.sha256", False),
        ("uv.lock", False),
    ],
)
def test_hooks_run_on_locks_and_checkpoints(path: str, meant: bool) -> None:
    assert {bool(re.search(hook["files"], path)) for hook in HOOKS} == {meant}


@pytest.mark.long
def test_a_file_and_its_lock_are_checked_once(tmp_path: Path) -> None:
    """What a hook passes: every changed file."""
    (tmp_path / "net.yaml").write_text(NET)
    assert here("generate", "net.yaml", "-o", NAME, cwd=tmp_path).code == 0
    done = child("verify", NAME, "zeroinit.lock", ".", "--hash-only", cwd=tmp_path)
    assert done.stdout == f"ok: {NAME} (the file has the locked digest)\n"


def bash(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, command in (
        ("zeroinit", f"{sys.executable} -m zeroinit_cli"),
        ("python", sys.executable),
    ):
        (programs / name).write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {command} "$@"\n')
        (programs / name).chmod(0o755)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'PATH="{programs}:$PATH"\n{script}'],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_the_commands_without_torch_run(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "check.py", tmp_path / "docs")
    assert here("generate", "net.yaml", "-o", NAME, cwd=tmp_path).code == 0
    done = bash(tmp_path, snippet("plan"))
    assert done.returncode == 0, done.stderr
    sha256 = (tmp_path / f"{NAME}.sha256").read_text()[:64]
    assert done.stdout == f"{sha256}\n{NAME}: OK\n"


@pytest.mark.long
def test_a_pointer_is_held_against_the_lock(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    assert here("generate", "net.yaml", "-o", NAME, cwd=tmp_path).code == 0
    sha256 = (tmp_path / f"{NAME}.sha256").read_text()[:64]
    for oid, code in ((sha256, 0), ("0" * 64, 1)):
        (tmp_path / NAME).write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 400\n"
        )
        assert bash(tmp_path, snippet("lfs")).returncode == code


@pytest.mark.long
def test_a_listing_is_held_against_the_lock(tmp_path: Path) -> None:
    """As `git lfs ls-files --long` prints it, and as the Hub's API does."""
    (tmp_path / "net.yaml").write_text(NET)
    assert child("generate", "net.yaml", "-o", NAME, cwd=tmp_path).returncode == 0
    sha256 = (tmp_path / f"{NAME}.sha256").read_text()[:64]
    (tmp_path / NAME).unlink()
    (tmp_path / "listing.py").write_text(snippet("listing"))
    for oid, code in ((sha256, 0), ("0" * 64, 1)):
        hub = [
            {"type": "file", "oid": "1" * 40, "path": "zeroinit.lock"},
            {"type": "file", "oid": "1" * 40, "lfs": {"oid": oid, "size": 9}, "path": NAME},
        ]
        for listing in (f"{oid} - {NAME}\n{'2' * 64} * other.bin\n", json.dumps(hub)):
            (tmp_path / "listing").write_text(listing)
            done = bash(tmp_path, "python listing.py < listing")
            assert (done.returncode, done.stderr) == (
                code,
                f"not the locked bytes: {NAME}\n" if code else "",
            )
    (tmp_path / "listing").write_text("")
    assert bash(tmp_path, "python listing.py < listing").returncode == 1


def test_the_attributes_keep_git_from_converting_what_is_checked(tmp_path: Path) -> None:
    """With core.autocrlf, as Git for Windows has it; macOS' shasum takes no CR at a line's end."""
    sums = f"{'0' * 64}  m.safetensors\n".encode()
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "core.autocrlf=true"]
    for attributes, converted in ((snippet("gitattributes"), False), ("", True)):
        folder = tmp_path / str(converted)
        folder.mkdir()
        (folder / ".gitattributes").write_text(attributes)
        for name in ("m.safetensors.sha256", "zeroinit.lock"):
            (folder / name).write_bytes(sums)
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run([*git, *arguments], check=True, capture_output=True, cwd=folder)
        for name in ("m.safetensors.sha256", "zeroinit.lock"):
            (folder / name).unlink()
            subprocess.run([*git, "checkout", "-q", "--", name], check=True, cwd=folder)
            assert (b"\r" in (folder / name).read_bytes()) is converted


def test_the_light_recipe_installs_what_its_commands_need(tmp_path: Path) -> None:
    """Each command of the page runs where nothing can be imported that it does not install."""
    lines = snippet("light").splitlines()
    installed = re.search(r"install (typer .*)", snippet("light"))
    assert installed is not None
    assert f'constraints.txt" {installed[1]}' in (ROOT / "hooks" / "verify-hash").read_text()
    (tmp_path / "net.yaml").write_text(NET)
    assert here("generate", "net.yaml", "-o", NAME, cwd=tmp_path).code == 0
    commands = [line.split()[1:] for line in lines if line.startswith("light/bin/zeroinit")]
    assert len(commands) == 3
    for command in commands:
        script = (
            "import sys\n"
            "for name in ('torch', 'torchvision', 'safetensors', 'numpy', 'timm'):\n"
            "    sys.modules[name] = None\n"
            "from zeroinit_cli.__main__ import run\n"
            f"sys.argv = ['zeroinit', *{command!r}]\nsys.exit(run())"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

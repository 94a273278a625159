"""What the project says of itself: README's output, the contracts, and that they can break."""

import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np

from tests.cli.command import child, here
from tests.commands.test_tensor_picture import decoded
from zeroinit_cli import __version__

ROOT = Path(__file__).parents[1]


def test_readme_shows_what_the_command_prints(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    done = child("generate", "resnet18", "-o", "init.safetensors", cwd=tmp_path)
    verified = child("verify", cwd=tmp_path)
    shown = f"{done.stdout}{done.stderr}$ zeroinit verify\n{verified.stdout}```"
    assert f"$ zeroinit generate resnet18 -o init.safetensors\n{shown}" in readme
    drawn = tmp_path / "zero.png"
    child(
        "inspect",
        "init.safetensors",
        "--tensor",
        "conv1.weight",
        "--image",
        str(drawn),
        cwd=tmp_path,
    )
    picture = ROOT / "docs" / "images" / "zero.png"
    assert np.array_equal(decoded(drawn.read_bytes()), decoded(picture.read_bytes()))


def test_readme_shows_what_check_prints() -> None:
    readme = (ROOT / "README.md").read_text()
    plan = here("plan", "resnet18", "--json")
    command = [sys.executable, str(ROOT / "docs" / "check.py"), "-"]
    done = subprocess.run(command, input=plan.out, capture_output=True, text=True, check=True)
    assert f"| python docs/check.py - init.safetensors\n{done.stdout}```" in readme


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in (
        "generate",
        "verify",
        "digest",
        "plan",
        "inspect",
        "diff",
        "probe",
        "models",
        "spec",
    ):
        assert f"`zeroinit {command}" in readme


def test_torch_outside_its_room_would_be_seen(tmp_path: Path) -> None:
    """The import contract can fail: an `import torch` in a lower room breaks it."""
    import shutil

    shutil.copytree(ROOT / "zeroinit_cli", tmp_path / "zeroinit_cli")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    assert subprocess.run(linter, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    values = tmp_path / "zeroinit_cli" / "plans" / "values.py"
    values.write_text(f"import torch\n{values.read_text()}")
    done = subprocess.run(linter, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "zeroinit_cli.plans is not allowed to import torch" in done.stdout


def test_contributing_follows_a_tensor_through_functions_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    way = text.partition("## One tensor's way")[2]
    steps = re.findall(r"^\| (\d+) \| `([\w.]+)` \|", way, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert 10 < len(steps) <= 15
    for _, path in steps:
        pkgutil.resolve_name(f"zeroinit_cli.{path}")


def test_contributing_shows_every_room() -> None:
    house = (ROOT / "CONTRIBUTING.md").read_text().partition("## One tensor's way")[0]
    rooms = {path.stem for path in (ROOT / "zeroinit_cli").iterdir() if path.suffix != ".pyc"}
    for room in rooms - {"__init__", "__pycache__", "py"}:
        assert f"`{room}" in house, room


def test_the_version_is_printed() -> None:
    assert child("--version").stdout == f"zeroinit {__version__}\n"


def test_the_oldest_versions_that_are_tested_are_those_that_are_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lower = dict(each.split(">=") for each in project["dependencies"])
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert oldest.keys() == lower.keys()
    for name, version in lower.items():
        assert re.fullmatch(rf"{re.escape(version)}(\.\d+)*", oldest[name]), name

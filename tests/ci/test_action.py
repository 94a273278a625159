"""action.yml: its schema, and its scripts as a runner would run them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.command import here
from tests.cli.test_verify import flip
from tests.cli.workflow_commands import annotations

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
NAME = "init.safetensors"
NET = "zeroinit: 1\ninput: [4]\nlayers: [Linear: 8, ReLU, Linear: 2]\n"
RECORDER = """\
#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0") $*" >> "$RECORD"
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin"
  cp "$0" "$3/bin/python"
fi
"""


def environment(folder: Path, step: str, inputs: dict[str, str]) -> dict[str, str]:
    """What a runner sets: its own variables, and the step's, of which some are inputs."""
    given = {name: each["default"] for name, each in ACTION["inputs"].items()} | inputs
    variables = {
        "PATH": os.environ["PATH"],
        "RUNNER_TEMP": str(folder / "temp"),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_WORKSPACE": str(folder / "work"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "RECORD": str(folder / "record"),
    }
    for name, value in STEPS[step]["env"].items():
        expression = re.fullmatch(r"\$\{\{ (inputs|steps)\.(\S+) \}\}", value)
        assert expression is not None, value
        kind, key = expression.groups()
        variables[name] = given[key] if kind == "inputs" else str(folder / "python")
    return variables


def run(folder: Path, step: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]],
        cwd=folder / "work",
        env=environment(folder, step, given),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A folder with a workspace, a place for temporary files, and a Python that records."""
    for name in ("temp", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "python").write_text(RECORDER)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "net.yaml").write_text(NET)
    assert here("generate", "net.yaml", "-o", NAME, cwd=folder).code == 0
    return folder


@pytest.fixture
def ready(runner: Path, generated: Path) -> Path:
    """The workspace with a checkpoint, and zeroinit where the install step would put it."""
    shutil.copytree(generated, runner / "work", dirs_exist_ok=True)
    programs = runner / "temp" / "zeroinit" / "bin"
    programs.mkdir(parents=True)
    script = f'#!/usr/bin/env bash\nPYTHONPATH={ROOT} exec {sys.executable} -m zeroinit_cli "$@"\n'
    (programs / "zeroinit").write_text(script)
    (programs / "zeroinit").chmod(0o755)
    return runner


def test_the_schemas_of_github_and_pre_commit_accept_the_files() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.github-actions", ROOT / "action.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_script_contains_an_expression() -> None:
    """An input that were pasted into a script would be run as code."""
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")


def test_every_input_is_used_and_described() -> None:
    text = (ROOT / "action.yml").read_text()
    page = (ROOT / "docs" / "ci.md").read_text()
    for name, each in ACTION["inputs"].items():
        assert f"${{{{ inputs.{name} }}}}" in text
        assert f"| `{name}` |" in page
        assert isinstance(each["default"], str)


def test_other_actions_are_pinned_to_a_commit() -> None:
    for step in STEPS.values():
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])


def recorded(folder: Path) -> list[str]:
    lines = (folder / "record").read_text().splitlines()
    return [line.replace(str(ROOT), "ACTION").replace(str(folder), "") for line in lines]


def test_torch_is_installed_for_the_cpu(runner: Path) -> None:
    done = run(runner, "Install")
    assert done.returncode == 0, done.stderr
    pip = "python -m pip install --quiet --disable-pip-version-check"
    assert recorded(runner) == [
        "python -m venv /temp/zeroinit",
        f"{pip} --index-url {ACTION['inputs']['torch-index']['default']} "
        "-r /temp/zeroinit-torch.txt",
        f"{pip} -c ACTION/constraints.txt ACTION",
    ]
    pins = (runner / "temp" / "zeroinit-torch.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == ["torch", "torchvision"]


def test_the_libraries_of_sources_are_installed_where_they_are_asked_for(runner: Path) -> None:
    done = run(runner, "Install", extras="timm,transformers")
    assert done.returncode == 0, done.stderr
    assert recorded(runner)[-1].endswith("constraints.txt ACTION[timm,transformers]")


def test_by_digest_alone_needs_no_torch(runner: Path) -> None:
    done = run(runner, "Install", hash_only="true")
    assert done.returncode == 0, done.stderr
    assert "torch" not in " ".join(recorded(runner))
    assert recorded(runner)[-1].endswith("--no-deps ACTION")


@pytest.mark.long
def test_what_the_action_installs_is_enough_to_verify_by_digest(ready: Path) -> None:
    """Nothing else of site-packages is imported."""
    names = re.search(r'constraints" (typer .*)', STEPS["Install"]["run"])
    assert names is not None
    allowed = {"yaml", *(name.lower() for name in names[1].split())}
    script = (
        "import sys\nbefore = set(sys.modules)\nfrom zeroinit_cli.__main__ import run\n"
        "sys.argv = ['zeroinit', 'verify', '--hash-only', '--format', 'github']\ncode = run()\n"
        "from importlib.metadata import packages_distributions as known\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(code, sorted(each for name in names for each in known().get(name, [])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ready / "work",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    code, _, used = done.stdout.splitlines()[-1].partition(" ")
    assert code == "0"
    packages = {name.lower() for name in eval(used)} - {"zeroinit-cli"}
    brought = {"annotated-types", "annotated-doc", "pydantic-core", "pydantic_core", "shellingham"}
    brought |= {"typing-extensions", "typing_extensions", "typing-inspection", "pygments"}
    assert packages - allowed - brought - {"pyyaml"} == set()


@pytest.mark.long
def test_what_holds_is_said_and_summed_up(ready: Path) -> None:
    done = run(ready, "Verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"ok: {NAME} (")
    assert (ready / "summary.md").read_text().startswith("### zeroinit verify: 1 ok\n")


def test_what_does_not_hold_is_annotated(ready: Path) -> None:
    path = ready / "work" / NAME
    flip(path, path.stat().st_size - 1)
    done = run(ready, "Verify", hash_only="true", summary="false")
    assert done.returncode == 1
    [found] = annotations(done.stdout)
    assert (found.properties["file"], found.properties["line"]) == ("zeroinit.lock", "4")
    assert not (ready / "summary.md").exists()


@pytest.mark.long
def test_missing_weights_may_be_ignored(ready: Path) -> None:
    (ready / "work" / NAME).unlink()
    assert run(ready, "Verify").returncode == 1
    assert run(ready, "Verify", ignore_missing="true").returncode == 0


@pytest.mark.long
def test_paths_are_words_whatever_is_in_them(ready: Path) -> None:
    work = ready / "work"
    for name in ("a b", "-x; touch gotcha; $(touch gotcha)", "c"):
        (work / name).mkdir()
        for each in (NAME, "net.yaml", "zeroinit.lock"):
            (work / name / each).write_bytes((work / each).read_bytes())
    done = run(
        ready, "Verify", paths="a b\r\n\n-x; touch gotcha; $(touch gotcha)\n", hash_only="true"
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(" (")[0] for line in done.stdout.splitlines()] == [
        f"ok: a b/{NAME}",
        f"ok: -x; touch gotcha; $(touch gotcha)/{NAME}",
    ]
    assert not (work / "gotcha").exists()

"""Every snippet of the documentation runs."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch

from tests.cli.command import child
from zeroinit_cli.cli.app import _NAMES
from zeroinit_cli.cli.complete import known_models

ROOT = Path(__file__).parents[1]


def test_the_page_for_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 6
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, names)
    sha256 = names["sha256"]
    assert (tmp_path / "init.safetensors.sha256").read_text() == f"{sha256}  init.safetensors\n"
    assert "0.weight (1000, 64) embedding table: mirrored signs" in capsys.readouterr().out


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_policys_page_names_every_warning() -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "zeroinit_cli" / "models").rglob("*.py"))
    kinds = set(re.findall(r'kind="([a-z-]+)"', code))
    assert kinds
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()


def test_the_table_of_contents_has_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)]+)\)", index)}
    pages = {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "evidence").rglob("README.md"),
        *(ROOT / "benchmarks").glob("README.md"),
    }
    assert {page for page in pages if page not in linked} == {ROOT / "docs" / "index.md"}
    assert "(docs/index.md)" in (ROOT / "README.md").read_text()


def options_of(command: str) -> set[str]:
    shown = child(*command.split(), "--help", env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    return set(re.findall(r"--[a-z-]+", shown))


def test_the_page_of_answers_says_which_commands_have_which_formats() -> None:
    first = (ROOT / "docs" / "output.md").read_text().split("\n\n")[1]
    github, json = first.split(" print in three formats, ")
    for sentence, option in ((github, "--format"), (json, "--json")):
        for command in re.findall(r"`([a-z ]+)`", sentence):
            assert option in options_of(command), command
    named = re.findall(r"`([a-z ]+)`", first)
    assert {name.split()[0] for name in named} == set(_NAMES)


def test_models_that_the_pages_name_by_a_glob_are_there() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for glob in re.findall(r"`([a-z0-9]+_\*)` models", page.read_text()):
            assert any(fnmatchcase(name, glob) for name in known_models()), glob
    assert "have no names" not in (ROOT / "docs" / "probe.md").read_text()

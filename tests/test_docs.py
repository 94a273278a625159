"""Every snippet of the documentation runs."""

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zeroinit_cli
from tests.cli.command import child
from tests.live.ranks import CAN_SHARD, on_ranks
from zeroinit_cli.cli.app import _NAMES
from zeroinit_cli.cli.complete import known_models
from zeroinit_cli.plans.checked import Checked, CheckedTensor

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


@pytest.mark.skipif(not CAN_SHARD, reason="an old torch")
def test_the_page_of_scale_runs_on_two_ranks(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 5

    def work(rank: int) -> bool:
        os.chdir(tmp_path)
        # the ranks have met already
        pytest.MonkeyPatch().setattr(torch.distributed, "init_process_group", lambda: None)
        names: dict[str, Any] = {}
        for snippet in snippets:
            exec(snippet, names)
        for name, dimension in (("0.weight", 0), ("1.linear1.weight", 1)):
            whole = zeroinit_cli.values(names["plan"], name)
            halves = [names["megatron"](name, dimension, each, 2) for each in range(2)]
            assert np.array_equal(np.concatenate(halves, dimension), whole)
            pieces = np.concatenate([names["zero3"](name, each, 7) for each in range(7)])
            assert np.array_equal(pieces[: whole.size], whole.reshape(-1))
            assert len(pieces) == -(-whole.size // 7) * 7
            assert not pieces[whole.size :].any()
        return bool(names["found"].ok)

    assert on_ranks(2, work, backend="gloo") == [True, True]


def test_the_page_of_scale_shows_what_a_check_says() -> None:
    tensors = [
        CheckedTensor(
            name=name,
            shape=shape,
            held=held,
            differing=differing,
            differing_in_copies=in_copies,
            first_difference=first,
        )
        for name, shape, held, differing, in_copies, first in (
            ("1.linear1.weight", (256, 64), 256 * 64, 12, 0, (3, 0)),
            ("2.norm1.bias", (64,), 64, 0, 1, (5,)),
            *[("0.weight", (1000, 64), 64_000, 0, 0, None)] * 49,
        )
    ]
    found = Checked(digest="sha256:…", tensors=tuple(tensors))
    assert f"```text\n{found}\n```" in (ROOT / "docs" / "scale.md").read_text()


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

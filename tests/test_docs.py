"""Every snippet of the documentation runs."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def test_the_page_for_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 4
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

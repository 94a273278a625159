"""The pages of the sources: their files are written, their commands and snippets run."""

import re
from pathlib import Path

import pytest

from tests.cli.command import here
from zeroinit_cli.nets.torchvision import import_torchvision

PAGES = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def answers(block: str, folder: Path) -> str:
    """A block of a console, with what its commands print here."""
    text = ""
    for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        words = [word.strip("'") for word in line.split()]
        assert words[0] == "zeroinit"
        done = here(*words[1:], cwd=folder)
        text += f"$ {line}\n{done.out}{done.err}"
    return text


@pytest.mark.parametrize("name", ["timm", "transformers", "own-code"])
def test_what_a_page_shows_is_what_is_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()  # before other packages do, which cannot help it to be imported
    page = (PAGES / f"{name}.md").read_text()
    for path, text in _FILE.findall(page):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall(_FILE.sub("", page))
    assert {kind for kind, _ in blocks} >= {"console"}
    for kind, block in blocks:
        if kind == "console":
            assert answers(block, tmp_path) == block
        else:
            exec(block, {})

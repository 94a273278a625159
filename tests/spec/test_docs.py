"""docs/specs.md runs as it is written, and the reference is what the schema says."""

import re
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.spec.reference import reference

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(yaml|console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "docs" / "specs.md").read_text())


def test_every_snippet_runs_and_prints_what_is_shown(zeroinit: Command, tmp_path: Path) -> None:
    files = []
    for language, text in blocks():
        if language == "yaml":
            match = re.match(r"# ([a-z]+\.yaml)\n", text)
            assert match, text
            (tmp_path / match[1]).write_text(text)
            files.append(match[1])
        elif language == "python":
            exec(compile(text, "docs/specs.md", "exec"), {})
        else:
            assert ran(zeroinit, text) == text
    assert len(files) >= 15
    for name in sorted(set(files) - {"wrong.yaml"}):
        assert zeroinit("spec", "check", name).code == 0
        assert zeroinit("plan", name).code == 0


def ran(zeroinit: Command, text: str) -> str:
    """A console block as it comes out."""
    lines = []
    for line in text.splitlines():
        if line.startswith("$ "):
            result = zeroinit(*line.split()[2:])
            lines.append(f"{line}\n{result.out}{result.err}")
    return "".join(lines)


def test_no_block_is_left_out() -> None:
    text = (ROOT / "docs" / "specs.md").read_text()
    assert text.count("```") == 2 * len(blocks())


def test_the_reference_is_made_from_the_schema() -> None:
    assert (ROOT / "docs" / "specs-reference.md").read_text() == reference()


@pytest.mark.parametrize("name", ["unet", "two-towers"])
def test_the_page_names_where_known_nets_are(name: str) -> None:
    assert (ROOT / "model_specs" / f"{name}.yaml").is_file()

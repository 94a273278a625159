"""docs/output.md shows what is printed, and names every key of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command
from tests.plans import plan, tensor
from tests.stored_files import save
from zeroinit_cli.checkpoint.stream import plan_header
from zeroinit_cli.checkpoint.writer import write_checkpoint
from zeroinit_cli.files.replacing import guarded
from zeroinit_cli.plans import Hadamard

PAGE = (Path(__file__).parents[1] / "docs" / "output.md").read_text()
PLAN = plan(tensor("wide.weight", (1000, 64), Hadamard(half_exponent=-10)))


@pytest.fixture
def zeroinit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command, in the folder of the page's examples."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "init.safetensors"
    with guarded(path):
        write_checkpoint(PLAN, path)
    data = bytearray(path.read_bytes())
    start = len(plan_header(PLAN))
    sound = bytes(data[start:])
    data[start + 4 * 129 : start + 4 * 130] = b"\0\0\x40\x3f"  # [2, 1] = 0.75
    path.write_bytes(data)
    tensors = {
        "wide.weight": ("F32", [1000, 64], sound),
        "wide.bias": ("F32", [1000], bytes(4000)),
    }
    save(tmp_path / "other.safetensors", tensors)
    (tmp_path / "net.yaml").write_text("zeroinit: 1\ninput: 4\nlayers: [Linear: 8]\n")
    return Command(capsys, monkeypatch)


def example(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


COMMANDS = {
    "inspect": ("inspect", "init.safetensors", "--json"),
    "diff": ("diff", "init.safetensors", "other.safetensors", "--json"),
    "probe": ("probe", "net.yaml", "--json"),
}
STRANGE = ("metadata", "dtypes", "rule", "inputs")
MEASURED = {"probe"}
"""Commands whose numbers a machine rounds in its own way."""


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_page_shows_what_is_printed(zeroinit: Command, name: str) -> None:
    found = zeroinit(*COMMANDS[name]).out
    if name in MEASURED:
        document, shown = json.loads(found), json.loads(example(name))
        document["conditions"]["versions"] = shown["conditions"]["versions"]
        assert document == nearly(shown)
        assert list(document) == sorted(document)
    else:
        assert found == example(name)


def nearly(value: Any) -> Any:
    """What equals every document whose fractions are near those of this one."""
    if isinstance(value, dict):
        return {key: nearly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [nearly(each) for each in value]
    return pytest.approx(value, rel=0.01) if isinstance(value, float) else value


def keys(value: Any) -> set[str]:
    """Every key of a document, but those of metadata, which are a stranger's."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    inner = {key: each for key, each in value.items() if key not in STRANGE}
    return {*value, *keys(list(inner.values()))}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_key_has_its_words(zeroinit: Command, name: str) -> None:
    document = json.loads(zeroinit(*COMMANDS[name]).out)
    tables = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    assert {key for key in keys(document) if f"`{key}`" not in tables} == set()

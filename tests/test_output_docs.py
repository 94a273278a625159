"""docs/output.md shows what is printed, and names every key of it; the schema says the same."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.command import Command
from tests.plans import plan, tensor
from tests.stored_files import save
from zeroinit_cli.atomic import guarded
from zeroinit_cli.plans.rules import Twisted
from zeroinit_cli.store.stream import plan_header
from zeroinit_cli.store.write import write_checkpoint

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "output.md").read_text()
SCHEMA = json.loads((DOCS / "output.schema.json").read_text())
WIDE = Twisted(block=64, prime=1019, half_exponent=-10)
PLAN = plan(tensor("wide.weight", (1000, 64), WIDE))
NET = "zeroinit: 1\ninput: [4]\nlayers: [Linear: {out_features: 8, bias: false}]\n"


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
    (tmp_path / "small.yaml").write_text("zeroinit: 1\ninput: 4\nlayers: [Linear: 8]\n")
    command = Command(capsys, monkeypatch)
    (tmp_path / "net.yaml").write_text(NET)
    assert command("generate", "net.yaml", "-o", "net.safetensors").code == 0
    flip_last_sign(tmp_path / "net.safetensors")
    return command


def flip_last_sign(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x80
    path.write_bytes(data)


def example(name: str, language: str = "json") -> str:
    found = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


COMMANDS = {
    "inspect": ("inspect", "init.safetensors", "--json"),
    "diff": ("diff", "init.safetensors", "other.safetensors", "--json"),
    "verify": ("verify", "--json"),
    "plan": ("plan", "net.yaml", "--policy", "paper", "--json"),
    "probe": ("probe", "small.yaml", "--json"),
    "generate": ("generate", "small.yaml", "-o", "made/", "--no-lock", "--json"),
    "restore": ("restore", "--json"),
    "digest": ("digest", "small.yaml", "--json"),
    "models": ("models", "resnet1*", "--json"),
    "spec-check": ("spec", "check", "small.yaml", "--json"),
    "spec-show": ("spec", "show", "small.yaml", "--json"),
}
STRANGE = ("metadata", "dtypes", "rule", "inputs", "canonical")
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


def test_the_page_shows_an_annotation(zeroinit: Command) -> None:
    assert zeroinit("verify", "--format", "github").out == example("github", "text")


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


def closed(schema: Any) -> Any:
    """The schema with no key but those it names, so that no key is printed that it does not."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(each) for key, each in schema.items()}
    if "properties" in schema and set(schema["properties"]) != {"rule"}:  # rules have parameters
        inner["additionalProperties"] = False
    return inner


def check(name: str, document: Any) -> None:
    schema = {**closed(SCHEMA), "$ref": f"#/$defs/{name}"}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_schema_holds(zeroinit: Command, name: str) -> None:
    check(name, zeroinit(*COMMANDS[name]).json)


def test_the_schema_holds_of_what_is_rare(zeroinit: Command, tmp_path: Path) -> None:
    check("inspect", zeroinit("inspect", "init.safetensors", "--header", "--json").json)
    check(
        "tensor", zeroinit("inspect", "init.safetensors", "--tensor", "wide.weight", "--json").json
    )
    check("diff", zeroinit("diff", "net.yaml", "net.yaml", "--json").json)
    save(tmp_path / "reshaped.safetensors", {"wide.weight": ("F32", [1], bytes(4))}, {"a": "b"})
    check("diff", zeroinit("diff", "reshaped.safetensors", "other.safetensors", "--json").json)
    check("verify", zeroinit("verify", "net.safetensors", "--source", "net.yaml", "--json").json)
    (tmp_path / "net.safetensors").unlink()
    check("verify", zeroinit("verify", "--json").json)
    (tmp_path / "net.yaml").unlink()
    check("verify", zeroinit("verify", "--json").json)


def test_the_schema_can_fail() -> None:
    wrong: dict[str, Any] = {"checkpoints": [{"path": "x"}]}
    with pytest.raises(jsonschema.ValidationError):
        check("verify", wrong)
    with pytest.raises(jsonschema.ValidationError):
        check("verify", {"checkpoints": [], "more": 1})

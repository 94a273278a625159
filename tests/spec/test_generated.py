"""Specs that Hypothesis makes up: valid ones build, mutated ones are answered."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cli.command import Command
from tests.fuzz.mutations import mutated
from tests.fuzz.spec import examine, seeds
from tests.spec.strategies import documents
from zeroinit_cli.errors import SpecError
from zeroinit_cli.nets import build_blueprint
from zeroinit_cli.spec.canonical import to_yaml
from zeroinit_cli.spec.check import parse_spec
from zeroinit_cli.spec.schema import json_schema

_CALM = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # a spec that fails is short enough as it is
)
_VALIDATOR = jsonschema.Draft202012Validator(json_schema())


_EVEN = "ignore:Using padding='same' with even kernel lengths:UserWarning"


@pytest.mark.long
@pytest.mark.filterwarnings(_EVEN)
@_CALM
@given(made=documents(), flow=st.sampled_from([True, False, None]))
def test_a_valid_spec_is_built_as_it_was_inferred(
    made: tuple[dict[str, Any], tuple[int, ...]], flow: bool | None
) -> None:
    """Torch gives the inferred shape and count; neither defaults nor layout change the digest."""
    document, output = made
    text = yaml.safe_dump(document, default_flow_style=flow, sort_keys=False)
    spec = parse_spec(text.encode(), "x.yaml")
    assert spec.inferred.outputs == (output,)
    with torch.device("meta"):
        module = build_blueprint(spec.inferred.blueprint).eval()
        found = module(torch.empty(2, *document["input"]))
    assert tuple(found.shape[1:]) == output
    assert sum(each.numel() for each in module.parameters()) == spec.inferred.parameters

    _VALIDATOR.validate(document)
    shown = to_yaml(spec.document)
    again = parse_spec(shown.encode(), "shown.yaml")
    assert again.digest() == spec.digest()
    assert to_yaml(again.document) == shown
    backwards = yaml.safe_dump(_reversed(document), sort_keys=False)
    assert parse_spec(f"# c\n{backwards}".encode(), "x.yaml").digest() == spec.digest()


def _reversed(value: Any) -> Any:
    """Every mapping's keys in the other order."""
    if isinstance(value, dict):
        return {key: _reversed(each) for key, each in reversed(value.items())}
    return [_reversed(each) for each in value] if isinstance(value, list) else value


@pytest.mark.filterwarnings(_EVEN)
@_CALM
@given(made=documents(), seed=st.integers(0, 2**32))
def test_a_mutated_spec_is_a_spec_or_a_message(
    made: tuple[dict[str, Any], tuple[int, ...]], seed: int
) -> None:
    """Nothing but a SpecError is raised, whatever is changed."""
    data = yaml.safe_dump(made[0], sort_keys=False).encode()
    assert examine(mutated(data, [data], random.Random(seed)), build=True)


def test_a_slice_of_the_fuzz_run() -> None:
    """The first mutants of seed 0; python -m tests.fuzz spec goes on for as long as you like."""
    chance, corpus = random.Random(0), seeds()
    kinds = {examine(mutated(chance.choice(corpus), corpus, chance)) for _ in range(800)}
    assert kinds == {"valid", "wrong"}


def test_mutants_end_the_command_with_0_or_2(zeroinit: Command, tmp_path: Path) -> None:
    chance, corpus = random.Random(1), seeds()
    codes = set()
    for _ in range(60):
        data = mutated(chance.choice(corpus), corpus, chance)
        (tmp_path / "x.yaml").write_bytes(data)
        try:
            parse_spec(data, "x.yaml")
            expected = {0, 2}  # 2: a builder that torchvision does not know
        except SpecError:
            expected = {2}
        result = zeroinit("spec", "check", "x.yaml")
        assert result.code in expected
        assert "Traceback" not in result.err
        codes.add(result.code)
    assert codes == {0, 2}


def test_the_schema_is_a_schema_and_is_printed(zeroinit: Command) -> None:
    schema = json.loads(zeroinit("spec", "schema").out)
    assert schema == json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_takes_every_spec_and_refuses_wrong_types() -> None:
    """Editors see the types; shapes, and what two keys say together, only `spec check` sees."""
    root = Path(__file__).parents[2]
    for path in sorted(root.glob("model_specs/*.yaml")):
        _VALIDATOR.validate(yaml.safe_load(path.read_text()))
    bad = Path(__file__).with_name("bad")
    kinds = ("type-", "layer-unknown", "layer-case", "layer-missing", "top-unknown", "init-unknown")
    seen = {"type-float-for-int", "type-yes-for-bool", "type-nan", "type-infinite"}  # of YAML 1.1
    for path in sorted(bad.glob("*.yaml")):
        if path.stem.startswith(kinds) and path.stem not in seen:
            assert not _VALIDATOR.is_valid(yaml.safe_load(path.read_text())), path.stem

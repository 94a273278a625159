"""The same ends from Python: generate, verify, probe, and init_ of some tensors alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import zeroinit_cli
from tests.cli.command import here
from zeroinit_cli.errors import UsageError


def small() -> nn.Module:
    return nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11))


IDS = torch.zeros(2, 3, dtype=torch.long)


def test_what_python_generates_is_what_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sha256 = zeroinit_cli.generate("squeezenet1_1", "one.safetensors", overrides=["*.bias=ones"])
    done = here("digest", "squeezenet1_1", "--override", "*.bias=ones", cwd=tmp_path)
    assert sha256 == done.out.strip()
    [result] = zeroinit_cli.verify()
    assert isinstance(result.path, Path)
    assert "the file has them" in str(result)
    sharded = zeroinit_cli.generate("squeezenet1_1", "parts", max_shard_size="2MB", lock=False)
    assert not (tmp_path / "parts" / "zeroinit.lock").exists()
    listed = (tmp_path / "parts" / "model.safetensors.sha256").read_bytes()
    import hashlib

    assert sharded == hashlib.sha256(listed).hexdigest()


def test_a_function_is_locked_by_where_it_is_defined(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    zeroinit_cli.generate(small, path, example_inputs=IDS)
    text = (tmp_path / "zeroinit.lock").read_text()
    assert f'source = "python:{__name__}:small"\n' in text
    assert 'inputs = ["int64[2,3]"]\n' in text
    [unasked] = zeroinit_cli.verify(path)
    assert "--trust-code" in str(getattr(unasked, "error", ""))
    [result] = zeroinit_cli.verify(path, trust_code=True)
    assert getattr(result, "findings", None) == ()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    [result] = zeroinit_cli.verify(path, trust_code=True)
    assert [finding.outcome for finding in getattr(result, "findings", ())] == ["changed"]


@pytest.mark.parametrize("build", [lambda: small(), lambda: None])
def test_a_function_without_a_name_is_refused(
    tmp_path: Path, build: Callable[[], nn.Module]
) -> None:
    with pytest.raises(UsageError) as raised:
        zeroinit_cli.generate(build, tmp_path / "x.safetensors")
    assert (raised.value.problem, raised.value.where) == (
        "a function that a lock cannot name",
        "'<lambda>'",
    )
    assert not list(tmp_path.iterdir())


def test_a_function_is_probed_on_what_it_is_given() -> None:
    verdict, measured = zeroinit_cli.probe(small, example_inputs=IDS, steps=2)
    assert verdict.kind in type(verdict.kind)
    assert dict(measured.conditions.inputs) == {"": "int64 2 x 3"}
    again, _ = zeroinit_cli.probe(f"python:{__name__}:small", example_inputs=IDS, steps=2)
    assert again == verdict


@pytest.mark.parametrize("build", [None, small])
def test_only_what_is_named_is_touched(build: Callable[[], nn.Module] | None) -> None:
    module = small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    zeroinit_cli.init_(module, build=build, only=["1.*"])
    whole = zeroinit_cli.init_(small()).state_dict()
    for name, tensor in module.state_dict().items():
        wanted = whole if name.startswith("1.") else before
        assert torch.equal(tensor, wanted[name]), name


def test_what_is_not_named_may_be_what_no_rule_knows() -> None:
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Parameter(5 + torch.randn(3, 4))
            self.head = nn.Linear(4, 2)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            scaled: torch.Tensor = self.head(values @ self.odd)
            return scaled

    module = Trained()
    kept = module.odd.clone()
    zeroinit_cli.init_(module, only=["head.*"], example_inputs=torch.zeros(2, 3))
    assert torch.equal(module.odd, kept)
    assert not module.head.bias.any()


def test_a_pattern_that_would_change_another_tensor_is_refused() -> None:
    module = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11))
    module[1].weight = module[0].weight
    for build in (None, lambda: module):
        with pytest.raises(UsageError, match="a part of tied tensors"):
            zeroinit_cli.init_(module, build=build, only=["1.*"])
    with pytest.raises(UsageError, match="a pattern that matches no tensor"):
        zeroinit_cli.init_(module, only=["head.*"])
    with pytest.raises(UsageError, match="one text for a list of patterns"):
        zeroinit_cli.init_(module, only="head.*")
    zeroinit_cli.init_(module, only=["*.weight"])

"""What each kind takes, records and says: names, hints, inputs, locks, drift, specs."""

import json
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.sources.test_configurations import SOUND, write
from zeroinit_cli.cli import complete
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.sources.timm import known_names

EXPECTED = (
    "a model name of torchvision's, a path to a .yaml file, or torchvision:, timm:, transformers:, "
    "python: and what it names"
)


def locked(folder: Path) -> dict[str, object]:
    [entry] = tomllib.loads((folder / "zeroinit.lock").read_text())["checkpoint"]
    assert isinstance(entry, dict)
    return entry


def test_the_names_are_timms() -> None:
    import_torchvision()
    import timm

    assert known_names() == timm.list_models()


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("./conf", "a source without its prefix", "transformers:./conf"),
        ("conf/config.json", "a source without its prefix", "transformers:conf/config.json"),
        ("timn:resnet18", "unknown prefix 'timn'", "timm"),
        ("package.nets:build", "unknown prefix 'package.nets'", "python:package.nets:build"),
    ],
)
def test_what_was_meant_is_the_hint(
    zeroinit: Command, tmp_path: Path, text: str, problem: str, hint: str
) -> None:
    write(tmp_path / "conf", SOUND)
    result = zeroinit("plan", text)
    assert (result.code, result.err) == (
        2,
        f"error: {problem} in SOURCE\n  expected: {EXPECTED}\n  found: '{text}'\n\n"
        f"hint: did you mean {hint}?\n",
    )


def test_a_name_that_only_timm_has_gets_its_prefix_as_the_hint(zeroinit: Command) -> None:
    result = zeroinit("plan", "vit_tiny_patch16_224")
    assert (result.code, result.err) == (
        2,
        "error: no model is called 'vit_tiny_patch16_224' in SOURCE\n"
        "  expected: a name that zeroinit models lists\n\n"
        "hint: did you mean timm:vit_tiny_patch16_224?\n",
    )


def test_a_folder_of_a_models_name_does_not_hide_the_model(
    zeroinit: Command, tmp_path: Path
) -> None:
    write(tmp_path / "alexnet", SOUND)
    assert zeroinit("plan", "alexnet", "--json").json["source"] == "torchvision:alexnet"
    write(tmp_path / "conf", SOUND)
    assert zeroinit("plan", "conf").err.endswith("\nhint: did you mean transformers:conf?\n")


def test_what_a_lock_sets_is_as_bounded_as_what_a_configuration_says(
    zeroinit: Command, tmp_path: Path
) -> None:
    write(tmp_path / "conf", SOUND)
    for setting in ("backbone=evil/x", "n_layer=1000000", "auto_map=x", "_attn_implementation=a/b"):
        result = zeroinit("plan", "transformers:conf", "--set", setting)
        assert result.code == 2
        assert f" in --set {setting.partition('=')[0]}\n" in result.err


def test_models_lists_timms_by_the_prefix(zeroinit: Command) -> None:
    result = zeroinit("models", "timm:vit_tiny_p*")
    assert result.out.split()[0] == "timm:vit_tiny_patch16_224"
    assert all(name.startswith("timm:vit_tiny_p") for name in result.out.split())
    result = zeroinit("models", "vit_tiny*")
    assert (result.code, result.err) == (
        2,
        "error: no model of torchvision matches 'vit_tiny*' in PATTERN\n\n"
        "hint: zeroinit models 'timm:vit_tiny*' lists 5 models of timm\n",
    )


def test_names_and_configurations_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "conf", SOUND)
    assert complete.source("timm:lcnet_0") == ["timm:lcnet_035", "timm:lcnet_050", "timm:lcnet_075"]
    assert complete.source("timm/lcnet_05") == ["timm/lcnet_050"]
    assert complete.source("transformers:c") == ["transformers:conf/config.json"]


def test_an_argument_that_timms_model_does_not_take_is_refused(zeroinit: Command) -> None:
    result = zeroinit("plan", "timm:resnet18", "--set", "num_clases=3")
    assert result.code == 2
    assert result.err.startswith("error: resnet18 does not take 'num_clases' in --set\n  expected:")
    assert result.err.endswith("\nhint: did you mean num_classes?\n")


def test_a_key_that_the_configuration_does_not_have_is_refused(
    zeroinit: Command, tmp_path: Path
) -> None:
    write(tmp_path / "conf", SOUND)
    result = zeroinit("plan", "transformers:conf", "--set", "n_layers=3")
    assert (result.code, result.err) == (
        2,
        "error: GPT2Config does not take 'n_layers' in --set\n"
        "  expected: a key of the configuration, or class\n\n"
        "hint: did you mean n_layer?\n",
    )


def test_what_is_set_is_in_the_configuration_that_is_written(
    zeroinit: Command, tmp_path: Path
) -> None:
    import transformers

    write(tmp_path / "conf", {**SOUND, "torch_dtype": "float16"})
    more = ("--set", "n_layer=2", "--set", "class=AutoModel")
    done = zeroinit("generate", "transformers:conf", "-o", "out/", *more)
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written == {
        **SOUND,
        "n_layer": 2,
        "architectures": ["GPT2Model"],
        "torch_dtype": "float32",
    }
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "out")
    assert len(loaded.h) == 2
    assert zeroinit("verify", "out").code == 0


def test_a_folder_is_not_written_into_that_the_source_lies_in(
    zeroinit: Command, tmp_path: Path
) -> None:
    write(tmp_path / "conf", SOUND)
    (tmp_path / "link").symlink_to("conf")
    for output in ("conf/", "conf", "link/", "conf/model.safetensors"):
        result = zeroinit("generate", "transformers:conf", "-o", output, "--force")
        assert result.code == 2
        assert result.err.startswith(
            "error: the source's own folder, whose configuration would be replaced in --output\n"
        )
    result = zeroinit("generate", "transformers:conf", "-o", "conf/config.json", "--force")
    assert result.err.startswith("error: the configuration itself would be replaced in --output\n")
    assert json.loads((tmp_path / "conf" / "config.json").read_text()) == SOUND


def test_a_configuration_that_has_changed_is_drift(zeroinit: Command, tmp_path: Path) -> None:
    write(tmp_path / "conf", SOUND)
    assert zeroinit("generate", "transformers:conf", "-o", "init.safetensors").code == 0
    before = locked(tmp_path)["config-sha256"]
    write(tmp_path / "conf", {**SOUND, "vocab_size": 12})
    result = zeroinit("verify")
    assert result.code == 1
    assert result.out.startswith(
        "drifted, unreproduced: init.safetensors\n"
        f"  drifted: the configuration transformers:conf has changed: locked {before}, found "
    )
    assert "tensor 'lm_head.weight': expected F32 [12, 8], found F32 [11, 8]" in result.out


@pytest.mark.parametrize("size", [[], ["--max-shard-size", "2KB"]])
def test_the_configuration_beside_the_weights_is_verified_and_restored(
    zeroinit: Command, tmp_path: Path, size: list[str]
) -> None:
    write(tmp_path / "conf", SOUND)
    assert zeroinit("generate", "transformers:conf", "-o", "out/", *size).code == 0
    path = tmp_path / "out" / "config.json"
    whole = path.read_bytes()
    assert f"  {path.name}\n" in (tmp_path / "out" / "model.safetensors.sha256").read_text()
    path.write_bytes(whole.replace(b"gpt2", b"gpt3"))
    for mode in ([], ["--hash-only"]):
        result = zeroinit("verify", "out", *mode)
        assert result.code == 1
        assert "config.json: sha256: locked " in result.out
    path.unlink()
    assert "config.json: no such file" in zeroinit("verify", "out").out
    result = zeroinit("restore", "out")
    assert (result.code, path.read_bytes()) == (0, whole), result.out + result.err
    assert zeroinit("verify", "out").code == 0
    again = zeroinit("generate", "transformers:conf", "-o", "out/", *size)
    assert "was there already with these bytes" in again.err


@pytest.mark.parametrize("size", [[], ["--max-shard-size", "1MB"]])
def test_a_library_that_builds_another_net_is_drift_with_its_tensors_and_both_versions(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: list[str]
) -> None:
    import_torchvision()
    import timm

    assert zeroinit("generate", "timm:lcnet_035", "-o", "out/", *size).code == 0
    lock = tmp_path / "out" / "zeroinit.lock"
    older = lock.read_text().replace(f'timm = "{timm.__version__}"', 'timm = "0.9.2"')
    lock.write_text(older)
    build = timm.create_model
    monkeypatch.setattr(timm, "create_model", partial(build, num_classes=7))
    result = zeroinit("verify", "out")
    assert result.code == 1
    assert result.out.startswith("drifted, unreproduced: out")
    assert (
        "tensor 'classifier.weight': expected F32 [7, 1280], found F32 [1000, 1280]" in result.out
    )
    both = f"timm 0.9.2 then, {timm.__version__} now"
    assert f"probably: another version builds another net: {both}" in result.out


def test_given_inputs_are_recorded_and_used_again(zeroinit: Command, tmp_path: Path) -> None:
    write(tmp_path / "conf", SOUND)
    more = ("--input", "input_ids=int64[2, 4]")
    assert zeroinit("generate", "transformers:conf", "-o", "x.safetensors", *more).code == 0
    assert locked(tmp_path)["inputs"] == ["input_ids=int64[2,4]"]
    assert zeroinit("verify").code == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("float32[2,3", "malformed input"),
        ("float33[2]", "unknown type"),
        ("float32[0,2]", "out of range"),
        ("int64[100000,100000]", "out of range"),
        ("float32[1,1,1,1,1,1,1,1,1]", "out of range"),
    ],
)
def test_a_malformed_input_is_refused(zeroinit: Command, given: str, message: str) -> None:
    result = zeroinit("plan", "timm:resnet18", "--input", given)
    assert result.code == 2
    assert result.err.startswith(f"error: {message} in --input\n")


def test_an_input_that_the_forward_does_not_take_is_said_so(
    zeroinit: Command, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Linear(4, 2)\n"
    )
    result = zeroinit("plan", "python:net:build", "--input", "float32[2,5]")
    assert result.code == 2
    assert result.err.startswith(
        "error: the forward fails on --input in Linear\n  expected: what it takes: input\n"
    )


def test_what_may_help_a_guess_is_an_option_of_the_command(
    zeroinit: Command, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\nclass Odd(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.inner = nn.Linear(4, 4)\n\n"
        "    def forward(self, pairs):\n"
        "        return self.inner(pairs['left']['deep'])\n"
    )
    hints = [each["hint"] for each in zeroinit("plan", "python:net:Odd", "--json").json["warnings"]]
    assert any("--input [NAME=]TYPE[SIZES]" in (hint or "") for hint in hints)


def test_an_input_for_a_source_that_knows_its_own_is_refused(zeroinit: Command) -> None:
    result = zeroinit("plan", "resnet18", "--input", "float32[2,3,8,8]")
    assert (result.code, result.err) == (
        2,
        "error: inputs for a source that knows its own in --input\n"
        "  found: float32[2,3,8,8]\n\nhint: leave them out\n",
    )


def test_a_spec_names_a_model_of_a_library(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    write(tmp_path / "nets" / "conf", SOUND)
    spec = tmp_path / "nets" / "net.yaml"
    spec.write_text("zeroinit: 1\nmodel: {transformers: ./conf, arguments: {n_layer: 2}}\n")
    done = zeroinit("generate", "nets/net.yaml", "-o", "out/")
    assert done.code == 0, done.err
    entry = locked(tmp_path / "out")
    assert entry["source"] == "../nets/net.yaml"
    assert {"spec-sha256", "config-sha256"} <= entry.keys()
    assert (tmp_path / "out" / "config.json").exists()
    assert zeroinit("verify", "out").code == 0
    write(tmp_path / "nets" / "conf", {**SOUND, "vocab_size": 12})
    assert "the configuration that it names has changed: locked" in zeroinit("verify", "out").out
    alone = zeroinit("digest", "transformers:nets/conf", "--set", "n_layer=2").out
    assert zeroinit("digest", "nets/net.yaml").out == alone

    spec.write_text("zeroinit: 1\nmodel: {timm: lcnet_035, arguments: {num_classes: 3}}\n")
    alone = zeroinit("digest", "timm:lcnet_035", "--set", "num_classes=3").out
    assert zeroinit("digest", "nets/net.yaml").out == alone
    spec.write_text("zeroinit: 1\nmodel: {timm: lcnet_36}\n")
    result = zeroinit("spec", "check", "nets/net.yaml")
    assert (result.code, result.err) == (
        2,
        "error: no model of timm is called 'lcnet_36' in nets/net.yaml:2:15: model.timm\n"
        "  expected: a name that zeroinit models 'timm:*' lists\n\n"
        "hint: did you mean lcnet_035 or lcnet_150 or lcnet_100?\n",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('config-sha256 = "', 'x-sha256 = "', "extra inputs are not permitted"),
        ("transformers:conf", "transformers:/conf", "a spec is a relative path"),
        ("transformers:conf", "timm:lcnet_035", "a model's name has no config-sha256"),
        ("transformers:conf", "python:net:build", "a model's name has no config-sha256"),
        ("options", 'import-from = "."\noptions', "code, and nothing else, has the folder"),
        ("options", 'inputs = ["int64"]\noptions', "malformed input ('int64') in --input"),
        ('path = "out/config.json"', 'path = "../x"', "must be a plain relative path"),
        ('path = "out/config.json"', 'path = "x"', "beside a checkpoint is out/config.json"),
    ],
)
def test_a_lock_that_was_tampered_with_is_refused(
    zeroinit: Command, tmp_path: Path, old: str, new: str, message: str
) -> None:
    write(tmp_path / "conf", SOUND)
    command = ("generate", "transformers:conf", "-o", "out/", "--lock", "zeroinit.lock")
    (tmp_path / "out").mkdir()
    assert zeroinit(*command).code == 0
    lock = tmp_path / "zeroinit.lock"
    assert old in lock.read_text()
    lock.write_text(lock.read_text().replace(old, new))
    result = zeroinit("verify")
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("package", "text"), [("timm", "timm:x"), ("transformers", "transformers:conf")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, text: str
) -> None:
    write(tmp_path / "conf", SOUND)
    monkeypatch.setitem(sys.modules, package, None)
    result = zeroinit("plan", text)
    assert (result.code, result.err) == (
        2,
        f"error: {package} is not installed in {text}\n\n"
        f"hint: pip install 'zeroinit-cli[{package}]'\n",
    )


def test_a_spec_names_a_configuration_by_a_relative_path(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("zeroinit: 1\nmodel: {transformers: /etc/conf}\n")
    result = zeroinit("plan", "net.yaml")
    assert (result.code, result.err) == (
        2,
        "error: an absolute path in net.yaml:2:23: model.transformers\n"
        "  expected: one from the spec's folder, the same wherever both lie\n"
        "  found: '/etc/conf'\n",
    )


def test_the_answer_for_programs_lists_the_configuration_too(
    zeroinit: Command, tmp_path: Path
) -> None:
    write(tmp_path / "conf", SOUND)
    files = zeroinit("generate", "transformers:conf", "-o", "out/", "--json").json["files"]
    assert [each["path"] for each in files] == ["out/model.safetensors", "out/config.json"]


def test_sources_of_all_kinds_can_be_compared(zeroinit: Command, tmp_path: Path) -> None:
    assert zeroinit("diff", "timm/lcnet_035", "timm:lcnet_035").code == 0
    assert zeroinit("diff", "timm/lcnet_035", "timm:lcnet_050").code == 1

"""config.json of a stranger: what leads out, runs code or has no measure is refused unbuilt."""

import json
import os
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cli.command import Command, Result
from zeroinit_cli.models import pretrained

SOUND = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 1,
    "n_positions": 8,
    "vocab_size": 11,
}
PLACE = "a name that transformers or timm knows; nothing is downloaded, and no other file is read"
NEVER: dict[str, tuple[dict[str, Any], str]] = {
    "auto_map": (
        {"auto_map": {"AutoModel": "evil--modeling.Evil"}},
        "error: auto_map, which asks for code of another place in conf/config.json: auto_map\n"
        "  expected: a class of transformers itself; no other code is run\n\n"
        "hint: --set class=NAME builds transformers' own class of that name, and runs none of it\n",
    ),
    "auto_map within": (
        {"text_config": {"auto_map": {"AutoConfig": "configuration.Evil"}}},
        "error: auto_map, which asks for code of another place in "
        "conf/config.json: text_config.auto_map\n"
        "  expected: a class of transformers itself; no other code is run\n\n"
        "hint: --set class=NAME builds transformers' own class of that name, and runs none of it\n",
    ),
    "a kernel of the hub": (
        {"_attn_implementation": "kernels-community/flash-attn"},
        "error: what another place holds in conf/config.json: _attn_implementation\n"
        f"  expected: {PLACE}\n  found: 'kernels-community/flash-attn'\n",
    ),
    "a backbone of the hub": (
        {"backbone": "evil/backbone"},
        "error: what another place holds in conf/config.json: backbone\n"
        f"  expected: {PLACE}\n  found: 'evil/backbone'\n",
    ),
    "a backbone of a folder": (
        {"vision_config": {"backbone": "../../elsewhere"}},
        "error: what another place holds in conf/config.json: vision_config.backbone\n"
        f"  expected: {PLACE}\n  found: '../../elsewhere'\n",
    ),
    "a backbone of timm's hub": (
        {"architecture": "hf-hub:evil"},
        "error: what another place holds in conf/config.json: architecture\n"
        f"  expected: {PLACE}\n  found: 'hf-hub:evil'\n",
    ),
    "pretrained weights": (
        {"use_pretrained_backbone": True},
        "error: pretrained weights of another place in "
        "conf/config.json: use_pretrained_backbone\n"
        "  expected: false: nothing is downloaded\n\n"
        "hint: set it to false; ZerO starts the backbone too\n",
    ),
    "quantized": (
        {"quantization_config": {"bits": 4}},
        "error: a quantized model, which has no start in conf/config.json: quantization_config\n\n"
        "hint: remove quantization_config: what is initialised is the model before\n",
    ),
    "layers without end": (
        {"n_layer": 10**9},
        "error: a number beyond measure in conf/config.json: n_layer\n"
        "  expected: at most 1024\n  found: 1000000000\n",
    ),
    "depths without end": (
        {"vision_config": {"depths": [2, 10**9]}},
        "error: a number beyond measure in conf/config.json: vision_config.depths\n"
        "  expected: at most 1024\n  found: 1000000000\n",
    ),
    "labels without end": (
        {"num_labels": 10**9},
        "error: a number beyond measure in conf/config.json: num_labels\n"
        "  expected: at most 16777216\n  found: 1000000000\n",
    ),
    "a number of a thousand digits": (
        {"hidden_size": 10**1000},
        "error: a number beyond measure in conf/config.json: hidden_size\n"
        "  expected: at most 16777216\n  found: 100000000000000000...0000000000000000000\n",
    ),
}
"""What each adds to a sound configuration, and what is said of it."""


def write(folder: Path, config: object) -> None:
    folder.mkdir(exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)


def planned(zeroinit: Command, folder: Path, config: object, *more: str) -> Result:
    write(folder / "conf", config)
    return zeroinit("plan", "transformers:conf", *more)


@pytest.mark.parametrize("name", NEVER)
def test_it_is_refused_before_the_library_is_imported(
    name: str, zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(package: str, source: object) -> NoReturn:
        raise AssertionError(package)

    monkeypatch.setattr("zeroinit_cli.models.builders.imported", imported)
    more, message = NEVER[name]
    result = planned(zeroinit, tmp_path, {**SOUND, **more})
    assert (result.code, result.out, result.err) == (2, "", message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "not a configuration"),
        ("{", "not a JSON file"),
        ('{"a": 1, "a": 2}', "not a JSON file"),
        ('{"a": NaN}', "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ('{"a": "' + "x" * (1 << 20) + '"}', "too large for a configuration"),
    ],
    ids=["a list", "cut off", "a key twice", "NaN", "deep", "long"],
)
def test_what_is_no_configuration_is_said_so(
    text: str, problem: str, zeroinit: Command, tmp_path: Path
) -> None:
    result = planned(zeroinit, tmp_path, text)
    assert result.code == 2
    assert result.err.startswith(f"error: {problem} in conf/config.json\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["pipeline"]}, "transformers has no model class 'pipeline'"),
        ({"architectures": ["os.system"]}, "not the name of a class"),
        ({"architectures": [{}]}, "not the name of a class"),
        ({"architectures": []}, "no class to build"),
        ({"architectures": ["BertModel"]}, "BertModel is built from another configuration"),
        ({"model_type": "gpt-two"}, "a configuration of a kind that transformers does not know"),
        ({"model_type": ["gpt2"]}, "a configuration of a kind that transformers does not know"),
        ({"n_head": "two"}, "the builder failed"),
        ({"n_embd": -8}, "the builder failed"),
        ({"n_embd": 7}, "the builder failed"),
    ],
)
def test_what_the_library_does_not_take_is_an_error_of_ours(
    changes: dict[str, Any], message: str, zeroinit: Command, tmp_path: Path
) -> None:
    result = planned(zeroinit, tmp_path, {**SOUND, **changes})
    assert result.code == 2
    assert result.err.startswith(f"error: {message} in transformers:conf")
    assert "Traceback" not in result.err


def test_nothing_is_asked_of_any_network(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(self: socket.socket, address: object) -> NoReturn:
        raise AssertionError(address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    assert planned(zeroinit, tmp_path, SOUND).code == 0
    detr = {"architectures": ["DetrForObjectDetection"], "model_type": "detr", "backbone": "none"}
    result = planned(zeroinit, tmp_path, {**detr, "use_timm_backbone": False})
    assert (result.code, "Traceback" in result.err) == (2, False)


def test_the_hub_is_closed_while_a_model_is_built(zeroinit: Command, tmp_path: Path) -> None:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with pretrained.without_hub():
        assert constants.HF_HUB_OFFLINE
    assert before == constants.HF_HUB_OFFLINE


def test_a_class_that_is_asked_for_runs_no_code_of_the_configuration(
    zeroinit: Command, tmp_path: Path
) -> None:
    evil = {**SOUND, "auto_map": {"AutoModelForCausalLM": "modeling.Evil"}}
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "modeling.py").write_text("raise AssertionError('imported')\n")
    result = planned(zeroinit, tmp_path, evil, "--set", "class=AutoModelForCausalLM", "--json")
    assert result.code == 0, result.err
    assert "transformer.wte.weight" in {each["name"] for each in result.json["tensors"]}


def test_a_remote_name_is_no_folder(zeroinit: Command) -> None:
    result = zeroinit("plan", "transformers:openai-community/gpt2")
    assert (result.code, result.err) == (
        2,
        "error: no such folder in openai-community/gpt2\n"
        "  expected: a folder with config.json, or the path of one\n\n"
        "hint: nothing is downloaded: save the config.json of a model of the Hub into a folder\n",
    )


@pytest.mark.parametrize("text", ["timm:hf-hub:a/b", "timm:local-dir:/x", "timm:../x", "timm/a/b"])
def test_a_name_of_timm_that_leads_elsewhere_is_refused(zeroinit: Command, text: str) -> None:
    result = zeroinit("plan", text)
    assert (result.code, result.err) == (
        2,
        "error: not a name of timm's in SOURCE\n"
        "  expected: letters, digits and underscores, with a tag after a dot, such as "
        "timm:vit_tiny_patch16_224; never a hub's or a folder's, which would be loaded\n"
        f"  found: '{text}'\n\n"
        "hint: zeroinit models 'timm:*' lists the names\n",
    )


@pytest.mark.parametrize("key", ["pretrained", "checkpoint_path", "cache_dir", "pretrained_cfg"])
def test_an_argument_that_loads_weights_is_not_ours_to_set(zeroinit: Command, key: str) -> None:
    result = zeroinit("plan", "timm:resnet18", "--set", f"{key}=x")
    assert result.code == 2
    assert result.err.startswith(f"error: timm's '{key}' is not ours to set in --set\n")


def test_a_number_of_timms_that_has_no_measure_is_refused(zeroinit: Command) -> None:
    result = zeroinit("plan", "timm:vit_tiny_patch16_224", "--set", "depth=100000000")
    assert (result.code, result.err) == (
        2,
        "error: a number beyond measure in --set depth\n"
        "  expected: at most 1024\n  found: 100000000\n",
    )


def test_a_link_out_of_the_locks_folder_is_not_followed(zeroinit: Command, tmp_path: Path) -> None:
    write(tmp_path / "conf", SOUND)
    done = zeroinit("generate", "transformers:conf", "-o", "init.safetensors")
    assert done.code == 0, done.err
    secret = tmp_path.parent / f"{tmp_path.name}-secret.json"
    secret.write_text('{"password": "x"}')
    (tmp_path / "conf" / "config.json").unlink()
    (tmp_path / "conf" / "config.json").symlink_to(secret)
    result = zeroinit("verify")
    assert result.code == 2
    assert "a configuration's path leaves the lock's folder by a link" in result.out + result.err
    assert "password" not in result.out + result.err


def test_a_pipe_is_no_configuration(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    os.mkfifo(tmp_path / "conf" / "config.json")
    result = zeroinit("plan", "transformers:conf")
    assert (result.code, result.err) == (2, "error: not a regular file in conf/config.json\n")

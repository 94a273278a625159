"""SOURCE of other packages: the command's bytes are those of `init_`, and their loaders agree."""

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import zeroinit_cli
from tests.cli.command import here
from tests.long import some_long
from tests.outside import timm_models, transformers_models
from tests.outside.cases import called
from zeroinit_cli.nets.torchvision import import_torchvision

TIMM = (
    "convnext_atto",
    "efficientnet_lite0",
    "fastvit_t8",
    "lcnet_050",
    "mixer_s32_224",
    "mobilenetv3_small_050",
    "pvt_v2_b0",
    "regnety_002",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224.augreg_in21k",
)
CONFIGURATIONS = {
    "bert": "a head that shares its table",
    "clip": "two towers",
    "detr": "a backbone within",
    "gemma2": "grouped-query",
    "gpt2": "tied",
    "mixtral": "experts",
    "t5": "encoder and decoder, one table for both",
    "vit": "images",
    "wav2vec2": "sounds",
    "whisper": "spectra and text",
}
CALLABLES = {
    "nets:classifier": ["--set", "width=8"],
    "nets:Small": [],
    "nets:Reader.small": ["--input", "int64[2,5]"],
}
NETS = """\
from torch import nn

def classifier(width, classes=3):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, classes))

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, image):
        return self.last(self.first(image).mean((2, 3)))

class Reader(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.table, self.head = nn.Embedding(rows, 6), nn.Linear(6, rows)

    def forward(self, ids):
        return self.head(self.table(ids))

    @classmethod
    def small(cls):
        return cls(11)
"""
_QUICK = {"lcnet_050", "gpt2", "t5"}


@pytest.fixture(autouse=True)
def _quiet_and_alone() -> Iterator[None]:
    """Packages warn of each other, and threads of several tests wait for each other."""
    import_torchvision()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def made(folder: Path, *arguments: str) -> None:
    """Generate in a folder, and verify what was left there."""
    done = here("generate", *arguments, cwd=folder)
    assert done.code == 0, done.err
    where = arguments[arguments.index("-o") + 1].rstrip("/")
    lock = folder / where if (folder / where).is_dir() else folder
    done = here("verify", str(lock), "--trust-code", cwd=folder)
    assert done.code == 0, done.out + done.err


def same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype
        for name in ours
    )


def answers(module: nn.Module, inputs: Any) -> list[Tensor]:
    """Every tensor that a module gives in evaluation."""
    with torch.no_grad():
        found = called(module.eval(), inputs)
    leaves, _ = torch.utils._pytree.tree_flatten(found)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def agree(one: nn.Module, other: nn.Module, inputs: Any) -> bool:
    pairs = zip(answers(one, inputs), answers(other, inputs), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("name", some_long(TIMM, lambda name: name not in _QUICK))
def test_timm_loads_what_the_command_writes(name: str, tmp_path: Path) -> None:
    import timm

    made(tmp_path, f"timm:{name}", "-o", "init.safetensors")
    state = safetensors.torch.load_file(tmp_path / "init.safetensors")
    loaded = timm.create_model(name, checkpoint_path=tmp_path / "init.safetensors")
    assert same(state, loaded.state_dict())
    image = timm_models.inputs(name)
    ours = zeroinit_cli.init_(timm.create_model(name), example_inputs=image)
    assert same(ours.state_dict(), state)
    assert agree(ours, loaded, image)


def configuration(name: str, folder: Path) -> type[nn.Module]:
    """Write the small configuration of a row into a folder, and return its class."""
    import transformers

    class_name, config_name, fields, _ = transformers_models.ROWS[name]
    values = fields() if callable(fields) else fields
    config = getattr(transformers, config_name)(**values, architectures=[class_name])
    folder.mkdir()
    config.to_json_file(folder / "config.json")
    kind: type[nn.Module] = getattr(transformers, class_name)
    return kind


@pytest.mark.parametrize("name", some_long(CONFIGURATIONS, lambda name: name not in _QUICK))
def test_from_pretrained_loads_the_folder_that_the_command_writes(
    name: str, tmp_path: Path
) -> None:
    kind: Any = configuration(name, tmp_path / "source")
    made(tmp_path, "transformers:source", "-o", "whole/")
    state = safetensors.torch.load_file(tmp_path / "whole" / "model.safetensors")
    loaded, said = kind.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not any(said[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert same(state, loaded.state_dict())

    inputs = dict(transformers_models.inputs(name))
    build = partial(transformers_models.build, name)
    ours = zeroinit_cli.init_(build(), build=build, example_inputs=inputs)
    assert same(ours.state_dict(), state)
    assert agree(ours, loaded, inputs)

    made(tmp_path, "transformers:source", "-o", "parts/", "--max-shard-size", "60KB")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    parts, said = kind.from_pretrained(tmp_path / "parts", output_loading_info=True)
    assert not any(said[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert same(parts.state_dict(), state)


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callable_of_ones_own_is_planned_generated_and_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    made(tmp_path, f"python:{name}", "-o", "init.safetensors", *CALLABLES[name])
    if name == "nets:Reader.small":
        done = here("probe", f"python:{name}", *CALLABLES[name], "--seeds", "1", cwd=tmp_path)
        assert done.code == 0, done.err
    space: dict[str, Any] = {}
    exec(NETS, space)
    path = name.partition(":")[2].split(".")
    build = space[path[0]] if len(path) == 1 else getattr(space[path[0]], path[1])
    arguments = {"width": 8} if "width=8" in CALLABLES[name] else {}
    state = safetensors.torch.load_file(tmp_path / "init.safetensors")
    build(**arguments).load_state_dict(state, strict=True)
    assert same(zeroinit_cli.init_(build(**arguments)).state_dict(), state)


def test_a_type_is_written_into_the_configuration_too(tmp_path: Path) -> None:
    kind: Any = configuration("gpt2", tmp_path / "source")
    made(tmp_path, "transformers:source", "-o", "half/", "--dtype", "bfloat16")
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    state = safetensors.torch.load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}
    assert same(kind.from_pretrained(tmp_path / "half").state_dict(), state)

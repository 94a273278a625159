"""What each kind of model is fed, and what is said of those that take nothing we know."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zeroinit_cli.errors import ProbeError, UsageError, ZeroinitError
from zeroinit_cli.models.inputs import Inputs, Kind
from zeroinit_cli.probing.inputs import Feed
from zeroinit_cli.probing.run import find_feed
from zeroinit_cli.probing.setting import Setting
from zeroinit_cli.source import Source
from zeroinit_cli.sources import parse_source


def source(folder: Path, text: str) -> Source:
    path = folder / "net.yaml"
    path.write_text(f"zeroinit: 1\n{text}\n")
    return parse_source(str(path))


def fed(what: Source, setting: Setting | None = None) -> Feed:

    torch.manual_seed(0)
    return find_feed(what.example_inputs(), setting or Setting(), what.factory()())


SPECS = {
    "an image": (
        "input: [3, 8, 8]\nlayers: [Conv2d: {out_channels: 4, kernel_size: 3}, Flatten, Linear: 2]",
        {"": "float32 8 x 3 x 8 x 8"},
    ),
    "a vector": ("input: 5\nlayers: [Linear: 2]", {"": "float32 8 x 5"}),
    "tokens": (
        "model: {gpt: {vocab_size: 11, max_seq_len: 300, num_layers: 1, num_heads: 1, "
        "hidden_dim: 4}}",
        {"": "int64 8 x 128"},
    ),
    "two inputs, one of tokens": (
        "input: {user: [4], item: [6]}\n"
        "layers:\n"
        "  - parallel:\n"
        "      join: cat\n"
        "      branches:\n"
        "        item: [Embedding: {num_embeddings: 9, embedding_dim: 3}, Flatten]\n"
        "        user: [Linear: 2]\n"
        "  - Linear: 2",
        {"item": "int64 8 x 6", "user": "float32 8 x 4"},
    ),
}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_spec_is_fed_what_it_declares(tmp_path: Path, name: str) -> None:
    text, words = SPECS[name]
    feed = fed(source(tmp_path, text))
    assert feed.described == words
    for each in feed.arguments:
        if not each.is_floating_point():
            assert 2 < len(each.unique()) <= int(each.max()) + 1 <= 11


def test_tokens_stay_below_the_table_that_is_asked(tmp_path: Path) -> None:
    text, _ = SPECS["two inputs, one of tokens"]
    tokens = fed(source(tmp_path, text)).arguments[0]
    assert int(tokens.max()) == 8


def test_several_models_of_torchvision() -> None:
    assert fed(parse_source("squeezenet1_1")).described == {"": "float32 8 x 3 x 96 x 96"}
    assert parse_source("vit_b_32").example_inputs().native == (224,)
    kinds = {
        "r3d_18": Kind.CLIP,
        "raft_small": Kind.FLOW,
        "ssdlite320_mobilenet_v3_large": Kind.DETECTION,
        "lraspp_mobilenet_v3_large": Kind.IMAGES,
    }
    assert {name: parse_source(name).example_inputs().kind for name in kinds} == kinds


class TakesOnly(nn.Module):
    """Refuses every size but one, moves a buffer whenever it runs, and counts."""

    def __init__(self, pixels: int):
        super().__init__()
        self.pixels = pixels
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        value = self.norm(images).mean((2, 3))
        if images.shape[-1] != self.pixels:
            raise ValueError(f"{images.shape[-1]} pixels\nin two lines")
        scores: Tensor = self.fc(value)
        return scores


def test_the_models_own_size_is_tried_next_and_no_trial_leaves_a_trace() -> None:
    model = TakesOnly(224)
    wanted = Inputs(where="it", kind=Kind.IMAGES, native=(160, 224))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    feed = find_feed(wanted, Setting(), model)
    assert feed.described == {"": "float32 4 x 3 x 224 x 224"}
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def refused(wanted: Inputs, setting: Setting, model: nn.Module) -> ZeroinitError:
    with pytest.raises((ProbeError, UsageError)) as caught:
        find_feed(wanted, setting, model)
    return caught.value


def test_a_model_that_takes_none_is_told_with_its_own_words() -> None:
    wanted = Inputs(where="torchvision:it", kind=Kind.IMAGES)
    error = refused(wanted, Setting(image_size=32), TakesOnly(224))
    assert error.problem == "the model does not run on its input"
    assert error.where == "torchvision:it"
    assert error.found == "float32 8 x 3 x 32 x 32: ValueError: 32 pixels"
    assert error.hint == "--image-size gives another size, --input FILE.npy another batch"


def test_a_model_that_gives_nothing_to_make_smaller() -> None:
    class Gives(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return "words"

    wanted = Inputs(where="it", kind=Kind.ARRAYS, shapes=(("", (4,)),))
    error = refused(wanted, Setting(), Gives())
    assert error.found == "float32 8 x 4: UnknownOutputError: str"
    assert error.hint == "--input FILE.npy gives it another batch"


def array(folder: Path, name: str, shape: tuple[int, ...], dtype: str = "float32") -> Path:
    path = folder / f"{name}.npy"
    np.save(path, np.arange(np.prod(shape)).reshape(shape).astype(dtype) % 5)
    return path


def test_given_arrays_go_to_the_inputs_of_their_names(tmp_path: Path) -> None:
    text, _ = SPECS["two inputs, one of tokens"]
    inputs = {
        "user": array(tmp_path, "u", (3, 4)),
        "item": array(tmp_path, "i", (3, 6), "int32"),
    }
    feed = fed(source(tmp_path, text), Setting(inputs=inputs))
    assert feed.described == {"item": "int64 3 x 6", "user": "float32 3 x 4"}
    np.testing.assert_array_equal(feed.arguments[1].numpy(), np.load(inputs["user"]))


def test_arrays_for_other_inputs_are_refused(tmp_path: Path) -> None:
    text, _ = SPECS["two inputs, one of tokens"]
    with pytest.raises(UsageError) as caught:
        fed(source(tmp_path, text), Setting(inputs={"": array(tmp_path, "u", (3, 4))}))
    assert caught.value.problem == "not the inputs of the model"
    assert caught.value.expected == "item=FILE.npy and user=FILE.npy"
    assert caught.value.found == "one without a name"
    inputs = {"user": array(tmp_path, "u", (3, 4)), "item": array(tmp_path, "i", (2, 6), "int8")}
    with pytest.raises(UsageError) as caught:
        fed(source(tmp_path, text), Setting(inputs=inputs))
    assert caught.value.problem == "batches of different sizes"
    assert caught.value.found == "2, 3"


def test_an_array_of_the_wrong_shape_is_told_with_the_models_words(tmp_path: Path) -> None:
    setting = Setting(inputs={"": array(tmp_path, "x", (3, 7))})
    with pytest.raises(ProbeError) as caught:
        fed(source(tmp_path, SPECS["a vector"][0]), setting)
    assert caught.value.where == str(tmp_path / "net.yaml")
    assert caught.value.found == (
        "float32 3 x 7: RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x7 and 5x2)"
    )
    assert caught.value.hint == "another array"


def test_a_detectors_targets_cannot_be_given(tmp_path: Path) -> None:
    wanted = Inputs(where="it", kind=Kind.DETECTION)
    setting = Setting(inputs={"": array(tmp_path, "x", (3, 7))})
    error = refused(wanted, setting, nn.Identity())
    assert error.problem == "arrays cannot say what the model is to find"
    assert error.hint == "leave --input out: its own batch is made for it"

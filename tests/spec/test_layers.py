"""Each layer's own arithmetic, held against torch."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.spec.strategies import SHAPES, arguments
from zeroinit_cli.nets.blocks import Parallel, Residual, SeveralInputs
from zeroinit_cli.options import CHOICES, OVERRIDE_RULES
from zeroinit_cli.spec.document import Document, Init, Override
from zeroinit_cli.spec.items import RESERVED
from zeroinit_cli.spec.layers import LAYERS
from zeroinit_cli.spec.layers.base import MismatchError


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("kind", sorted(LAYERS))
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_shapes_and_counts_are_torchs(kind: str, data: Any) -> None:
    """Whatever a layer says that it gives and holds, torch's class gives and holds."""
    ranks = {"1d": (2,), "2d": (3,), "3d": (4,)}.get(kind[-2:], (1, 2, 3))
    if kind in ("PixelShuffle", "PixelUnshuffle"):
        ranks = (3,)
    if kind == "TransformerEncoderLayer":
        ranks = (2,)
    shape = data.draw(SHAPES.filter(lambda shape: len(shape) in ranks))
    if kind.startswith(("GroupNorm", "PixelShuffle", "GLU")):
        shape = tuple(4 * size for size in shape)
    try:
        resolved = LAYERS[kind].model_validate(data.draw(arguments(kind))).resolve(shape)
    except MismatchError:
        assume(False)
    with torch.device("meta"):
        layer: nn.Module = getattr(nn, kind)(**resolved.arguments).eval()
        dtype = torch.int64 if kind == "Embedding" else torch.float32
        output = layer(torch.empty(2, *shape, dtype=dtype))
    assert tuple(output.shape[1:]) == resolved.output
    assert sum(each.numel() for each in layer.parameters()) == resolved.counts.parameters
    assert sum(each.numel() for each in layer.buffers()) == resolved.counts.buffers


@pytest.mark.parametrize(
    ("kind", "given", "shape"),
    [
        # each side and dimension its own number, so that none can stand for another
        ("ZeroPad1d", {"padding": [1, 2]}, (2, 5)),
        ("ZeroPad2d", {"padding": [1, 2, 3, 5]}, (2, 5, 7)),
        ("ZeroPad3d", {"padding": [1, 2, 3, 5, 7, 11]}, (2, 5, 7, 9)),
        (
            "Conv2d",
            {
                "out_channels": 6,
                "kernel_size": [2, 3],
                "stride": [3, 2],
                "padding": [2, 1],
                "dilation": [1, 2],
                "groups": 2,
            },
            (4, 11, 17),
        ),
        (
            "ConvTranspose2d",
            {
                "out_channels": 6,
                "kernel_size": [2, 5],
                "stride": [3, 2],
                "padding": [1, 2],
                "output_padding": [2, 1],
                "groups": 2,
            },
            (4, 5, 7),
        ),
        ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, (1, 6, 9)),
        ("Unflatten", {"unflattened_size": [2, 3], "dim": 2}, (5, 6, 7)),
        ("Flatten", {"start_dim": 2, "end_dim": 3}, (5, 6, 7, 8)),
    ],
)
def test_every_number_has_its_own_place(
    kind: str, given: dict[str, Any], shape: tuple[int, ...]
) -> None:
    resolved = LAYERS[kind].model_validate(given).resolve(shape)
    layer: nn.Module = getattr(nn, kind)(**resolved.arguments)
    output = layer(torch.zeros(2, *shape))
    assert tuple(output.shape[1:]) == resolved.output
    assert sum(each.numel() for each in layer.parameters()) == resolved.counts.parameters


def test_every_layer_is_a_class_of_torch_and_takes_its_arguments_by_name() -> None:
    import inspect

    ours = {("Softmax", "dim"), ("LogSoftmax", "dim")}  # torch guesses, and says it will not
    for kind, layer in LAYERS.items():
        known = inspect.signature(getattr(nn, kind)).parameters
        assert set(layer.model_fields) <= set(known), kind
        for name, field in layer.model_fields.items():
            default = known[name].default
            if isinstance(field.default, str) and callable(default):
                assert default is getattr(nn.functional, field.default)
            elif (kind, name) in ours:
                assert (field.default, default) == (-1, None)
            elif not field.is_required() and default is not inspect.Parameter.empty:
                assert field.default == default, (kind, name)


def _is_of_transformers(name: str) -> bool:
    """Whether transformers, once a test has imported it, gave all modules an attribute."""
    package = getattr(getattr(nn.Module, name, None), "__module__", None) or ""
    return package.startswith("transformers")


def test_no_part_can_take_the_name_of_an_attribute() -> None:
    modules = (
        nn.Sequential(nn.ReLU()),
        Residual(nn.ReLU()),
        Parallel({"a": nn.ReLU()}, join="cat", dim=1),  # type: ignore[arg-type]  # any mapping
        SeveralInputs(nn.ReLU()),
    )
    attributes = {
        name
        for module in modules
        for name in dir(module)
        if not name.startswith("_") and not _is_of_transformers(name)
    }
    structural = {"body", "shortcut", "0", "a", "T_destination"}
    assert attributes - structural - RESERVED == set()


def test_inits_words_are_those_of_the_command_line() -> None:
    for key, words in CHOICES.items():
        for word in words:
            assert Init.model_validate({key: word}).to_words() == {key: word}
    for rule in OVERRIDE_RULES:
        assert Override.model_validate({"pattern": "*", "rule": rule}).rule == rule


def test_every_field_is_described() -> None:
    from zeroinit_cli.spec.schema import json_schema

    undescribed = []

    def walk(path: str, schema: Any) -> None:
        if isinstance(schema, dict):
            for name, field in schema.get("properties", {}).items():
                if "description" not in field and "$ref" not in field:
                    undescribed.append(f"{path}.{name}")
            for key, each in schema.items():
                walk(f"{path}.{key}", each)
        elif isinstance(schema, list):
            for number, each in enumerate(schema):
                walk(f"{path}[{number}]", each)

    walk("", json_schema())
    families = {"mlp", "cnn", "resnet", "vit", "gpt", "encoder"}  # described where they are defined
    assert [path for path in undescribed if path.rpartition(".")[2] not in families] == []
    assert Document.__doc__

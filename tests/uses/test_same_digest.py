"""One plan, whatever computes attention, how large the inputs are, and in which mode it stands."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zeroinit_cli
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.plans.plan import Plan

import_torchvision()
transformers = pytest.importorskip("transformers", reason="models of the transformers package")

_ROWS = 99
_NARROW: Mapping[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_TEXT: Mapping[str, Any] = {
    **_NARROW,
    "vocab_size": _ROWS,
    "max_position_embeddings": 64,
    "intermediate_size": 64,
}
_GROUPED: Mapping[str, Any] = {**_TEXT, "num_key_value_heads": 2, "pad_token_id": 0}
_WHISPER: Mapping[str, Any] = {
    "vocab_size": _ROWS,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_mel_bins": 16,
    "max_source_positions": 30,
    "max_target_positions": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def _ids(batch: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(5, _ROWS, (batch, length), generator=generator)


def _text(batch: int, length: int) -> dict[str, Tensor]:
    return {"input_ids": _ids(batch, length)}


def _sound_and_text(batch: int, length: int) -> dict[str, Tensor]:
    """The length of sounds is fixed."""
    sounds = torch.randn((batch, 16, 60), generator=torch.Generator().manual_seed(0))
    return {"input_features": sounds, "decoder_input_ids": _ids(batch, length)}


def _image(batch: int, length: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.ones(batch, 3, 32, 32)}


Inputs = Callable[[int, int], dict[str, Tensor]]

MODELS: dict[str, tuple[str, Mapping[str, Any], Inputs]] = {
    "MistralForCausalLM": ("MistralConfig", _GROUPED, _text),
    "LlamaModel": ("LlamaConfig", _GROUPED, _text),
    "BertForMaskedLM": ("BertConfig", _TEXT, _text),
    "RobertaModel": ("RobertaConfig", _TEXT, _text),
    "GPT2LMHeadModel": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": _ROWS, "n_positions": 64},
        _text,
    ),
    "GPTNeoXForCausalLM": ("GPTNeoXConfig", _TEXT, _text),
    "ViTModel": (
        "ViTConfig",
        {**_NARROW, "intermediate_size": 64, "image_size": 32, "patch_size": 8},
        _image,
    ),
    "WhisperForConditionalGeneration": ("WhisperConfig", _WHISPER, _sound_and_text),
}


def build(name: str, attention: str, *, training: bool = False) -> nn.Module:
    config = getattr(transformers, MODELS[name][0])(**MODELS[name][1])
    config._attn_implementation = attention
    module: Any = getattr(transformers, name)(config)
    assert module.config._attn_implementation == attention
    built: nn.Module = module.train(training)
    return built


def planned(
    name: str, attention: str = "sdpa", sizes: tuple[int, int] = (2, 9), *, training: bool = False
) -> Plan:
    inputs = MODELS[name][2](*sizes)
    made = partial(build, name, attention, training=training)
    return zeroinit_cli.plan(made, example_inputs=inputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_depends_neither_on_the_backend_nor_on_sizes_nor_on_the_mode(name: str) -> None:
    plan = planned(name)
    others = {
        "eager": planned(name, "eager"),
        "a longer input": planned(name, sizes=(2, 14)),
        "a larger batch": planned(name, sizes=(3, 9)),
        "eager, other sizes": planned(name, "eager", (1, 5)),
        "training": planned(name, training=True),
        "training, eager": planned(name, "eager", training=True),
    }
    for what, other in others.items():
        assert other.tensors == plan.tensors, what
        assert other.digest() == plan.digest(), what
        assert [each.kind for each in other.warnings] == [each.kind for each in plan.warnings], what


@pytest.mark.parametrize("name", MODELS)
def test_no_branch_is_left_open(name: str) -> None:
    assert "open-branch" not in {each.kind for each in planned(name).warnings}

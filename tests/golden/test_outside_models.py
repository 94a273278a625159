"""Models of timm and transformers get the bytes that docs/policy.md promises, as it was read alone.

The digests are those of files that `restated_outside` gave before the package was asked.
"""

import hashlib
import importlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zeroinit_cli
from tests.golden import restated_outside
from tests.golden.restated_outside import Entry, Policy, UnexpectedTensorError, restated
from zeroinit_cli.nets.torchvision import import_torchvision


@pytest.fixture(scope="module")
def _libraries() -> None:
    """Import what builds the models, whatever it warns of."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_torchvision()  # which both import, and which may need help to be
        importlib.import_module("timm")
        transformers = importlib.import_module("transformers")
        assert transformers.BertForMaskedLM  # imported when it is asked for
        assert transformers.LlamaForCausalLM


def vit() -> nn.Module:
    """A class token, positions for 14 x 14 patches of 16 x 16, twelve layers of 192."""
    import timm

    module: nn.Module = timm.create_model("vit_tiny_patch16_224")
    return module


def convnext() -> nn.Module:
    """Twelve blocks of depthwise 7 x 7 kernels, with a layer scale of 1e-6 each."""
    import timm

    module: nn.Module = timm.create_model("convnext_atto")
    return module


def llama() -> nn.Module:
    """Four heads of queries on two of keys and values, and one table for words and head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    module: nn.Module = LlamaForCausalLM(config)
    return module


def bert() -> nn.Module:
    """Words, positions and segments in one sum, and a decoder tied to the words and to a bias."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    module: nn.Module = BertForMaskedLM(config)
    return module


MODELS: dict[str, tuple[Callable[[], nn.Module], Entry]] = {
    "vit": (vit, restated_outside.vit),
    "convnext": (convnext, restated_outside.convnext),
    "llama": (llama, restated_outside.llama),
    "bert": (bert, restated_outside.bert),
}

RECORDED: list[tuple[str, Policy, str]] = [
    ("vit", "default", "a1b3c338110d9cb756afcb069b889b80771f5ef5b481d3f0be2482ae8042bf0f"),
    ("vit", "paper", "ce800adba72dbc2b8a6811037aa69b182432cc2fb30698ab58f383b76182c437"),
    ("convnext", "default", "4d80bde8517248a607da7458d07ee911ad25b97577a30815f5cbc89574a5b690"),
    ("convnext", "paper", "f7e72e89f69d8ede5fa7fef1167e337bbd51d2711b502e28f248b1401423b3f0"),
    ("llama", "default", "502a0d21b3dedfd46d2e68bd8a2c997f443a29632bca8e36aa06a8195dac5112"),
    ("llama", "paper", "6622e5cbfaf58e1e850562bbf9d56e9c0901d18fa6cd969f11e71925d8dea0ce"),
    ("bert", "default", "6acdcbdd37bc2370dbb9af5477e7de522d11e253f26a5893d85647101bca6e7e"),
    ("bert", "paper", "f1cb4e8edaa325341e548f89b2e038ab74624cb11050ad4e5d10da2fa37c2e80"),
]


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize(
    ("name", "policy", "recorded"), RECORDED, ids=[f"{row[0]}-{row[1]}" for row in RECORDED]
)
def test_package_writes_the_bytes_that_the_page_promises(
    name: str, policy: Policy, recorded: str, tmp_path: Path
) -> None:
    build, entry = MODELS[name]
    promised = restated(entry, build(), policy)
    assert restated_outside.saved_sha256(promised, tmp_path / "promised") == recorded

    path = tmp_path / "written.safetensors"
    returned = zeroinit_cli.save(zeroinit_cli.plan(build, policy=policy), path)
    written = load_file(path)
    assert written.keys() == promised.keys()
    assert [key for key in written if not same_bits(written[key], promised[key])] == []
    assert returned == hashlib.sha256(path.read_bytes()).hexdigest() == recorded


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of float32 are the same to the last bit, the sign of a zero too."""
    return torch.equal(one.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize("name", MODELS)
def test_restatement_refuses_a_name_that_it_does_not_know(name: str) -> None:
    _, entry = MODELS[name]
    with pytest.raises(UnexpectedTensorError, match=r"^extra\.weight$"):
        entry("extra.weight", (2, 2), "default")

"""What the small models of transformers are fed, and how wide they are."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Fed = Mapping[str, Tensor]

TOKENS = 99  # of a table of tokens
LENGTH = 9  # of a text
WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**WIDTH, "vocab_size": TOKENS, "max_position_embeddings": 64, "intermediate_size": 64}
GROUPED = {**TEXT, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1}
IMAGE = {**WIDTH, "intermediate_size": 64, "image_size": 32, "patch_size": 8}
BART = {
    "vocab_size": TOKENS,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
T5 = {"vocab_size": TOKENS, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
SOUND = {
    **WIDTH,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 3),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,  # else the run needs longer sounds
    "layerdrop": 0.0,
    "vocab_size": TOKENS,
}
STAGES = {"depths": [2, 2], "hidden_sizes": [16, 32], "num_channels": 3}


def ids(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(5, TOKENS, shape or (2, LENGTH), generator=generator)


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def text() -> Fed:
    return {"input_ids": ids()}


def image() -> Fed:
    return {"pixel_values": floats(2, 3, 32, 32)}


def larger_image() -> Fed:
    return {"pixel_values": floats(2, 3, 64, 64)}


def two_texts() -> Fed:
    return {"input_ids": ids(), "decoder_input_ids": ids(2, 7)}


def image_and_text() -> Fed:
    return {**image(), **text()}


def sound() -> Fed:
    return {"input_values": floats(2, 1200)}


def boxes_of_words() -> Tensor:
    """Left, top, right and bottom of each word on its page."""
    corners = torch.arange(2 * LENGTH * 2).view(2, LENGTH, 2) % 20
    return torch.cat([corners, corners + 9], -1)


def page() -> Fed:
    return {"input_ids": ids(), "bbox": boxes_of_words()}


def page_with_image() -> Fed:
    return {**page(), **image()}


def seen_and_read() -> Fed:
    return {"input_ids": ids(), "visual_feats": floats(2, 4, 24), "visual_pos": floats(2, 4, 4)}


def spectrum_and_text() -> Fed:
    return {"input_features": floats(2, 40, 16), "decoder_input_ids": ids(2, 7)}


def whisper() -> Fed:
    return {"input_features": floats(2, 16, 60), "decoder_input_ids": ids(2, 7)}


def spectrum() -> Fed:
    return {"input_values": floats(2, 64, 32)}


def detr_backbone() -> dict[str, Any]:
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    return {
        "backbone_config": backbone,
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
    }


def towers(text: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    return {"text_config": dict(text), "vision_config": dict(image)}


READER = {**TEXT, "projection_dim": 16, "eos_token_id": 2}
SEER = {**IMAGE, "projection_dim": 16}

# name: class, configuration, its fields (or what gives them), what gives the inputs
Row = tuple[str, str, Mapping[str, Any] | Callable[[], Mapping[str, Any]], Callable[[], Fed]]

"""The digests in `models.json`, for tests to compare with."""

import json
from functools import cache
from pathlib import Path
from typing import Any

# Between them they need every rule, in every nesting, that a model of torchvision needs.
EVERY_RULE = (
    "maskrcnn_resnet50_fpn",
    "mvit_v1_b",
    "mvit_v2_s",
    "squeezenet1_1",
    "swin3d_t",
    "vit_b_32",
)
OTHER_ENDS = (  # these close their branches in other ways
    "convnext_tiny",
    "efficientnet_b0",
    "maxvit_t",
    "mobilenet_v3_small",
    "raft_small",
    "resnet18",
)


def recorded(option_set: str) -> dict[str, str]:
    """SHA-256 of a checkpoint, by model."""
    digests: dict[str, str] = _table()[option_set]["sha256"]
    return digests


def restated(option_set: str) -> list[str]:
    """The models whose digest comes from the restatement, and the package agreed."""
    names: list[str] = _table()[option_set]["restated"]
    return names


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("models.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table

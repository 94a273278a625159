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

# At least one of each family, and more where there are several structures in it.
MEMBERS = {
    "alexnet": ["alexnet"],
    "vgg": ["vgg11", "vgg11_bn"],
    "resnet": ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"],
    "densenet": ["densenet121"],
    "inception": ["googlenet", "inception_v3"],
    "squeezenet": ["squeezenet1_0"],
    "shufflenet": ["shufflenet_v2_x0_5"],
    "mobilenet": ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"],
    "mnasnet": ["mnasnet1_0"],
    "efficientnet": ["efficientnet_b0", "efficientnet_v2_s"],
    "regnet": ["regnet_x_400mf", "regnet_y_400mf"],
    "convnext": ["convnext_tiny"],
    "vit": ["vit_b_16", "vit_b_32", "vit_h_14"],
    "swin": ["swin_t", "swin_v2_t"],
    "maxvit": ["maxvit_t"],
    "segmentation": ["fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large"],
    "rcnn": ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"],
    "one-stage detection": ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"],
    "ssd": ["ssd300_vgg16", "ssdlite320_mobilenet_v3_large"],
    "video resnet": ["r3d_18", "mc3_18", "r2plus1d_18"],
    "video": ["s3d", "swin3d_t", "mvit_v1_b", "mvit_v2_s"],
    "optical flow": ["raft_small", "raft_large"],
    "quantized": ["quantized_resnet18", "quantized_mobilenet_v2"],
}


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

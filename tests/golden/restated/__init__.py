"""The ZerO checkpoints of torchvision's models, restated from the policy by tensors' names.

Nothing here uses the package's rules, values or structure: only torch, numpy and scipy, the real
constructors, and for each family a few lines that say what closes its branches. One function is
borrowed, `import_torchvision`, because torchvision does not import beside every torch.
"""

import inspect
import re
import warnings

import torch
from torch import Tensor

from tests.golden.restated import convolutional, tasks, transformers
from tests.golden.restated.entries import Choice, kept
from tests.golden.restated.family import Family, apply
from zeroinit_cli.nets.torchvision import import_torchvision

__all__ = ["FAMILIES", "Choice", "family_of", "restate"]

# From patterns of whole names to families.
FAMILIES: dict[str, Family] = {
    r"alexnet|vgg\d+": convolutional.ALEXNET,
    r"vgg\d+_bn": convolutional.VGG_BN,
    r"squeezenet1_[01]": convolutional.SQUEEZENET,
    r"densenet\d+": convolutional.DENSENET,
    r"(quantized_)?googlenet": convolutional.GOOGLENET,
    r"(quantized_)?inception_v3": convolutional.INCEPTION,
    r"s3d": convolutional.S3D,
    r"(quantized_)?shufflenet_v2_x\d_\d": convolutional.SHUFFLENET,
    r"(quantized_)?resnet18|resnet34": convolutional.BASIC,
    r"(quantized_)?resnet50|resnet1\d\d|wide_resnet\d+_2": convolutional.BOTTLENECK,
    r"(quantized_)?resnext\d+_\d+x\dd": convolutional.RESNEXT,
    r"(quantized_)?mobilenet_v2": convolutional.MOBILENET_V2,
    r"(quantized_)?mobilenet_v3_large": convolutional.MOBILENET_V3_LARGE,
    r"mobilenet_v3_small": convolutional.MOBILENET_V3_SMALL,
    r"mnasnet\d_\d+": convolutional.MNASNET,
    r"efficientnet_b\d": convolutional.EFFICIENTNET,
    r"efficientnet_v2_[sml]": convolutional.EFFICIENTNET_V2,
    r"regnet_[xy]_.*": convolutional.REGNET,
    r"convnext_.*": convolutional.CONVNEXT,
    r"vit_.*": transformers.VIT,
    r"swin_[tsb]|swin3d_[tsb]": transformers.SWIN,
    r"swin_v2_[tsb]": transformers.SWIN_V2,
    r"maxvit_t": transformers.MAXVIT,
    r"mvit_v1_b": transformers.MVIT_V1,
    r"mvit_v2_s": transformers.MVIT_V2,
    r"r3d_18|mc3_18": tasks.R3D,
    r"r2plus1d_18": tasks.R2PLUS1D,
    r"(fcn|deeplabv3)_resnet\d+": convolutional.BOTTLENECK,
    r"(deeplabv3|lraspp)_mobilenet_v3_large": convolutional.MOBILENET_V3_LARGE,
    r"fasterrcnn_resnet50_fpn(_v2)?": convolutional.BOTTLENECK,
    r"fasterrcnn_mobilenet_v3_large(_320)?_fpn": convolutional.MOBILENET_V3_LARGE,
    r"maskrcnn_resnet50_fpn": tasks.MASK_RCNN,
    r"maskrcnn_resnet50_fpn_v2": tasks.MASK_RCNN_V2,
    r"keypointrcnn_.*": tasks.KEYPOINT_RCNN,
    r"retinanet_resnet50_fpn": tasks.RETINANET,
    r"retinanet_resnet50_fpn_v2": tasks.RETINANET_V2,
    r"fcos_.*": tasks.FCOS,
    r"ssd300_vgg16": tasks.SSD,
    r"ssdlite320_.*": tasks.SSDLITE,
    r"raft_small": tasks.RAFT_SMALL,
    r"raft_large": tasks.RAFT_LARGE,
}


def family_of(name: str) -> Family | None:
    """The family of a model, None if it is not restated."""
    found = [family for pattern, family in FAMILIES.items() if re.fullmatch(pattern, name)]
    if len(found) > 1:
        raise LookupError(f"{name} is of {len(found)} families")
    return found[0] if found else None


def constructed(name: str, seed: int) -> dict[str, Tensor]:
    """The state dict of a model without any pretrained weights, of its backbone either."""
    builder = import_torchvision().models.get_model_builder(name)
    weights = [key for key in inspect.signature(builder).parameters if key.startswith("weights")]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's own, about defaults
        torch.manual_seed(seed)
        state: dict[str, Tensor] = builder(**dict.fromkeys(weights)).state_dict()
        return state


def restate(name: str, choice: Choice) -> dict[str, Tensor]:
    """The tensors of a model's checkpoint, by name.

    Raises:
        LookupError: the family's rules do not fit the model.
        ValueError: a value was to be kept that differs under another seed.
    """
    family = family_of(name)
    if family is None:
        raise LookupError(f"{name} is of no family")
    state = constructed(name, seed=1)
    tensors, rules = apply(family, state, choice)
    constants = [key for key, rule in rules.items() if rule is kept]
    if constants:
        del state
        again = constructed(name, seed=2)
        if random := [key for key in constants if not torch.equal(tensors[key], again[key])]:
            raise ValueError(f"kept, but random: {random}")
    return tensors

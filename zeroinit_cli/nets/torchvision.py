"""Torchvision: its import, also where compiled operators do not load, and its transformer."""

import importlib
import sys
from types import ModuleType

import torch
from torch import nn

_MISSING = "operator torchvision::nms does not exist"
_libraries: list[torch.library.Library] = []  # a Library's operators live as long as it does


def import_torchvision() -> ModuleType:
    """Import torchvision, at most once.

    Its wheel is built against one build of torch. Beside another (a CPU torch beside the wheel for
    CUDA) its compiled operators do not load, and its import then fails, because it registers
    gradients for two operators that nobody declared. Building a model calls neither, so declaring
    them is enough. They are declared only after the import has failed for this very reason: beside
    a matching torch a second declaration is an error.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
    return importlib.import_module("torchvision")


def vision_transformer(
    *, in_channels: int, hidden_dim: int, patch_size: int, mlp_dim: int | None, **fields: int
) -> nn.Module:
    """Build torchvision's vision transformer, for images of any number of channels.

    The arguments are the fields of a spec's `vit`, and what its input says.
    """
    import_torchvision()
    from torchvision.models import VisionTransformer

    module: nn.Module = VisionTransformer(
        hidden_dim=hidden_dim, patch_size=patch_size, mlp_dim=mlp_dim or 4 * hidden_dim, **fields
    )
    if in_channels != 3:  # torchvision's takes only colours
        module.conv_proj = nn.Conv2d(
            in_channels, hidden_dim, kernel_size=patch_size, stride=patch_size
        )
    return module

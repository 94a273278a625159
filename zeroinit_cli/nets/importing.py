"""`import torchvision`, also where its compiled operators do not load."""

import importlib
import sys
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_libraries: list[torch.library.Library] = []  # a Library's operators live as long as it does


def import_torchvision() -> ModuleType:
    """Torchvision, imported at most once.

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

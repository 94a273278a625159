"""What a linear classifier reads off a net's last features before any training."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evidence.data import Data
from evidence.expansions.beginnings import begin
from evidence.expansions.cells import CELLS
from evidence.experiment import Json
from evidence.training import one_thread

NETS = ("VGG-BN", "MobileNetV1", "MobileNetV2", "ResNet-20 end")
_CHANGES = (
    "odd twisted, patch stem",
    "odd twisted, own identities",
    "odd twisted, own depthwise",
    "odd twisted, shifted depthwise",
)
STARTS = ("torch", "sylvester", "paley", "odd twisted", *_CHANGES)
"""Those of which features are looked at; some change nothing in some nets."""
_PENALTY = 10.0  # of ridge regression; features have variance 1
_NEGLIGIBLE = 1e-3  # of the largest singular value


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What goes into the classifier, over the training images.

    Attributes:
        count: of features.
        rank: how many singular values are at least a thousandth of the largest.
        error: of a ridge classifier on them, on the validation split, in percent.
    """

    count: int
    rank: int
    error: float


def all_features() -> Json:
    """Of every such net, from every start that changes something in it."""
    found: Json = {}
    for cell in CELLS:
        if cell.name.partition(",")[0] in NETS:
            found[cell.name] = {
                start: asdict(features(begin(cell, start, 0), cell.data))
                for start in STARTS
                if "depthwise" not in start or cell.name.startswith("MobileNet")
            }
    return found


def features(model: nn.Module, data: Data) -> Features:
    """Of a net whose classifier is `fc`, its norms in train mode, so that they see these images."""
    inputs = torch.cat([data.train.inputs, data.validation.inputs])
    seen: list[Tensor] = []
    handle = model.fc.register_forward_hook(lambda _, given, __: seen.append(given[0]))  # type: ignore[union-attr]  # it is a layer
    with torch.no_grad(), one_thread():
        model.train()(inputs)
    handle.remove()
    values = seen[0].double().numpy()  # (images, features)
    values = (values - values.mean(0)) / (values.std(0) + 1e-9)
    train, validation = np.split(values, [len(data.train)])
    singular = np.linalg.svd(train, compute_uv=False)
    return Features(
        count=values.shape[1],
        rank=int((singular > _NEGLIGIBLE * singular[0]).sum()),
        error=_error(train, validation, data),
    )


def _error(train: NDArray[np.float64], validation: NDArray[np.float64], data: Data) -> float:
    answers = np.eye(data.classes)[data.train.targets.numpy()]
    gram = train.T @ train + _PENALTY * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ answers)
    wrong = (validation @ weights).argmax(1) != data.validation.targets.numpy()
    return float(100 * wrong.mean())

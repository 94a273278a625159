"""A small real input: fixed crops of the two photographs that scikit-learn ships."""

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn.functional import interpolate

_CROPS = (
    # photograph (0 a temple, 1 a flower; each 427 x 640), top, left, side
    (0, 0, 0, 427),
    (1, 0, 0, 427),
    (0, 0, 213, 427),
    (1, 0, 213, 427),
    (0, 100, 40, 240),
    (1, 100, 40, 240),
    (0, 187, 400, 240),
    (1, 187, 400, 240),
)
_LABELS = (17, 142, 267, 392, 517, 642, 767, 892)  # one for each crop, spread over 1000 classes
_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's colours, as torchvision's own transforms have them
_DEVIATION = (0.229, 0.224, 0.225)


def photographs(batch: int, pixels: int) -> tuple[Tensor, Tensor]:
    """The first crops, resized and normalised, and their labels.

    Args:
        batch: how many, at most 8.
        pixels: height and width.

    Returns:
        images (batch, 3, pixels, pixels), float32, and labels (batch,).
    """
    crops = [_crop(*each, pixels) for each in _CROPS[:batch]]
    return torch.cat(crops), torch.tensor(_LABELS[:batch])


def _crop(photograph: int, top: int, left: int, side: int, pixels: int) -> Tensor:
    picture = np.asarray(load_sample_images().images[photograph])  # (427, 640, 3), bytes
    crop = picture[top : top + side, left : left + side].transpose(2, 0, 1)
    image = torch.from_numpy(np.ascontiguousarray(crop)).float()[None] / 255
    image = interpolate(image, (pixels, pixels), mode="bilinear", antialias=True)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (_MEAN, _DEVIATION))
    return (image - mean) / deviation

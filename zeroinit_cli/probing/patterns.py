"""The default batch: pictures, tokens and labels by closed form, the same at every call.

Pictures have what natural ones have and noise has not: ramps, edges, some fine grain, channels that
resemble each other. Nothing is drawn at random, and nothing passes through a sine.
"""

from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0.6180339887498949  # its multiples modulo 1 never bunch
_PRIME, _STRIDE = 100_003, 61_803  # the same in integers, where rounding must not matter
_COLOUR, _GRAIN, _SHARPNESS = 0.35, 0.35, 40.0
_BRIGHTNESS = 0.4  # how far the means of samples lie from each other, at most


def pictures(batch: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A batch of signals of any rank, with mean 0 and mean square 1 over all of it.

    Args:
        batch: how many.
        shape: channels and sizes, (3, 96, 96); of a vector its size alone.

    Returns:
        (batch, *shape).
    """
    channels, sizes = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
    signals = np.stack([_signal(number, channels, sizes) for number in range(batch)])
    signals -= signals.mean()
    signals /= max(np.sqrt(np.square(signals).mean()), 1e-12)
    return signals.reshape(batch, *shape).astype(np.float32)


def _signal(number: int, channels: int, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """One sample, (channels, *sizes): a ramp, two edges and a grating, each by its own numbers."""
    places = _axes(sizes)
    phase = (value for value in (_wave(np.float64((number + 1) * _GOLDEN * k)) for k in count(1)))
    ramp, first, second, fine = (_slanted(places, phase) for _ in range(4))
    tint = _wave(np.arange(channels) * _GOLDEN + number * 0.25).reshape(-1, *(1 for _ in sizes))
    edges = np.clip(_SHARPNESS * (first - 0.2 * next(phase)), -1, 1)
    edges = edges + 0.5 * (1 + _COLOUR * tint) * np.clip(_SHARPNESS * (second - 0.1), -1, 1)
    grain = _wave(fine * (3 + number % 4) + 0.1 * tint)
    signal: NDArray[np.float64] = (1 + _COLOUR * tint) * ramp + edges + _GRAIN * grain + 0.5 * tint
    signal -= signal.mean()
    signal /= max(float(np.sqrt(np.square(signal).mean())), 1e-12)
    signal += _BRIGHTNESS * next(phase)
    return signal


def _slanted(places: list[NDArray[np.float64]], phase: Any) -> NDArray[np.float64]:
    total = np.zeros((1, *(1 for _ in places)))
    for place in places:
        total = total + next(phase) * place
    return total


def _axes(sizes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """For each dimension its places from -1/2 to 1/2, ready to be broadcast behind channels."""
    axes = []
    for dimension, size in enumerate(sizes):
        shape = [1] * (len(sizes) + 1)
        shape[dimension + 1] = size
        axes.append(((np.arange(size) + 0.5) / size - 0.5).reshape(shape))
    return axes


def _wave(x: Any) -> Any:
    """A triangle of period 1 between -1 and 1."""
    return 4 * np.abs(x - np.floor(x + 0.5)) - 1


def labels(numel: int, classes: int) -> NDArray[np.int64]:
    """Classes that are spread over all there are."""
    numbers = np.arange(1, numel + 1, dtype=np.int64)
    return numbers * _STRIDE % _PRIME * classes // _PRIME


def tokens(batch: int, shape: tuple[int, ...], known: int) -> NDArray[np.int64]:
    """Sequences in which a token is often told by the one before, as in text.

    Of four tokens two are common ones, and two come from the whole vocabulary.
    """
    numbers = np.arange(batch * int(np.prod(shape)), dtype=np.int64)
    rare = labels(len(numbers), known)
    common = numbers // 2 * 7 % min(known, 11)
    return np.where(numbers % 4 < 2, common, rare).reshape(batch, *shape)

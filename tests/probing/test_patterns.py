"""The default batch is the same for ever, and like a picture, not like noise."""

import hashlib

import numpy as np
import pytest

from zeroinit_cli.probing.patterns import labels, pictures, tokens


@pytest.mark.parametrize("shape", [(3, 96, 96), (1, 8, 8), (64,), (3, 4, 16, 16), (5, 20)])
def test_pictures_are_standardised_and_unlike_each_other(shape: tuple[int, ...]) -> None:
    batch = pictures(8, shape)
    assert batch.shape == (8, *shape)
    assert batch.dtype == np.float32
    assert abs(float(batch.mean())) < 1e-5
    assert float(np.square(batch).mean()) == pytest.approx(1, abs=1e-4)
    rows = batch.reshape(8, -1)
    correlations = np.corrcoef(rows) - np.eye(8)
    assert float(np.abs(correlations).max()) < 0.98
    assert float(rows.var(axis=1).min()) > 0.1


def test_neighbours_resemble_each_other_and_edges_stand_out() -> None:
    image = pictures(4, (3, 96, 96)).astype(np.float64)
    steps = np.abs(np.diff(image, axis=3))
    assert float(np.median(steps)) < 0.05
    assert float(steps.max()) > 5 * float(np.median(steps))


def test_channels_resemble_each_other_and_are_not_the_same() -> None:
    for image in pictures(8, (3, 32, 32)):
        found = np.corrcoef(image.reshape(3, -1))
        assert float(found.min()) > 0.3
        assert float((found - np.eye(3)).max()) < 0.99999


def test_the_numbers_are_these() -> None:
    """By closed form from sums, products and comparisons: a change would change every report."""
    rounded = np.round(pictures(2, (3, 16, 16)).astype(np.float64), 4)
    digest = hashlib.sha256(rounded.tobytes()).hexdigest()[:16]
    whole = hashlib.sha256(tokens(2, (16,), 128).tobytes()).hexdigest()[:16]
    assert (digest, whole) == ("3f43414d692cb526", "0ef72d467eda5c99")


def test_labels_are_spread_over_the_classes() -> None:
    assert labels(8, 1000).tolist() == [618, 236, 854, 472, 90, 708, 326, 944]
    assert set(labels(64, 10).tolist()) == set(range(10))
    assert set(labels(5, 1).tolist()) == {0}


@pytest.mark.parametrize("known", [1, 2, 7, 128, 50_257])
def test_tokens_are_of_the_vocabulary(known: int) -> None:
    found = tokens(8, (64,), known)
    assert found.min() >= 0
    assert found.max() < known
    assert len(np.unique(found)) >= min(known, 100)


def test_tokens_can_be_told_from_the_one_before_more_often_than_by_chance() -> None:
    found = tokens(8, (64,), 128)
    common = np.bincount(found.ravel(), minlength=128).max() / found.size
    assert common > 3 / 128

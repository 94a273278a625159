"""Counts and norms, held against numpy and torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.commands.tensors import reader
from zeroinit_cli.commands.tensor_numbers import pattern_type, to_numbers
from zeroinit_cli.commands.tensor_summary import Summary, summarize
from zeroinit_cli.dtypes import DTYPES, F32
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.hashing import BLOCK_BYTES


@pytest.mark.parametrize("code", [code for code in DTYPES if code.startswith("F8")])
def test_small_floats_are_torchs(code: str) -> None:
    dtype = DTYPES[code]
    if not hasattr(torch, dtype.name):
        pytest.skip("float8_e8m0fnu came with torch 2.7")
    every = torch.arange(256, dtype=torch.uint8).view(getattr(torch, dtype.name))
    expected = every.to(torch.float64).numpy()
    ours = to_numbers(np.arange(256, dtype=np.uint8), dtype)
    assert np.array_equal(ours, expected, equal_nan=True)


@pytest.mark.parametrize("code", ["BF16", "F16", "F32", "F64", "I8", "U16", "I64", "BOOL"])
def test_other_numbers_are_torchs(code: str) -> None:
    dtype = DTYPES[code]
    data = np.random.default_rng(0).integers(0, 2 if code == "BOOL" else 256, 800, np.uint8)
    theirs = torch.from_numpy(data).view(getattr(torch, dtype.name)).to(torch.float64).numpy()
    ours = to_numbers(data.view(pattern_type(dtype)), dtype)
    assert np.array_equal(ours, theirs, equal_nan=True)


def summary(values: np.ndarray) -> Summary:
    dtype = F32 if values.dtype == np.float32 else DTYPES["F64"]
    info = TensorInfo(name="x", shape=values.shape, dtype=dtype)
    return summarize(info, values.size, reader(values.view(f"<u{values.itemsize}")))


@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, math.nan, math.inf, -math.inf])
        | st.floats(width=32),
        min_size=1,
        max_size=200,
    )
)
def test_counts_are_numpys_however_many_patterns_there_are(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    found = summary(values)
    assert found.zeros == np.count_nonzero(values == 0)
    assert found.nans == np.count_nonzero(np.isnan(values))
    assert found.infinities == np.count_nonzero(np.isinf(values))
    norm = math.sqrt(np.square(values.astype(np.float64)).sum())
    assert found.norm == pytest.approx(norm, rel=1e-12, nan_ok=True)
    counted = sum(each.count for each in found.patterns.values()) + found.others
    assert counted == (0 if found.random else values.size)
    for pattern, occurrence in found.patterns.items():
        positions = np.flatnonzero(values.view("<u4") == pattern)
        assert (occurrence.count, occurrence.first) == (positions.size, positions[0])


def test_patterns_are_counted_across_blocks() -> None:
    values = np.zeros(3 * BLOCK_BYTES // 4, np.float32)
    values[BLOCK_BYTES // 4 + 7 :: 5] = -0.25
    found = summary(values)
    assert {key: each.first for key, each in found.patterns.items()} == {
        0: 0,
        0xBE800000: BLOCK_BYTES // 4 + 7,
    }
    assert found.patterns[0xBE800000].count == np.count_nonzero(values)
    assert found.norm == math.sqrt(np.count_nonzero(values)) * 0.25


def test_edits_beyond_the_patterns_that_are_counted_are_counted_as_others() -> None:
    values = np.ones(6400, np.float32)
    values[100:120] = np.arange(2, 22)
    found = summary(values)
    assert not found.random
    assert len(found.patterns) == 17
    assert (found.others, found.first_other) == (4, 116)
    assert found.norm == pytest.approx(np.sqrt(np.square(values.astype(np.float64)).sum()))


def test_noise_that_comes_late_is_counted_whole() -> None:
    values = np.ones(2 * BLOCK_BYTES // 4, np.float32)
    values[-1000:] = np.random.default_rng(0).standard_normal(1000)
    found = summary(values)
    assert found.norm == pytest.approx(np.sqrt(np.square(values.astype(np.float64)).sum()))


NEAR_THE_ENDS = st.floats(1e-300, 1e300) | st.sampled_from([0.0, 1e200, 1e-200, 5e-324, 1.0])


@given(st.lists(NEAR_THE_ENDS, min_size=1, max_size=40), st.lists(NEAR_THE_ENDS, max_size=40))
def test_no_norm_overflows_or_vanishes(first: list[float], second: list[float]) -> None:
    """math.hypot scales by the largest, and is the oracle; two blocks are added up."""
    half = BLOCK_BYTES // 8
    values = np.zeros(half + max(len(second), 1))
    values[: len(first)], values[half : half + len(second)] = first, second
    found = summary(values)
    norm = math.hypot(*first, *second)
    assert found.norm == pytest.approx(norm, rel=1e-12, abs=0)


def test_noise_of_any_size_has_its_norm() -> None:
    noise = np.random.default_rng(0).standard_normal(5000)
    for size in (1e200, 1e-200, 1e-310):
        assert summary(noise * size).norm == pytest.approx(math.hypot(*noise * size), rel=1e-12)


def test_a_norm_beyond_float64_is_infinite() -> None:
    found = summary(np.full(4, 1.7e308))
    assert (found.norm, found.infinities) == (math.inf, 0)
    assert summary(np.array([1e200, math.inf])).norm == math.inf
    assert math.isnan(summary(np.array([1e200, math.nan])).norm or 0.0)

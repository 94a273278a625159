"""Seconds and memory of the steps of a child process."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.children.memory import growth, reset_peak

Figures = dict[str, float]


@contextmanager
def timed(figures: Figures, name: str) -> Iterator[None]:
    """Seconds of the block, as `<name>_seconds`."""
    started = time.perf_counter()
    yield
    figures[f"{name}_seconds"] = time.perf_counter() - started


@contextmanager
def weighed(figures: Figures, name: str) -> Iterator[None]:
    """Likewise, and where the system tells it, by how much memory grew, as `<name>_growth`.

    What was freed before must not make room for the block, as far as Python can see to it.
    """
    gc.collect()
    before = reset_peak()
    with timed(figures, name):
        yield
    grown = growth(before)
    if grown is not None:
        figures[f"{name}_growth"] = grown

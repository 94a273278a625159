"""The training study: every cell from each of its starts, tuned, then under seeds of order."""

import math
import sys
import time
from collections.abc import Iterable

from evidence.expansions.cells import Cell
from evidence.expansions.runs import Runs
from evidence.experiment import mean
from evidence.training import one_thread

SEEDS = 5


def study(runs: Runs, cells: Iterable[Cell], seeds: int = SEEDS, until: float = math.inf) -> bool:
    """Train what is not trained yet.

    Args:
        runs: the file.
        cells: in this order.
        seeds: of order, from 0.
        until: time.monotonic() at which to stop before the next start of a cell.

    Returns:
        whether everything is there.
    """
    with one_thread():
        for cell in cells:
            for start in cell.starts:
                if time.monotonic() > until:
                    return False
                started = time.monotonic()
                found = runs.reported(cell, start, seeds)
                rate, error = found[0].recipe.learning_rate, mean([run.test_error for run in found])
                seconds = time.monotonic() - started
                words = f"{cell.name}: {start}, rate {rate:g}, {error:.2f} %, {seconds:.0f} s"
                print(words, file=sys.stderr, flush=True)
    return True

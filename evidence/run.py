"""Run the experiments: python -m evidence.run [NAME...] [--effort quick].

Each experiment is cut into cells, which two processes of one thread each take one after the other.
A cell that is done lies in evidence/results until its experiment is published, so that a run that
was interrupted goes on where it stopped, unless the code or torch is another by then. The published
run leaves its JSON, its figure and its rows in the repository; any other leaves them in
evidence/results/EFFORT and prints its rows.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from evidence import families, learning_curves
from evidence.data import text
from evidence.experiment import EFFORTS, Effort, Experiment, Json, rounded
from evidence.figures import styled, write_svg
from evidence.report import put_between, sections, table, write_json

NAMES = (
    "degeneracy",
    "ultra_deep",
    "low_rank",
    "reproducibility",
    "accuracy",
    "policy_choices",
)
_SHARED = (  # what every experiment stands on
    "comparing.py",
    "data.py",
    "experiment.py",
    "ranks.py",
    "starts.py",
    "training.py",
    "tuning.py",
)
_FOLDER = Path(__file__).resolve().parent
PUBLISHED = _FOLDER / "published"
_SCRATCH = _FOLDER / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and has not been measured; 1 if a cell failed."""
    request = _request(arguments)
    if not request.redraw and not _measured(request):
        return 1
    for name in request.names:
        _publish(request, name)
    if request.effort.name == "published":
        _front()
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    names: Sequence[str]
    effort: Effort
    processes: int
    redraw: bool

    @property
    def target(self) -> Path:
        """Where results go."""
        return PUBLISHED if self.effort.name == "published" else _SCRATCH / self.effort.name

    def cell(self, name: str, cell: str) -> Path:
        """Where a cell lies until its experiment is published."""
        return _SCRATCH / "cells" / self.effort.name / name / f"{cell.replace('/', '--')}.json"


def _request(arguments: Sequence[str] | None) -> _Request:
    parser = argparse.ArgumentParser(prog="evidence.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; or all")
    efforts = sorted(set(EFFORTS) - {"tiny"})
    parser.add_argument("--effort", choices=efforts, default="published")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each; 2")
    parser.add_argument("--redraw", action="store_true", help="figures and rows, from the JSON")
    parsed = parser.parse_args(arguments)
    if unknown := sorted(set(parsed.names) - set(NAMES)):
        parser.error(f"no experiment: {', '.join(unknown)}")
    names = [name for name in NAMES if name in parsed.names or not parsed.names]
    effort = EFFORTS[parsed.effort]
    return _Request(names=names, effort=effort, processes=parsed.processes, redraw=parsed.redraw)


def experiment_of(name: str) -> Experiment:
    """The experiment that a module of this package holds."""
    found: Experiment = importlib.import_module(f"evidence.{name}").experiment
    return found


def _measured(request: _Request) -> bool:
    """Every cell that is missing, by several processes; whether all are there now."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before a child loads torch
    os.environ["OMP_WAIT_POLICY"] = "passive"  # two threads on one busy core would spin for hours
    waiting = list(_missing(request))
    started, failed = time.perf_counter(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(request.processes, context) as pool:
        futures: dict[Future[float], str] = {}
        for name, cell in waiting:
            path = request.cell(name, cell)
            future = pool.submit(measure_cell, name, cell, request.effort, path)
            futures[future] = f"{name} {cell}"
        for count, future in enumerate(as_completed(futures), 1):
            error = future.exception()
            outcome = f"{future.result():.1f} s" if error is None else f"failed: {error!r}"
            failed += error is not None
            passed = time.perf_counter() - started
            _say(f"{passed:6.0f} s  {count}/{len(futures)}  {futures[future]}: {outcome}")
    return failed == 0


def _missing(request: _Request) -> Iterator[tuple[str, str]]:
    for name in request.names:
        for cell in experiment_of(name).cells(request.effort):
            if _stored(request.cell(name, cell), name) is None:
                yield name, cell


def _stored(path: Path, name: str) -> dict[str, Json] | None:
    """What a cell measured, if it was by this very code."""
    try:
        found: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("made_by") == made_by(name) else None


@cache
def made_by(name: str) -> str:
    """A digest of all that a cell's numbers depend on and that may change between two runs."""
    paths = [_FOLDER / f"{name}.py", *(_FOLDER / each for each in _SHARED)]
    paths += sorted((_FOLDER / "nets").glob("*.py"))
    state = hashlib.sha256(f"{platform.python_version()} {version('torch')}".encode())
    for path in paths:
        state.update(path.read_bytes())
    return f"sha256:{state.hexdigest()}"


def measure_cell(name: str, cell: str, effort: Effort, path: Path) -> float:
    """Measure one cell, in a process of its own, and leave its result whole or not at all.

    Returns:
        the seconds of processor that it took.
    """
    import torch

    torch.set_num_threads(1)  # so that sums, and their rounding, are the same each time
    started = time.process_time()
    result = rounded(experiment_of(name).cells(effort)[cell]())
    seconds = time.process_time() - started
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"made_by": made_by(name), "result": result, "seconds": round(seconds, 1)})
    return seconds


def _publish(request: _Request, name: str) -> None:
    """JSON, figure, and time apart from both; then the cells are no longer needed."""
    request.target.mkdir(parents=True, exist_ok=True)
    experiment = experiment_of(name)
    path = request.target / f"{name}.json"
    if not request.redraw:
        _gather(request, experiment, path)
    results = json.loads(path.read_text(encoding="utf-8"))["cells"]
    with styled():
        write_svg(experiment.figure(results), path.with_suffix(".svg"))
    print(table(experiment, results, request.effort))


def _front() -> None:
    """The document's tables, and the two figures that are drawn of several results."""
    readme, listed = _FOLDER / "README.md", families.lines(PUBLISHED)
    put_between(readme, "families", families.markdown(listed))
    put_between(readme, "results", sections(PUBLISHED, [experiment_of(each) for each in NAMES]))
    accuracy = json.loads((PUBLISHED / "accuracy.json").read_text(encoding="utf-8"))["cells"]
    with styled():
        write_svg(families.figure(listed), PUBLISHED / "families.svg")
        write_svg(learning_curves.figure(accuracy), PUBLISHED / "learning_curves.svg")


def _gather(request: _Request, experiment: Experiment, path: Path) -> None:
    cells: dict[str, Json] = {}
    seconds = 0.0
    for cell in experiment.cells(request.effort):
        stored = request.cell(experiment.name, cell).read_text(encoding="utf-8")
        found = json.loads(stored)
        cells[cell] = found["result"]
        seconds += found["seconds"]
    document = {
        "cells": cells,
        "effort": request.effort.name,
        "experiment": experiment.name,
        "python": platform.python_version(),
        "text": text().digest(),
        "torch": version("torch").partition("+")[0],
    }
    write_json(path, document)
    _add_time(request.target / "seconds.json", experiment.name, seconds)
    shutil.rmtree(request.cell(experiment.name, "any").parent)


def _add_time(path: Path, name: str, seconds: float) -> None:
    """Processor seconds lie apart from results, which are the same each time."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**known, name: round(seconds)})


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

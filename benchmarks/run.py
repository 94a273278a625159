"""Measure everything, print the tables, and keep them: python -m benchmarks.run [--full] [PART...].

A run of all parts replaces README's tables, results.json and sizes.svg; one of some parts prints.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.machine import Machine, describe_machine
from benchmarks.parts import extremes, models, shards, sizes, startup
from benchmarks.processes import run_python
from benchmarks.samples import Part
from benchmarks.tables import machine_lines, target_table, terminal_tables, update_readme
from benchmarks.targets import Target, targets

_FOLDER = Path(__file__).resolve().parent
Measure = Callable[[bool, Callable[[str], None]], Part]
PARTS: dict[str, Measure] = {
    "models": models.measure,
    "sizes": sizes.measure,
    "shards": shards.measure,
    "embedding": extremes.measure_embedding,
    "many": extremes.measure_many,
    "startup": startup.measure,
}


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Compare and measure.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="25 GB, every type, more rounds")
    wanted = parser.parse_args()
    keys = wanted.parts or list(PARTS)
    if unknown := set(keys) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    machine = describe_machine()
    _say("warming up: one round of resnet18 that is not counted")
    models.measure_round("resnet18", with_reference=False)
    started = time.perf_counter()
    parts = [PARTS[key](wanted.full, _say) for key in keys]
    found = targets(parts)
    _say(f"{(time.perf_counter() - started) / 60:.0f} minutes")
    if len(keys) == len(PARTS):
        _write_json(machine, parts)
        update_readme(_FOLDER / "README.md", machine, found, parts)
        run_python("-m", "benchmarks.plot")  # whose libraries would weigh on every child's peak
    _print(machine, found, parts)


def _print(machine: Machine, found: Sequence[Target], parts: Sequence[Part]) -> None:
    console = Console()
    for table in terminal_tables(parts):
        console.print(table)
    console.print(target_table(found))
    for line in machine_lines(machine):
        console.print(line, highlight=False)


def _write_json(machine: Machine, parts: Sequence[Part]) -> None:
    """Every number as it was measured, for whoever wants another statistic."""
    data = {
        "machine": asdict(machine),
        "parts": [
            {
                "key": part.key,
                "notes": part.notes,
                "series": [asdict(series) for series in part.series],
                "title": part.title,
            }
            for part in parts
        ],
    }
    path = _FOLDER / "results.json"
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

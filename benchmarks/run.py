"""Measure everything, print the tables, and keep them: python -m benchmarks.run [--full] [PART...].

What is measured replaces its part of results.json, and README's tables and sizes.svg are made anew
of all that is there, so that a long part can be measured by itself on the same machine.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.machine import Machine, describe_machine
from benchmarks.parts import extremes, models, plans, scale, shards, sizes, startup
from benchmarks.processes import run_python
from benchmarks.results import read_results, write_results
from benchmarks.samples import Part
from benchmarks.tables import machine_lines, target_table, terminal_tables, update_readme
from benchmarks.targets import Target, targets

_FOLDER = Path(__file__).resolve().parent
_RESULTS = _FOLDER / "results.json"
Measure = Callable[[bool, Callable[[str], None]], Part]
PARTS: dict[str, Measure] = {
    "models": models.measure,
    "sizes": sizes.measure,
    "shards": shards.measure,
    "embedding": extremes.measure_embedding,
    "many": extremes.measure_many,
    "rules": extremes.measure_rules,
    "plans": plans.measure,
    "scale": scale.measure,
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
    _say(f"{(time.perf_counter() - started) / 60:.0f} minutes")
    everything = _with_earlier(parts)
    write_results(_RESULTS, machine, everything)
    found = targets(everything)
    update_readme(_FOLDER / "README.md", machine, found, everything)
    if any(part.key == "sizes" for part in everything):
        run_python("-m", "benchmarks.plot")  # whose libraries would weigh on every child's peak
    _print(machine, found, parts)


def _print(machine: Machine, found: Sequence[Target], parts: Sequence[Part]) -> None:
    console = Console()
    for table in terminal_tables(parts):
        console.print(table)
    console.print(target_table(found))
    for line in machine_lines(machine):
        console.print(line, highlight=False)


def _with_earlier(parts: Sequence[Part]) -> list[Part]:
    """These parts, and from the results file those that were not measured now, in PARTS' order."""
    known = {part.key: part for part in read_results(_RESULTS)} | {part.key: part for part in parts}
    return [known[key] for key in PARTS if key in known]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

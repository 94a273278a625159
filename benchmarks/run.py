"""Measure everything, print one table, and keep it: python -m benchmarks.run [MODEL...]."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.figures import ModelResult
from benchmarks.machine import Machine, describe_machine
from benchmarks.rounds import measure_round
from benchmarks.tables import machine_lines, terminal_table, update_readme

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A model, how often it is measured, and in how many of these rounds with the reference."""

    name: str
    rounds: int
    reference_rounds: int


WORKLOADS = (
    Workload(name="resnet18", rounds=5, reference_rounds=5),
    Workload(name="vit_b_16", rounds=5, reference_rounds=3),
    Workload(name="vit_h_14", rounds=3, reference_rounds=1),  # the reference takes minutes
)


def main() -> None:
    """Run the models asked for; only a run of all of them changes the README."""
    workloads = _chosen(sys.argv[1:])
    machine = describe_machine()
    _say("warming up: one round of resnet18 that is not counted")
    measure_round("resnet18", with_reference=True)
    results = [_measure(workload) for workload in workloads]
    _write_json(machine, results)
    if len(workloads) == len(WORKLOADS):
        update_readme(_FOLDER / "README.md", machine, results)
    console = Console()
    console.print(terminal_table(results))
    for line in machine_lines(machine):
        console.print(line, highlight=False)


def _chosen(arguments: Sequence[str]) -> list[Workload]:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Compare and measure.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(names)}")
    models = parser.parse_args(arguments).models or names
    if unknown := set(models) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return [workload for workload in WORKLOADS if workload.name in models]


def _measure(workload: Workload) -> ModelResult:
    rounds = []
    for index in range(workload.rounds):
        with_reference = index < workload.reference_rounds
        started = time.perf_counter()
        rounds.append(measure_round(workload.name, with_reference=with_reference))
        seconds = time.perf_counter() - started
        _say(f"{workload.name}: round {index + 1} of {workload.rounds}, {seconds:.0f} s")
    return ModelResult(name=workload.name, rounds=tuple(rounds))


def _write_json(machine: Machine, results: Sequence[ModelResult]) -> None:
    """Every number as it was measured, for whoever wants another statistic."""
    path = _FOLDER / "results" / "latest.json"
    path.parent.mkdir(exist_ok=True)
    data = {"machine": asdict(machine), "models": [asdict(result) for result in results]}
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

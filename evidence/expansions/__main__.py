"""Measure, train, and write the study: python -m evidence.expansions [PART...].

Training runs lie in evidence/results/expansions, outside the repository, and are not repeated;
evidence/expansions/results.json keeps what the tables and figures are made from.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evidence.expansions import first_step, results
from evidence.expansions.cells import CELLS
from evidence.expansions.features import all_features
from evidence.expansions.figures import draw
from evidence.expansions.runs import Runs
from evidence.expansions.study import SEEDS, study
from evidence.expansions.tables import update

PARTS = ("matrices", "chains", "first-step", "features", "training", "report")
_FOLDER = Path(__file__).resolve().parent
RUNS = _FOLDER.parent / "results" / "expansions" / "runs.jsonl"
RESULTS = _FOLDER / "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the parts asked for; 1 if time ran out before the training was done."""
    parser = argparse.ArgumentParser(prog="evidence.expansions", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    minutes = "training stops at the first start after so many; not at all if not given"
    parser.add_argument("--minutes", type=float, default=float("inf"), help=minutes)
    parsed = parser.parse_args(arguments)
    if unknown := sorted(set(parsed.parts) - set(PARTS)):
        parser.error(f"no part: {', '.join(unknown)}")
    parts = [part for part in PARTS if part in parsed.parts or not parsed.parts]
    done = True
    if "matrices" in parts:
        results.add(RESULTS, "matrices", results.matrices())
        results.add(RESULTS, "parities", results.parities())
    if "chains" in parts:
        results.add(RESULTS, "chains", results.chains())
    if "first-step" in parts:
        steps = {"small nets": dict(first_step.small_nets()), "models": dict(first_step.models())}
        results.add(RESULTS, "first_step", steps)
    if "features" in parts:
        results.add(RESULTS, "features", all_features())
    if "training" in parts:
        until = time.monotonic() + parsed.minutes * 60
        runs = Runs(RUNS)
        done = study(runs, CELLS, until=until)
        results.add(RESULTS, "training", results.training(runs, SEEDS))
    if "report" in parts:
        found = results.read(RESULTS)
        draw(found, _FOLDER)
        update(_FOLDER / "README.md", found)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())

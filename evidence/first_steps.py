"""The first steps of every classification model: python -m evidence.first_steps [MODEL...].

Each model runs in a process of its own and leaves one JSON file in evidence/results/first_steps;
a run that was interrupted goes on where it stopped. A run of all models puts its table into
evidence/first_steps.md, of what there is.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evidence.one_model import setting_of, warnings_of
from evidence.records import ModelRecord, read_record, write_record
from evidence.report import put_between
from evidence.starts import classification_models, parameters_of, plan_of
from evidence.tables import markdown
from zeroinit_cli.plans.plan import Plan

_FOLDER = Path(__file__).resolve().parent
_RESULTS = _FOLDER / "results" / "first_steps"
_DOCUMENT = _FOLDER / "first_steps.md"


def main() -> int:
    """Measure the models asked for that have no record yet, the smallest first."""
    known = classification_models()
    request = _request(known)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    ordered = sorted(request.names, key=parameters_of)
    records = [
        read_record(_path(name)) if request.tables else _record(name, again=request.again)
        for name in ordered
    ]
    done = sorted((each for each in records if each is not None), key=lambda each: each.model)
    if request.names == known:
        put_between(_DOCUMENT, "table", markdown(done, of=known))
    print(markdown(done, of=request.names))
    return 0 if len(done) == len(ordered) else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """What the command line asks for."""

    names: Sequence[str]
    again: bool
    tables: bool


def _request(known: Sequence[str]) -> _Request:
    parser = argparse.ArgumentParser(prog="evidence.first_steps", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all of torchvision's if none")
    parser.add_argument("--again", action="store_true", help="measure also what has a record")
    parser.add_argument("--tables", action="store_true", help="of what there is; measure nothing")
    arguments = parser.parse_args()
    names = sorted(set(arguments.models)) or list(known)
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no classification model: {', '.join(unknown)}")
    return _Request(names=names, again=arguments.again, tables=arguments.tables)


def _record(name: str, *, again: bool) -> ModelRecord | None:
    """The record of a model, measured now if there is none of this very plan and setting."""
    path = _path(name)
    found = None if again else read_record(path)
    plan = None if found is None else plan_of(name)
    if found is None or plan is None or not _is_of(found, plan):
        started = time.perf_counter()
        command = [sys.executable, "-m", "evidence.one_model", name, str(path)]
        done = subprocess.run(command, cwd=_FOLDER.parent, check=False)
        _say(f"{name}: exit {done.returncode}, {time.perf_counter() - started:.0f} s")
        return read_record(path) if done.returncode == 0 else None
    if found.warnings != warnings_of(plan):  # what plans warn of may change, and no value with it
        found = replace(found, warnings=warnings_of(plan))
        write_record(path, found)
    return found


def _path(name: str) -> Path:
    return _RESULTS / f"{name}.json"


def _is_of(record: ModelRecord, plan: Plan) -> bool:
    return (record.plan, record.setting) == (plan.digest(), setting_of(record.model))


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Attack a reader for as long as you like: python -m tests.fuzz header --executions 1000000

Every mutant must be read or refused in our words, within two seconds of processor time and without
taking hold of 500 MB; what else must hold stands in the module of each reader. The first finding of
each kind is written to --output, and all are counted. With --engine guided mutants are chosen by
the coverage that they reach; that needs atheris.
"""

import argparse
import importlib
from pathlib import Path

from tests.fuzz.engines import blind, guided
from tests.fuzz.session import Session
from tests.fuzz.target import Target

_PLACES = {
    "header": ("header", "HEADER"),
    "index": ("index", "INDEX"),
    "lock": ("lock", "LOCK"),
    "spec": ("spec", "SPEC"),
    "built-spec": ("spec", "BUILT"),
}


def main() -> None:
    """Run, print the figures, and exit 1 if there were findings."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("target", choices=sorted(_PLACES))
    arguments.add_argument("--executions", type=int, default=100_000)
    arguments.add_argument("--seconds", type=float, default=3600.0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--engine", choices=("blind", "guided"), default="blind")
    arguments.add_argument("--output", type=Path, default=Path("findings"))
    chosen = arguments.parse_args()
    module, name = _PLACES[chosen.target]

    def load() -> Target:
        target: Target = getattr(importlib.import_module(f"tests.fuzz.{module}"), name)
        return target

    bounds = (chosen.executions, chosen.seconds, chosen.seed)
    if chosen.engine == "guided":
        guided(load, chosen.output, *bounds)
    if chosen.target == "built-spec":
        import torch  # noqa: F401 - so that no mutant is charged for it
    session = Session(load(), chosen.output)
    blind(session, *bounds)
    print(session.report())
    raise SystemExit(bool(session.findings))


if __name__ == "__main__":
    main()

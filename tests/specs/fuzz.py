"""Mutate real specs for as long as you like: python -m tests.specs.fuzz --executions 200000

Every mutant must be a spec or a SpecError, within two seconds of processor time and without taking
hold of 500 MB. A mutant that is a spec must keep its digest when its defaults are filled in; with
--build, a small one must also be built by torch to the parameters and shapes that were inferred.
Findings are written to --output, one file each, and counted by kind.
"""

import argparse
import random
import resource
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.specs.mutations import mutated
from zeroinit_cli.errors import SpecError
from zeroinit_cli.specs.blueprint import BuilderBlueprint
from zeroinit_cli.specs.show import filled_in
from zeroinit_cli.specs.spec import Spec, parse_spec

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 2.0
MOST_MEGABYTES = 500
_SMALL = 2_000_000
_FEW_LAYERS = 200


def seeds() -> list[bytes]:
    """The specs that mutants come from: those that people know, and as often the wrong ones."""
    good, bad = (
        [path.read_bytes() for path in sorted(ROOT.glob(f"{folder}/*.yaml"))]
        for folder in ("model_specs", "tests/specs/bad")
    )
    return good * (len(bad) // len(good)) + bad


def examine(data: bytes, *, build: bool = False) -> str:
    """What became of one mutant: `wrong`, `valid` or `built`.

    Raises:
        Exception: anything but a SpecError is a finding.
    """
    try:
        spec = parse_spec(data, "mutant.yaml")
    except SpecError as error:
        placed = all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
        if not (placed and str(error).startswith("error: ")):
            raise TypeError("a message without its place") from error
        return "wrong"
    shown = parse_spec(filled_in(spec).encode(), "shown.yaml")
    assert shown.digest() == spec.digest(), "filling in defaults changed the digest"
    if build and not isinstance(spec.inferred.blueprint, BuilderBlueprint):
        return _built(spec)
    return "valid"


def _built(spec: Spec) -> str:
    """Hold the inferred numbers and shapes against torch, on the meta device."""
    import torch

    from zeroinit_cli.architectures.from_spec import build_blueprint

    inferred = spec.inferred
    if inferred.layers > _FEW_LAYERS or inferred.parameters > _SMALL:
        return "valid"
    with torch.device("meta"):
        module = build_blueprint(inferred.blueprint).eval()
        kind = torch.int64 if inferred.ids else torch.float32
        inputs = [torch.empty(2, *shape, dtype=kind) for _, shape in spec.inputs]
        output = module(*inputs)
    outputs = output if isinstance(output, tuple) else (output,)
    found = [tuple(each.shape[1:]) for each in outputs]
    assert found == list(inferred.outputs), (found, inferred.outputs)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == inferred.parameters, (count, inferred.parameters)
    return "built"


def main() -> None:
    """Run, print the figures, and exit 1 if there were findings."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--executions", type=int, default=200_000)
    arguments.add_argument("--seconds", type=float, default=1800.0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--build", action="store_true")
    arguments.add_argument("--output", type=Path, default=Path("findings"))
    chosen = arguments.parse_args()
    if chosen.build:
        import torch  # noqa: F401 - so that no mutant is charged for it
    chance, corpus = random.Random(chosen.seed), seeds()
    kinds: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    slowest, began = 0.0, time.monotonic()
    for number in range(chosen.executions):
        if time.monotonic() - began > chosen.seconds:
            break
        data = mutated(chance.choice(corpus), corpus, chance)
        before = time.process_time()
        try:
            kinds[examine(data, build=chosen.build)] += 1
            problem = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            place = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        took = time.process_time() - before
        slowest = max(slowest, took)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if took > MOST_SECONDS:
            problem = f"{took:.1f} s"
        if memory > MOST_MEGABYTES and not chosen.build:
            problem = f"{memory:.0f} MB"
        if problem is not None:
            findings[problem] += 1
            if findings[problem] == 1:
                chosen.output.mkdir(exist_ok=True)
                (chosen.output / f"{chosen.seed}-{number}.yaml").write_bytes(data)
                print(f"{number}: {problem}", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = sum(kinds.values()) + sum(findings.values())
    print(f"{total} executions: {dict(sorted(kinds.items()))}, findings {dict(findings)}")
    print(f"slowest {slowest:.2f} s, {memory:.0f} MB, {time.monotonic() - began:.0f} s in all")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()

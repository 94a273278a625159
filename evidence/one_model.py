"""Measure one model, in a process of its own: python -m evidence.one_model MODEL FILE."""

import argparse
import gc
import resource
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from evidence.branches import State, branch_values
from evidence.photographs import photographs
from evidence.records import BranchRecord, ModelRecord, Setting, StartRecord, write_record
from evidence.starts import own_start, plan_of, zero_starts
from evidence.steps import first_steps
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan, PlanWarning
from zeroinit_cli.policies import DEFAULT, PAPER

_STEPS = 3
_RATES = 0.01, 0.1
_MOST_MEMORY = 16_000_000_000  # bytes of address space: a model that wants more fails alone
_SMALL = (8, 64)  # images, pixels
_FIXED = {  # models that take one size only, or that mean one: fewer images then
    "inception": (4, 299),  # never one alone: a step may fit it so well that all gradients are 0
    "maxvit": (2, 224),
    "swin": (2, 224),
    "vit_": (2, 224),
}


def setting_of(name: str) -> Setting:
    """What a model is measured under."""
    batch, pixels = next((_FIXED[each] for each in _FIXED if name.startswith(each)), _SMALL)
    rate, faster = _RATES
    return Setting(
        batch=batch,
        pixels=pixels,
        learning_rate=rate,
        faster=faster,
        steps=_STEPS,
        auxiliary=0.3,
        torch=torch.__version__.partition("+")[0],
        torchvision=version("torchvision"),
    )


def warnings_of(plan: Plan) -> dict[str, str]:
    """What a plan warns of: kind -> text."""
    return {warning.kind: _in_words(warning) for warning in plan.warnings}


def _in_words(warning: PlanWarning) -> str:
    return f"{warning.text}; {warning.hint}" if warning.hint else warning.text


def measure(name: str, setting: Setting, folder: Path) -> ModelRecord:
    """The starts of a model, one after the other, so that only one is in memory.

    Args:
        name: of the model.
        setting: under which.
        folder: where its checkpoint may lie for a moment.
    """
    plan, other = plan_of(name), plan_of(name, Options(policy=PAPER))
    images, labels = photographs(setting.batch, setting.pixels)
    faster = replace(setting, learning_rate=setting.faster)

    def steps(model: nn.Module, of: Plan, setting: Setting) -> StartRecord:
        gc.collect()  # graphs refer to themselves: without this the last start would still be there
        return first_steps(model, of, images, labels, setting)

    with zero_starts(name, plan, folder) as start:
        branches = _branches(start().train(), images)
        zero = steps(start(), plan, setting)
        zero_faster = steps(start(), plan, faster)
    own = steps(own_start(name), plan, setting)
    own_faster = steps(own_start(name), plan, faster)
    with zero_starts(name, other, folder) as start:
        paper = steps(start(), other, replace(setting, steps=1))
    return ModelRecord(
        model=name,
        plan=plan.digest(),
        nbytes=plan.nbytes,
        setting=setting,
        warnings=warnings_of(plan),
        branches=branches,
        zero=zero,
        own=own,
        zero_faster=zero_faster,
        own_faster=own_faster,
        paper=paper,
        peak_bytes=_peak_bytes(),
    )


def _branches(model: nn.Module, images: Tensor) -> BranchRecord:
    structure = find_structure(model, DEFAULT.ending, [Example(args=(images,))])
    values = branch_values(model, structure, images)
    closed = [each for each in values if each.state is State.CLOSED]
    reasons = [
        each.reason.replace(f"{each.place}.", "") for each in values if each.state is State.OPEN
    ]
    return BranchRecord(
        closed=len(closed),
        largest_closed=max((each.largest for each in closed), default=0.0),
        scaled=sum(each.state is State.SCALED for each in values),
        damped=sum(each.state is State.DAMPED for each in values),
        broken=[each.place for each in values if not each.holds],
        open=dict(sorted(Counter(reasons).items())),
    )


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def main() -> None:
    """Measure the model and leave its record."""
    parser = argparse.ArgumentParser(prog="evidence.one_model", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    torch.set_num_threads(1)  # so that the sums, and their rounding, do not depend on the machine
    with tempfile.TemporaryDirectory() as folder:
        record = measure(arguments.model, setting_of(arguments.model), Path(folder))
    write_record(arguments.file, record)


if __name__ == "__main__":
    main()

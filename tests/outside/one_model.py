"""Measure one model in this process."""

import gc
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import zeroinit_cli
from tests.outside.branches import Branch, State, branches
from tests.outside.cases import Case, called
from tests.outside.flow import flow
from tests.outside.record import Record
from tests.outside.steps import NotFiniteError, without_gradient

_UNTRACED = "untraced"
_MOST_OF_A_LINE = 300
_FINE = (State.CLOSED, State.SMALL)


def measure(case: Case, most_parameters: float, say: Callable[[Record], None]) -> Record:
    """Plan a model, initialise it, run it, and train it for a few steps.

    Args:
        case: the model.
        most_parameters: larger ones are planned and not run.
        say: is told the record as far as it is known, after each part.
    """
    record = planned(case)
    say(record)
    if record.refused or record.problem or record.parameters > most_parameters:
        return record
    record = ran(case, record)
    say(record)
    return record if record.problem else trained(case, record)


def planned(case: Case) -> Record:
    """What `plan` says of a model, and what it costs."""
    parameters = sum(each.numel() for each in _own(case).parameters())
    inputs = case.inputs()
    gc.collect()
    held, started = _peak_mb(reset=True), time.process_time()
    record = Record(key=case.key, parameters=parameters)
    try:
        plan = zeroinit_cli.plan(case.build, example_inputs=inputs)
    except zeroinit_cli.ZeroinitError as error:
        found = f", found: {' '.join(error.found.split())}" if error.found else ""
        record = replace(record, refused=f"{_first_line(error)}{found}"[:_MOST_OF_A_LINE])
    except Exception as error:  # it is a finding, whatever it is
        record = replace(record, problem=f"plan: {type(error).__name__}: {_first_line(error)}")
    else:
        kinds = Counter(each.kind for each in plan.warnings)
        record = replace(
            record,
            warnings=dict(sorted(kinds.items())),
            untraced=tuple(each.text for each in plan.warnings if each.kind == _UNTRACED),
            digest=plan.digest(),
        )
    seconds = time.process_time() - started
    return replace(record, seconds=seconds, peak_mb=_peak_mb() - held)


def ran(case: Case, record: Record) -> Record:
    """Add what the branches of the initialised model give."""
    try:
        module = closed(case).eval()
        parameters = sum(each.numel() for each in module.parameters())
        found = branches(
            flow(module, case.inputs(), called),
            lambda nudged: flow(module, case.inputs(), called, nudged),
        )
    except Exception as error:
        return replace(record, problem=f"run: {type(error).__name__}: {_first_line(error)}")
    return replace(
        record,
        parameters=parameters,
        adds=counted(each for each in found if each.direct),
        shortcuts=counted(each for each in found if not each.direct),
        open=tuple(_said(each) for each in found if each.state not in _FINE),
        silent=tuple(each.place or "the model" for each in found if each.nudged),
    )


def trained(case: Case, record: Record) -> Record:
    """Add which parameters have no gradient, from both starts."""
    try:
        record = replace(record, dead=tuple(_dead(started(case), case)))
    except NotFiniteError as error:
        record = replace(record, broken=str(error))
    except Exception as error:
        return replace(record, problem=f"step: {type(error).__name__}: {_first_line(error)}")
    try:
        record = replace(record, dead_of_torch=tuple(_dead(_own(case), case)))
    except NotFiniteError as error:
        record = replace(record, broken_of_torch=str(error))
    except Exception as error:
        return replace(record, problem=f"own step: {type(error).__name__}: {_first_line(error)}")
    return record


def _dead(module: nn.Module, case: Case) -> list[str]:
    return without_gradient(module, case.inputs())


def _own(case: Case) -> nn.Module:
    torch.manual_seed(0)
    return case.build()


def started(case: Case) -> nn.Module:
    """A model as `init_` leaves it."""
    return zeroinit_cli.init_(_own(case), build=case.build, example_inputs=case.inputs())


def closed(case: Case) -> nn.Module:
    """A model whose branches are counted: what ends one is 0, by default but small."""
    policy = zeroinit_cli.Policy(last_norm=0.0, last_weight=0.0)
    inputs = case.inputs()
    return zeroinit_cli.init_(_own(case), build=case.build, example_inputs=inputs, policy=policy)


def counted(found: Iterable[Branch]) -> dict[str, int]:
    """How many branches are in each state, those that occur."""
    return dict(sorted(Counter(each.state.value for each in found).items()))


def _said(branch: Branch) -> str:
    what = branch.state.value if branch.state is not State.OPEN else f"{branch.ratio:.2g}"
    return f"{branch.place or 'the model'}: {what}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:_MOST_OF_A_LINE]


def _peak_mb(*, reset: bool = False) -> float:
    """Most memory that this process held since it was last asked to forget; Linux alone."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0

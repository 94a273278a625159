"""The use case: a source -> its initialization and torch's own, a few steps each -> a report."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from zeroinit_cli.errors import ProbeError, UsageError, printable
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.inputs import Inputs, Kind
from zeroinit_cli.models.planning import plan_factory, plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.inits import (
    Init,
    built,
    planned_init,
    repeatable,
    stored_init,
    torch_init,
)
from zeroinit_cli.probing.inputs import Feed, feeds, kept_buffers
from zeroinit_cli.probing.judge import FACTORS, goes_well
from zeroinit_cli.probing.report import Conditions, Probe, Run, batch_text, middle
from zeroinit_cli.probing.setting import SEEDS, Setting, check_setting
from zeroinit_cli.probing.training import loss_on, run_steps
from zeroinit_cli.progress import Advance, Progress, no_progress
from zeroinit_cli.source import Source, installed
from zeroinit_cli.store.read import read_checkpoint

_CHEAP = 30_000_000  # parameters: torch's own initialization is run under several seeds
_MOST_WORDS = 200  # characters of another's message


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An architecture to probe, with the values to start from.

    Attributes:
        factory: builds it; may be called often.
        plan: of it.
        inputs: what it is to be fed.
        init: builds it with the values that are asked about.
        described: what these values are, in words.
    """

    factory: Factory
    plan: Plan
    inputs: Inputs
    init: Init
    described: str


def probe_source(
    source: Source,
    options: Options,
    setting: Setting,
    *,
    file: Path | None = None,
    progress: Progress = no_progress,
) -> Probe:
    """Run a few steps from an initialization and from torch's own, and return the measurements.

    Args:
        source: the architecture.
        options: how ZerO's values are made of it.
        setting: how many steps, of what.
        file: a checkpoint to begin with instead.
        progress: told of each forward pass.

    Raises:
        ZeroinitError: a setting is wrong, the source cannot be built, planned or fed, or the file
            is not one of its checkpoints.
    """
    check_setting(setting)
    checkpoint = None if file is None else read_checkpoint(file)
    factory, inputs = source.factory(), source.example_inputs()
    if checkpoint is None:
        subject = subject_of(factory, options, inputs)
        return probe_subject(subject, setting, progress=progress)
    subject = Subject(
        factory=factory,
        plan=plan_source(source, options),  # it says how fused projections are split
        inputs=inputs,
        init=stored_init(factory, checkpoint, inputs.where),
        described=str(file),
    )
    found = probe_subject(subject, setting, progress=progress)
    # the plan of its source says nothing of a file's values
    return replace(found, conditions=replace(found.conditions, plan=None), warnings=())


def subject_of(factory: Factory, options: Options, inputs: Inputs) -> Subject:
    """Plan ZerO's initialization of the module that a factory builds.

    Raises:
        ZeroinitError: it cannot be planned.
    """
    _, plan = plan_factory(factory, options, inputs.where, inputs=inputs)
    words = [f"{name} {word}" for name, word in options.to_words().items()]
    words += [f"override {override}" for override in options.overrides]
    return Subject(
        factory=factory,
        plan=plan,
        inputs=inputs,
        init=planned_init(factory, plan, inputs.where),
        described=f"ZerO: {', '.join(words)}",
    )


def probe_subject(subject: Subject, setting: Setting, *, progress: Progress = no_progress) -> Probe:
    """Run a few steps from the subject's values and from torch's own; return the measurements.

    Raises:
        ProbeError: its model cannot be run.
        UsageError: a setting does not fit it.
        InputError: an array cannot be read.
    """
    device = checked_device(setting.device)
    with repeatable():
        with built(torch_init(subject.factory, 0)) as model:
            feed = find_feed(subject.inputs, setting, model).to(device)
            parameters = sum(
                parameter.numel() for parameter in model.parameters() if parameter.requires_grad
            )
        seeds = tuple(range(setting.seeds or (SEEDS if parameters <= _CHEAP else 1)))
        runs = _Runs(feed, setting, device, progress)
        advance = progress("probing", (len(seeds) + 1) * (setting.steps + 1))
        run = runs.measured(subject.init, subject.plan, advance)
        inits = [torch_init(subject.factory, seed) for seed in seeds]
        own = middle([runs.measured(init, subject.plan, advance) for init in inits])
        retries = tuple(runs.slower(subject.init, run))
    unused = set(run.never) & set(own.never)
    return Probe(
        conditions=Conditions(
            source=subject.inputs.where,
            start=subject.described,
            plan=subject.plan.digest(),
            inputs=feed.described,
            given=bool(setting.inputs),
            steps=setting.steps,
            learning_rate=setting.learning_rate,
            seeds=seeds,
            device=device,
            versions=installed("torch", "torchvision"),
            parameters=parameters,
        ),
        run=replace(run, never=tuple(name for name in run.never if name not in unused)),
        torch=replace(own, never=tuple(name for name in own.never if name not in unused)),
        retries=retries,
        warnings=subject.plan.warnings,
        used_nowhere=tuple(name for name in own.never if name in unused),
    )


class _Runs:
    """Runs on one batch, each of a fresh model."""

    def __init__(self, feed: Feed, setting: Setting, device: str, progress: Progress):
        self._feed, self._setting, self._device = feed, setting, device
        self._progress = progress

    def measured(self, init: Init, plan: Plan, advance: Advance) -> Run:
        return self._run(init, plan, self._setting.learning_rate, advance)

    def slower(self, init: Init, run: Run) -> Iterator[Run]:
        """Try smaller learning rates until one goes well; none where the first does."""
        for factor in FACTORS:
            if goes_well(run):
                return
            rate = self._setting.learning_rate * factor
            advance = self._progress(f"learning rate {rate:g}", self._setting.steps + 1)
            run = self._run(init, None, rate, advance)
            yield run

    def _run(self, init: Init, plan: Plan | None, rate: float, advance: Advance) -> Run:
        torch.manual_seed(0)  # a detector samples its proposals
        with built(init) as model:
            return run_steps(
                model.to(self._device),
                plan,
                self._feed,
                steps=self._setting.steps,
                learning_rate=rate,
                tick=lambda: advance(1),
            )


def find_feed(inputs: Inputs, setting: Setting, model: nn.Module) -> Feed:
    """Return the given batch, or the first default batch that the model takes.

    Args:
        inputs: what its source says of its inputs.
        setting: what was asked for.
        model: with values of any initialization, to try the batch on; it is left as it was.

    Raises:
        ProbeError: the model takes none of them, or no loss is known for what it gives.
        UsageError: an array is given for an input that there is not, or missing for one.
        InputError: an array cannot be read.
    """
    problem: Exception | None = None
    tried = ""
    for feed in feeds(inputs, setting, model):
        try:
            with torch.no_grad(), kept_buffers(model):
                loss_on(feed, model.train())
        except Exception as error:  # noqa: BLE001 - any code may run in a forward
            problem, tried = error, batch_text(feed.described)
            continue
        return feed
    found = "no input that is known" if problem is None else f"{tried}: {_first_line(problem)}"
    raise ProbeError(
        "the model does not run on its input",
        where=inputs.where,
        found=found,
        hint="another array" if setting.inputs else _hint(inputs),
    )


def _hint(inputs: Inputs) -> str:
    if inputs.kind in (Kind.ARRAYS, Kind.CLIP):
        return "--input FILE.npy gives it another batch"
    if inputs.kind in (Kind.FLOW, Kind.DETECTION):
        return "--image-size gives another size, --batch another number"
    return "--image-size gives another size, --input FILE.npy another batch"


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "no message")
    return f"{type(error).__name__}: {line[:_MOST_WORDS]}{'...' * (len(line) > _MOST_WORDS)}"


def checked_device(name: str) -> str:
    """Return the name of a device, once it is known to exist.

    Raises:
        UsageError: it is not, or has no such name.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        line = next(iter(str(error).splitlines()), "no message")
        raise UsageError(
            "a device that is not there",
            where="--device",
            expected="cpu, or one that torch knows here, such as cuda:0",
            found=f"{printable(name)}: {line}",
        ) from error
    if device.type == "meta":
        raise UsageError("a device without values", where="--device", found=printable(name))
    return str(device)

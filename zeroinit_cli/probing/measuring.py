"""The use case: a source -> its start and torch's own, a few steps each -> what was measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from zeroinit_cli.errors import UsageError, printable
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.planning import plan_factory, plan_source
from zeroinit_cli.models.registry import source_factory, versions
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.demands import Demand, demand_of
from zeroinit_cli.probing.feeding import Feed, find_feed
from zeroinit_cli.probing.judging import FACTORS, goes_well
from zeroinit_cli.probing.reports import Conditions, Probe, Run, Rung, middle
from zeroinit_cli.probing.running import run_losses, run_steps
from zeroinit_cli.probing.settings import SEEDS, Setting, check_setting
from zeroinit_cli.probing.starts import (
    Start,
    own_start,
    planned_start,
    repeatable,
    started,
    stored_start,
)
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.source import Source
from zeroinit_cli.store.read import read_checkpoint

_CHEAP = 30_000_000  # parameters: torch's own start is run under several seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is probed.

    Attributes:
        factory: builds it; may be called often.
        plan: of it.
        demand: what it is to be fed.
        start: builds it with the values that are asked about.
        words: what these values are.
    """

    factory: Factory
    plan: Plan
    demand: Demand
    start: Start
    words: str


def probe_source(
    source: Source,
    options: Options,
    setting: Setting,
    *,
    file: Path | None = None,
    progress: Progress = no_progress,
) -> Probe:
    """Run a few steps from a start and from torch's own, and tell what is to be seen.

    Args:
        source: the architecture.
        options: how ZerO's start is made of it.
        setting: how many steps, of what.
        file: a checkpoint to start from instead.
        progress: told of each forward pass.

    Raises:
        ZeroinitError: a setting is wrong, the source cannot be built, planned or fed, or the file
            is not one of its checkpoints.
    """
    check_setting(setting)
    checkpoint = None if file is None else read_checkpoint(file)
    factory, where = source_factory(source), str(source)
    if checkpoint is None:
        subject = subject_of(factory, options, demand_of(source))
    else:
        subject = Subject(
            factory=factory,
            plan=plan_source(source, options),  # it says how fused projections are split
            demand=demand_of(source),
            start=stored_start(factory, checkpoint, where),
            words=str(file),
        )
    found = probe_subject(subject, setting, progress=progress)
    return found if checkpoint is None else _without_plan(found)


def subject_of(factory: Factory, options: Options, demand: Demand) -> Subject:
    """ZerO's start of whatever a factory builds.

    Raises:
        ZeroinitError: it cannot be planned.
    """
    _, plan = plan_factory(factory, options, demand.where)
    return Subject(
        factory=factory,
        plan=plan,
        demand=demand,
        start=planned_start(factory, plan, demand.where),
        words=f"ZerO: {_in_words(options)}",
    )


def probe_subject(subject: Subject, setting: Setting, *, progress: Progress = no_progress) -> Probe:
    """Likewise, of what is built by any factory.

    Raises:
        ProbeError: its model cannot be run.
        UsageError: a setting does not fit it.
        InputError: an array cannot be read.
    """
    device = checked_device(setting.device)
    with repeatable():
        with started(own_start(subject.factory, 0)) as model:
            feed = find_feed(subject.demand, setting, model).to(device)
            parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
        seeds = tuple(range(setting.seeds or (SEEDS if parameters <= _CHEAP else 1)))
        work = _Work(subject, feed, setting, device, progress, len(seeds) + 1)
        run = work.run(subject.start)
        own = middle([work.run(own_start(subject.factory, seed)) for seed in seeds])
        rungs = tuple(work.rungs(run))
    unused = set(run.never) & set(own.never)
    return Probe(
        conditions=Conditions(
            source=subject.demand.where,
            start=subject.words,
            plan=subject.plan.digest(),
            inputs=feed.words,
            given=bool(setting.inputs),
            steps=setting.steps,
            learning_rate=setting.learning_rate,
            seeds=seeds,
            device=device,
            versions=versions(),
            parameters=parameters,
        ),
        run=replace(run, never=tuple(name for name in run.never if name not in unused)),
        torch=replace(own, never=tuple(name for name in own.never if name not in unused)),
        rungs=rungs,
        warnings=subject.plan.warnings,
        used_nowhere=tuple(name for name in own.never if name in unused),
    )


def _without_plan(found: Probe) -> Probe:
    """Of a file nothing is known by the plan of its source."""
    return replace(found, conditions=replace(found.conditions, plan=None), warnings=())


class _Work:
    """Runs of one feed, each on a fresh model, and a bar for all of them."""

    def __init__(
        self,
        subject: Subject,
        feed: Feed,
        setting: Setting,
        device: str,
        progress: Progress,
        runs: int,
    ):
        self._subject, self._feed, self._setting, self._device = subject, feed, setting, device
        self._progress = progress
        self._advance = progress("probing", runs * (setting.steps + 1))

    def run(self, start: Start) -> Run:
        with self._fresh(start) as model:
            return run_steps(
                model,
                self._subject.plan,
                self._feed,
                steps=self._setting.steps,
                learning_rate=self._setting.learning_rate,
                tick=lambda: self._advance(1),
            )

    def rungs(self, run: Run) -> Iterator[Rung]:
        """Smaller learning rates, until one goes well; none where the first does."""
        if goes_well(run.losses, run.not_finite):
            return
        for factor in FACTORS:
            rate = self._setting.learning_rate * factor
            advance = self._progress(f"learning rate {rate:g}", self._setting.steps + 1)
            with self._fresh(self._subject.start) as model:
                rung = run_losses(
                    model,
                    self._feed,
                    steps=self._setting.steps,
                    learning_rate=rate,
                    tick=lambda advance=advance: advance(1),  # type: ignore[misc]  # of the loop
                )
            yield rung
            if goes_well(rung.losses, rung.not_finite):
                return

    @contextmanager
    def _fresh(self, start: Start) -> Iterator[nn.Module]:
        torch.manual_seed(0)  # a detector samples its proposals
        with started(start) as model:
            yield model.to(self._device)


def _in_words(options: Options) -> str:
    words = [f"{name} {word}" for name, word in options.to_words().items()]
    overrides = [f"override {override}" for override in options.overrides]
    return ", ".join([*words, *overrides])


def checked_device(name: str) -> str:
    """A device that is there.

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

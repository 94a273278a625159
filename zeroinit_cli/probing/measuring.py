"""The use case: a source -> its start and torch's own, a few steps each -> what was measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from zeroinit_cli.architectures.planning import plan_source
from zeroinit_cli.architectures.registry import source_factory, versions
from zeroinit_cli.checkpoint.index import read_checkpoint
from zeroinit_cli.errors import UsageError, printable
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Plan
from zeroinit_cli.probing.demands import demand_of
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

_CHEAP = 30_000_000  # parameters: torch's own start is run under several seeds


def probe(
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
    factory = source_factory(source)
    device = _device(setting.device)
    checkpoint = None if file is None else read_checkpoint(file)
    plan = plan_source(source, options)
    with repeatable(device):
        if checkpoint is None:
            start, words = planned_start(factory, plan, str(source)), _in_words(options)
        else:
            start, words = stored_start(factory, checkpoint, str(source)), str(file)
        first = own_start(factory, 0)
        with started(first) as model:
            feed = find_feed(demand_of(source), setting, model).to(device)
            parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
        seeds = tuple(range(setting.seeds or (SEEDS if parameters <= _CHEAP else 1)))
        work = _Work(plan, feed, setting, device, progress, len(seeds) + 1)
        run = work.run(start)
        own = [work.run(own_start(factory, seed)) for seed in seeds]
        own_run = middle(own)
        rungs = tuple(work.rungs(start, run, own_run))
    unused = set(run.never) & set(own_run.never)
    return Probe(
        conditions=Conditions(
            source=str(source),
            start=words,
            plan=None if checkpoint is not None else plan.digest(),
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
        torch=replace(own_run, never=tuple(name for name in own_run.never if name not in unused)),
        rungs=rungs,
        used_nowhere=tuple(name for name in own_run.never if name in unused),
    )


class _Work:
    """Runs of one feed, each on a fresh model, and a bar for all of them."""

    def __init__(
        self,
        plan: Plan,
        feed: Feed,
        setting: Setting,
        device: str,
        progress: Progress,
        runs: int,
    ):
        self._plan, self._feed, self._setting, self._device = plan, feed, setting, device
        self._progress = progress
        self._advance = progress("probing", runs * (setting.steps + 1))

    def run(self, start: Start) -> Run:
        with self._fresh(start) as model:
            return run_steps(
                model,
                self._plan,
                self._feed,
                steps=self._setting.steps,
                learning_rate=self._setting.learning_rate,
                tick=lambda: self._advance(1),
            )

    def rungs(self, start: Start, run: Run, own: Run) -> Iterator[Rung]:
        """Smaller learning rates, until one goes well; none where the first does."""
        if goes_well(run.losses, run.not_finite):
            return
        for factor in FACTORS:
            rate = self._setting.learning_rate * factor
            advance = self._progress(f"learning rate {rate:g}", self._setting.steps + 1)
            with self._fresh(start) as model:
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


def _device(name: str) -> str:
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

"""A few steps of plain SGD from one start, and what is to be seen on the way."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.feeding import Feed
from zeroinit_cli.probing.portions import Gradients, portions
from zeroinit_cli.probing.reports import Layer, Run, Rung
from zeroinit_cli.probing.watching import Watch, layers_of, norm_of, own_parameters
from zeroinit_cli.text import counted


def run_steps(
    model: nn.Module,
    plan: Plan,
    feed: Feed,
    *,
    steps: int,
    learning_rate: float,
    tick: Callable[[], None] = lambda: None,
) -> Run:
    """Train the model, in place and in train mode, and tell what happens.

    Args:
        model: initialised; no chance is left in its forward.
        plan: how its fused projections are split.
        feed: the batch and its loss.
        steps: of plain SGD.
        learning_rate: of them.
        tick: called after each forward pass.
    """
    run = _Run(model.train(), plan, feed, learning_rate, tick)
    losses = _all_steps(run, steps)
    return run.report(losses)


def run_losses(
    model: nn.Module,
    feed: Feed,
    *,
    steps: int,
    learning_rate: float,
    tick: Callable[[], None] = lambda: None,
) -> Rung:
    """The losses alone, for a learning rate that is tried."""
    run = _Run(model.train(), None, feed, learning_rate, tick)
    losses = _all_steps(run, steps)
    return Rung(learning_rate=learning_rate, losses=losses, not_finite=run.not_finite)


def _all_steps(run: "_Run", steps: int) -> tuple[float | None, ...]:
    losses: list[float | None] = []
    for step in range(steps + 1):
        last = step == steps
        with torch.set_grad_enabled(not last):
            loss = run.forward(step, last=last)
        losses.append(loss.item() if math.isfinite(loss.item()) else None)
        if run.not_finite is None and not last:
            run.backward(step, loss)
        if run.not_finite is not None:
            break
        if not last:
            run.update()
    return (*losses, *[None] * (steps + 1 - len(losses)))


class _Run:
    def __init__(
        self,
        model: nn.Module,
        plan: Plan | None,
        feed: Feed,
        learning_rate: float,
        tick: Callable[[], None],
    ):
        self._model, self._feed, self._rate, self._tick = model, feed, learning_rate, tick
        self._gradients = None if plan is None else Gradients(model, portions(model, plan))
        self._start, self._end = Watch(), Watch(ranks=False)
        self._norms: dict[str, float] = {}
        self._moved: dict[str, float] = {}
        self.not_finite: str | None = None

    def forward(self, step: int, *, last: bool) -> Tensor:
        watch = self._start if step == 0 else self._end if last else None
        if watch is None or self._gradients is None:
            loss = self._feed.loss(self._model)
        else:
            with watch.on(self._model):
                loss = self._feed.loss(self._model)
        self._tick()
        broken = None if watch is None else watch.not_finite
        if broken is not None or not math.isfinite(loss.item()):
            self.not_finite = f"{broken or 'the loss'}, {_when(step)}"
        return loss

    def backward(self, step: int, loss: Tensor) -> None:
        self._model.zero_grad()
        loss.backward()
        norms = {
            name: norm_of(parameter.grad)
            for name, parameter in self._model.named_parameters(remove_duplicate=False)
            if parameter.grad is not None
        }
        wrong = sum(not math.isfinite(norm) for norm in norms.values())
        if wrong:
            self.not_finite = f"{wrong} of {len(norms)} gradients, {_when(step)}"
        if step == 0 and self._gradients is not None:
            self._norms = norms
            self._moved = dict(self._first_moves())
        if self._gradients is not None:
            self._gradients.look(step)

    def _first_moves(self) -> Any:
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            if name in self._norms and parameter.ndim > 1:
                size = norm_of(parameter.detach())
                if size > 0:
                    yield name, self._rate * self._norms[name] / size

    def update(self) -> None:
        with torch.no_grad():
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=self._rate)

    def report(self, losses: tuple[float | None, ...]) -> Run:
        never = () if self._gradients is None else self._gradients.never()
        layers = tuple(self._layer(path, module) for path, module in layers_of(self._model))
        return Run(
            losses=losses,
            not_finite=self.not_finite,
            layers=layers,
            never=tuple(each.label for each in never),
        )

    def _layer(self, path: str, module: nn.Module) -> Layer:
        seen, after = self._start.layers.get(path), self._end.layers.get(path)
        own = [name for name, _ in own_parameters(path, module)]
        norms = [self._norms[name] for name in own if name in self._norms]
        moved = [self._moved[name] for name in own if name in self._moved]
        kind = type(module).__name__.removeprefix("NonDynamicallyQuantizable")
        if seen is None:
            return Layer(name=path, kind=kind, gradient=_most(norms), moved=_most(moved))
        return Layer(
            name=path,
            kind=kind,
            activation=seen.activation if math.isfinite(seen.activation) else None,
            gradient=_most(norms),
            moved=_most(moved),
            channels=seen.channels,
            flat=seen.flat,
            units=seen.units,
            distinct=seen.distinct,
            distinct_after=seen.distinct if after is None else after.distinct,
            rank=seen.rank,
            most_rank=seen.most_rank,
        )


def _most(values: list[float]) -> float | None:
    """The largest; 0 where no gradient came at all, None where one is not finite."""
    if any(not math.isfinite(each) for each in values):
        return None
    return max(values, default=0.0)


def _when(step: int) -> str:
    return "before the first step" if step == 0 else f"after {counted(step, 'step')}"

"""A few steps of plain SGD, and what is to be seen on the way."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.reasons import Reasons
from evidence.records import Setting, StartRecord, finite
from evidence.watching import Watch, gradient_norms
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.portions import Gradients, portions, unused

_UNUSED = "the forward does not use it"
_LATE = 2  # steps: a value or scale that was 0 has moved at step 1, and what it hid gets gradient


def first_steps(
    model: nn.Module, plan: Plan, images: Tensor, labels: Tensor, setting: Setting
) -> StartRecord:
    """Train the model, in place, in train mode and by plain SGD, and record what happens.

    Args:
        model: initialised.
        plan: how its fused projections are split.
        images: (batch, 3, height, width).
        labels: (batch,).
        setting: how many steps, how large.
    """
    started = time.perf_counter()
    run = _Run(model.train(), plan, images, labels, setting)
    run.all_steps()
    return run.record(time.perf_counter() - started)


class _Run:
    def __init__(
        self, model: nn.Module, plan: Plan, images: Tensor, labels: Tensor, setting: Setting
    ):
        self._model, self._images, self._labels, self._setting = model, images, labels, setting
        self._gradients = Gradients(model, portions(model, plan))
        self._reasons: Reasons | None = None
        self._losses: list[float | None] = []
        self._not_finite: str | None = None
        self._norms: dict[str, float] = {}
        self._start = Watch()
        self._never: dict[str, list[str]] = {}
        self._idle: dict[str, int] = {}

    def all_steps(self) -> None:
        for step in range(self._setting.steps):
            loss = self._forward(step)
            if self._not_finite is None:
                self._backward(step, loss)
            if self._not_finite is not None:
                break
            if self._reasons is not None:
                self._explain(self._reasons)
            self._update()
        else:
            with torch.no_grad():
                self._forward(self._setting.steps)
        missing = self._setting.steps + 1 - len(self._losses)
        self._losses += [None] * missing

    def _forward(self, step: int) -> Tensor:
        """The loss; at the last step by the graph, where something is to be explained."""
        run: Callable[[Tensor], object] = self._model
        last = 0 < step == self._setting.steps - 1
        if last and (self._gradients.idle_rows() or self._gradients.never()):
            self._reasons = Reasons(self._model)
            run = self._reasons.run
        watch = Watch()
        with watch.on(self._model):
            loss = _loss(run(self._images), self._labels, self._setting.auxiliary)
        self._losses.append(finite(loss.item()))
        if step == 0:
            self._start = watch
        if watch.not_finite is not None or not math.isfinite(loss.item()):
            self._not_finite = f"step {step}: {watch.not_finite or 'the loss'}"
        return loss

    def _backward(self, step: int, loss: Tensor) -> None:
        self._model.zero_grad()
        loss.backward()
        norms = gradient_norms(self._model)
        if step == 0:
            self._norms = norms
        wrong = [name for name, norm in norms.items() if not math.isfinite(norm)]
        if wrong:
            self._not_finite = f"step {step}: the gradients of {len(wrong)} of {len(norms)}"
        self._gradients.look(step)

    def _explain(self, reasons: Reasons) -> None:
        """After the last backward pass and before its update."""
        never = self._gradients.never()
        without_use = unused(self._model, self._images, never) if never else set()
        self._never = _grouped(
            (_UNUSED if each in without_use else reasons.why(each.name, each.rows[0]), each.label)
            for each in never
        )
        rows = self._gradients.idle_rows().items()
        idle = Counter(reasons.why(name, row) for name, found in rows for row in found)
        self._idle = dict(sorted(idle.items()))

    def _update(self) -> None:
        with torch.no_grad():
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=self._setting.learning_rate)

    def record(self, seconds: float) -> StartRecord:
        largest = max(self._norms, key=lambda name: _order(self._norms[name]), default="")
        first = self._gradients.first
        return StartRecord(
            losses=self._losses,
            not_finite=self._not_finite,
            largest_gradient=finite(self._norms.get(largest, math.nan)),
            largest_gradient_of=largest,
            largest_activation=finite(self._start.largest),
            channels=self._start.channels,
            flat_channels=self._start.flat,
            arrivals={str(step): count for step, count in sorted(Counter(first.values()).items())},
            late=_grouped((str(step), label) for label, step in first.items() if step >= _LATE),
            never=self._never,
            units=self._gradients.count_rows(),
            idle=self._idle,
            idle_elements=self._gradients.idle_share(),
            seconds=round(seconds, 1),
        )


def _loss(output: Any, labels: Tensor, auxiliary: float) -> Tensor:
    """Cross-entropy; GoogLeNet's and Inception's auxiliary heads count by their weight."""
    if isinstance(output, Tensor):
        return cross_entropy(output, labels)
    heads = {name: each for name, each in output._asdict().items() if each is not None}
    losses = {name: cross_entropy(each, labels) for name, each in heads.items()}
    main = losses.pop("logits")
    return main + auxiliary * torch.stack(list(losses.values())).sum()


def _order(norm: float) -> float:
    """Not a number sorts above all."""
    return math.inf if math.isnan(norm) else norm


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return dict(sorted(groups.items()))

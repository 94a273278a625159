"""A few steps of plain SGD, and what is to be seen on the way."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.reasons import Reasons
from evidence.records import Setting, StartRecord, finite
from zeroinit_cli.models.classes import is_batch_norm
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.hooks import Watch, gradient_norms
from zeroinit_cli.probing.inputs import kept_buffers
from zeroinit_cli.probing.projections import Gradients, Projection
from zeroinit_cli.probing.training import sgd_step

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
        self._gradients = Gradients(model, plan)
        self._reasons: Reasons | None = None
        self._losses: list[float | None] = []
        self._not_finite: str | None = None
        self._norms: dict[str, float] = {}
        self._channels = self._flat = 0
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
            sgd_step(self._model, self._setting.learning_rate)
        else:
            with torch.no_grad():
                self._forward(self._setting.steps)
        missing = self._setting.steps + 1 - len(self._losses)
        self._losses += [None] * missing

    def _forward(self, step: int) -> Tensor:
        """The loss; at the last step by a recorded run, where something is to be explained."""
        run: Callable[[Tensor], object] = self._model
        last = 0 < step == self._setting.steps - 1
        if last and (_idle_rows(self._gradients.reached) or self._gradients.never()):
            self._reasons = Reasons(self._model)
            run = self._reasons.run
        watch = Watch(units=False)
        with watch.on(self._model):
            loss = _loss(run(self._images), self._labels, self._setting.auxiliary)
        self._losses.append(finite(loss.item()))
        if step == 0:
            self._channels, self._flat = batch_norm_channels(self._model, watch)
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
        without_use = _unused(self._model, self._images, never) if never else set()
        self._never = _grouped(
            (_UNUSED if each in without_use else reasons.why(each.name, each.rows[0]), each.label)
            for each in never
        )
        rows = _idle_rows(self._gradients.reached).items()
        idle = Counter(reasons.why(name, row) for name, found in rows for row in found)
        self._idle = dict(sorted(idle.items()))

    def record(self, seconds: float) -> StartRecord:
        largest = max(self._norms, key=lambda name: _order(self._norms[name]), default="")
        first = self._gradients.first
        return StartRecord(
            losses=self._losses,
            not_finite=self._not_finite,
            largest_gradient=finite(self._norms.get(largest, math.nan)),
            largest_gradient_of=largest,
            channels=self._channels,
            flat_channels=self._flat,
            arrivals={str(step): count for step, count in sorted(Counter(first.values()).items())},
            late=_grouped((str(step), label) for label, step in first.items() if step >= _LATE),
            never=self._never,
            units=sum(map(len, _rows(self._gradients.reached).values())),
            idle=self._idle,
            idle_elements=_idle_share(self._gradients.reached),
            seconds=round(seconds, 1),
        )


def batch_norm_channels(model: nn.Module, watch: Watch) -> tuple[int, int]:
    """The channels of all batch norms that were seen, and how many of them are flat."""
    seen = [
        layer for path, layer in watch.layers.items() if is_batch_norm(model.get_submodule(path))
    ]
    return sum(layer.channels for layer in seen), sum(layer.flat for layer in seen)


def _unused(model: nn.Module, images: Tensor, candidates: Sequence[Projection]) -> set[Projection]:
    """The projections that the forward does not use: as NaN they leave every bit of the outputs."""
    before = _bits(model, images, [])
    if _bits(model, images, candidates) == before:
        return set(candidates)
    return {each for each in candidates if _bits(model, images, [each]) == before}


@torch.no_grad()
def _bits(model: nn.Module, images: Tensor, spoilt: Sequence[Projection]) -> list[bytes]:
    """The outputs with some projections not numbers; the model is left as it was."""
    parameters = dict(model.named_parameters())
    saved = {projection.name: parameters[projection.name].clone() for projection in spoilt}
    for projection in spoilt:
        projection.of(parameters[projection.name]).fill_(math.nan)
    try:
        with kept_buffers(model):
            output = model(images)
    finally:
        for name, value in saved.items():
            parameters[name].copy_(value)
    heads = (
        [output] if isinstance(output, Tensor) else [head for head in output if head is not None]
    )
    return [head.numpy().tobytes() for head in heads]


def _rows(reached: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each weight that has rows, which of them have had a gradient."""
    return {
        name: elements.flatten(1).any(1)
        for name, elements in reached.items()
        if name.endswith("weight") and elements.ndim > 1
    }


def _idle_rows(reached: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Rows of weights that have had no gradient, by parameter."""
    idle = {name: (~rows).nonzero().flatten().tolist() for name, rows in _rows(reached).items()}
    return {name: rows for name, rows in idle.items() if rows}


def _idle_share(reached: Mapping[str, Tensor]) -> float:
    """Share of all elements that have had no gradient."""
    counted = sum(int(elements.sum()) for elements in reached.values())
    return 1 - counted / sum(elements.numel() for elements in reached.values())


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

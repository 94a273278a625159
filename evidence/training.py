"""Plain training in torch, the same bits each time on one machine with one thread."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.data import IGNORED, Data, Split, batches

Watch = Callable[[int, nn.Module], None]
_HOPELESS = 1e4  # a loss beyond which no run here has come back
_EVALUATED_AT_ONCE = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a net is trained.

    optimizer: `sgd` (Nesterov's momentum where it is not 0) or `adamw` (betas 0.9, 0.95).
    schedule: `constant`, or `cosine` down to 0; either after `warmup` steps of linear rise.
    clip: the largest norm of all gradients together; none if 0.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    steps: int = 100
    batch: int = 50
    clip: float = 0.0

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first of which is 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a run. A run that diverged has the loss and error of guessing.

    curve: the training loss of each step, None where it was not finite; it ends where the run did.
    diverged: the step at which the loss was not finite or beyond hope, if any.
    errors: in percent.
    """

    curve: list[float | None]
    diverged: int | None
    train_loss: float
    validation_loss: float
    validation_error: float
    test_loss: float
    test_error: float


def train(
    model: nn.Module, data: Data, recipe: Recipe, seed: int, watch: Watch | None = None
) -> Outcome:
    """Train a net in place.

    Args:
        model: at its start.
        data: the task.
        recipe: how.
        seed: of the order of examples.
        watch: called before the first step and after each, with the count of steps done.
    """
    model.train()
    optimizer = _optimizer(model, recipe)
    curve: list[float | None] = []
    order = batches(len(data.train), recipe.batch, recipe.steps, seed)
    if watch is not None:
        watch(0, model)
    for step, chosen in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss = _loss(model(data.train.inputs[chosen]), data.train.targets[chosen])
        value = loss.item()
        curve.append(value if math.isfinite(value) else None)
        if not value < _HOPELESS:
            return _diverged(curve, step, data)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        if watch is not None:
            watch(step + 1, model)
    return _outcome(model, data, curve)


def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """The mean loss and the error in percent, in evaluation mode and without gradients."""
    model.eval()
    losses, wrong, count = 0.0, 0, 0
    with torch.no_grad():
        for start in range(0, len(split), _EVALUATED_AT_ONCE):
            part = slice(start, start + _EVALUATED_AT_ONCE)
            logits, targets = model(split.inputs[part]), split.targets[part]
            asked = targets != IGNORED
            losses += _loss(logits, targets).item() * int(asked.sum())
            wrong += int((logits.argmax(-1) != targets)[asked].sum())
            count += int(asked.sum())
    model.train()
    return losses / count, 100 * wrong / count


def largest_gradient(model: nn.Module, data: Data, batch: int) -> float:
    """The largest norm of a parameter's gradient before the first step, in training mode."""
    model.train()
    model.zero_grad(set_to_none=True)
    chosen = next(batches(len(data.train), batch, 1, 0))
    _loss(model(data.train.inputs[chosen]), data.train.targets[chosen]).backward()
    norms = [float(each.grad.norm()) for each in model.parameters() if each.grad is not None]
    model.zero_grad(set_to_none=True)
    return max(norms)


def one_thread() -> AbstractContextManager[None]:
    """Sums in one order, whatever the machine."""
    return threads(1)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads: sums are taken in another order with each count, and rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the last dimension, the mean over all targets."""
    return cross_entropy(logits.flatten(0, -2), targets.flatten())


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters, rate = model.parameters(), recipe.learning_rate
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def _outcome(model: nn.Module, data: Data, curve: list[float | None]) -> Outcome:
    validation, test = evaluate(model, data.validation), evaluate(model, data.test)
    if not math.isfinite(validation[0] + test[0]):
        return _diverged(curve, len(curve), data)
    last = [value for value in curve[-10:] if value is not None]
    return Outcome(
        curve=curve,
        diverged=None,
        train_loss=math.fsum(last) / max(1, len(last)),
        validation_loss=validation[0],
        validation_error=validation[1],
        test_loss=test[0],
        test_error=test[1],
    )


def _diverged(curve: list[float | None], step: int, data: Data) -> Outcome:
    loss, error = math.log(data.classes), 100 * (1 - 1 / data.classes)
    return Outcome(
        curve=curve,
        diverged=step,
        train_loss=loss,
        validation_loss=loss,
        validation_error=error,
        test_loss=loss,
        test_error=error,
    )

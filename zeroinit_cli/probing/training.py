"""A few steps of plain SGD on one batch, and the measurements on the way.

There is no data set: the model is to memorise the batch, and every kind of output has a loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.probing.arrays import labels, pictures
from zeroinit_cli.probing.hooks import Watch, gradient_norms, layers_of, norm_of, own_parameters
from zeroinit_cli.probing.inputs import Feed
from zeroinit_cli.probing.projections import Gradients
from zeroinit_cli.probing.report import LayerReport, Run
from zeroinit_cli.text import counted

AUXILIARY = 0.3
"""Weight of each auxiliary head, of GoogLeNet, Inception and the segmentation models."""


class UnknownOutputError(Exception):
    """An output for which no loss is known."""


def run_steps(
    model: nn.Module,
    plan: Plan | None,
    feed: Feed,
    *,
    steps: int,
    learning_rate: float,
    tick: Callable[[], None] = lambda: None,
) -> Run:
    """Train the model, in place and in train mode, and return what was measured.

    Args:
        model: initialised; no chance is left in its forward.
        plan: how its fused projections are split; None to measure the losses alone.
        feed: the batch.
        steps: of plain SGD.
        learning_rate: of them.
        tick: called after each forward pass.
    """
    training = _Training(model.train(), plan, feed, learning_rate, tick)
    losses = training.all_steps(steps)
    return training.report(losses)


class _Training:
    def __init__(
        self,
        model: nn.Module,
        plan: Plan | None,
        feed: Feed,
        learning_rate: float,
        tick: Callable[[], None],
    ):
        self._model, self._feed, self._rate, self._tick = model, feed, learning_rate, tick
        self._gradients = None if plan is None else Gradients(model, plan)
        self._before, self._after = Watch(), Watch(ranks=False)
        self._norms: dict[str, float] = {}
        self._moved: dict[str, float] = {}
        self._not_finite: str | None = None

    def all_steps(self, steps: int) -> list[float | None]:
        losses: list[float | None] = []
        for step in range(steps + 1):
            last = step == steps
            with torch.set_grad_enabled(not last):
                loss = self._forward(step, last=last)
            losses.append(loss.item() if math.isfinite(loss.item()) else None)
            if self._not_finite is None and not last:
                self._backward(step, loss)
            if self._not_finite is not None:
                break
            if not last:
                sgd_step(self._model, self._rate)
        return [*losses, *[None] * (steps + 1 - len(losses))]

    def _forward(self, step: int, *, last: bool) -> Tensor:
        watch = self._before if step == 0 else self._after if last else None
        with nullcontext() if watch is None or self._gradients is None else watch.on(self._model):
            loss = loss_on(self._feed, self._model)
        self._tick()
        broken = None if watch is None else watch.not_finite
        if broken is not None or not math.isfinite(loss.item()):
            self._not_finite = f"{broken or 'the loss'}, {_when(step)}"
        return loss

    def _backward(self, step: int, loss: Tensor) -> None:
        self._model.zero_grad()
        loss.backward()
        norms = gradient_norms(self._model)
        wrong = sum(not math.isfinite(norm) for norm in norms.values())
        if wrong:
            self._not_finite = f"{wrong} of {len(norms)} gradients, {_when(step)}"
        if self._gradients is not None:
            self._gradients.look(step)
            if step == 0:
                self._norms, self._moved = norms, self._first_moves(norms)

    def _first_moves(self, norms: Mapping[str, float]) -> dict[str, float]:
        """Compute how far the first step moves each matrix and kernel, times its size."""
        sizes = {
            name: norm_of(parameter.detach())
            for name, parameter in self._model.named_parameters(remove_duplicate=False)
            if name in norms and parameter.ndim > 1
        }
        return {name: self._rate * norms[name] / size for name, size in sizes.items() if size > 0}

    def report(self, losses: Sequence[float | None]) -> Run:
        run = Run(learning_rate=self._rate, losses=tuple(losses), not_finite=self._not_finite)
        if self._gradients is None:
            return run
        layers = tuple(self._layer(path, module) for path, module in layers_of(self._model))
        never = tuple(projection.label for projection in self._gradients.never())
        return replace(run, layers=layers, never=never)

    def _layer(self, path: str, module: nn.Module) -> LayerReport:
        layer = self._before.layers.get(path)
        if layer is None:
            layer = self._before.unseen(path, module)
        elif path in self._after.layers:
            layer = replace(layer, distinct_after=self._after.layers[path].distinct)
        names = [name for name, _ in own_parameters(path, module)]
        return replace(
            layer, gradient=_largest(self._norms, names), moved=_largest(self._moved, names)
        )


def _largest(values: Mapping[str, float], names: Sequence[str]) -> float | None:
    """Find the largest of these parameters; 0 if no gradient came, None if one is not finite."""
    found = [values[name] for name in names if name in values]
    if any(not math.isfinite(value) for value in found):
        return None
    return max(found, default=0.0)


def _when(step: int) -> str:
    return "before the first step" if step == 0 else f"after {counted(step, 'step')}"


def sgd_step(model: nn.Module, learning_rate: float) -> None:
    """Move every parameter against its gradient."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=learning_rate)


def loss_on(feed: Feed, model: nn.Module) -> Tensor:
    """Run a forward pass and compute its loss.

    Raises:
        UnknownOutputError: no loss is known for what the model gives.
        Exception: whatever its forward raises.
    """
    transform: Any = getattr(model, "transform", None)
    if feed.pixels is not None and getattr(transform, "fixed_size", True) is None:
        transform.min_size, transform.max_size = (feed.pixels,), feed.pixels  # a detector's
    output: Any = feed.given_to(model)
    return flow_loss(output) if feed.flow else loss_of(output, feed.values)


def loss_of(output: Any, inputs: Sequence[Any]) -> Tensor:
    """Compute the loss of an output.

    Cross-entropy against a fixed sequence of classes; for sequences of tokens against the next
    token; the mean square error where a model gives back the shape of its input, or one number.

    Args:
        output: a tensor, or several in a tuple, list or mapping.
        inputs: what the model was called with.

    Raises:
        UnknownOutputError: there is no floating tensor in it.
    """
    if isinstance(output, Tensor):
        return _loss_of_tensor(output, inputs[0])
    if hasattr(output, "_asdict"):
        output = output._asdict()
    if isinstance(output, Mapping):
        # of transformers some are no values, such as a cache
        kinds = (Tensor, Mapping, list, tuple)
        heads: dict[str, Any] = {
            str(name): head for name, head in output.items() if isinstance(head, kinds)
        }
        if heads and all(isinstance(head, Tensor) and not head.ndim for head in heads.values()):
            return torch.stack(list(heads.values())).sum()  # losses already, of a detector
        main = next((name for name in ("logits", "out") if name in heads), None)
        losses = {name: loss_of(head, inputs) for name, head in heads.items()}
        if main is not None:
            others = [loss for name, loss in losses.items() if name != main]
            return losses[main] + AUXILIARY * sum(others, start=torch.zeros(()).to(losses[main]))
        if losses:
            return torch.stack(list(losses.values())).sum()
    if isinstance(output, list | tuple) and output:
        parts = [loss_of(part, inputs) for part in output if part is not None]
        if parts:
            return torch.stack(parts).mean()
    raise UnknownOutputError(type(output).__name__)


def _loss_of_tensor(output: Tensor, given: Any) -> Tensor:
    if not output.is_floating_point() or not output.ndim:
        raise UnknownOutputError(f"a tensor of {output.dtype} {list(output.shape)}")
    tokens = isinstance(given, Tensor) and not given.is_floating_point()
    if isinstance(given, Tensor) and output.shape == given.shape and output.ndim > 2:
        return mse_loss(output, given)  # an autoencoder
    if tokens and output.ndim == 3 and output.shape[:2] == given.shape and given.shape[1] > 1:
        return _next_token(output, given)
    if output.ndim == 1 or output.shape[1 if output.ndim != 3 else -1] == 1:
        target = torch.from_numpy(pictures(1, (max(output.numel(), 2),)))[0][: output.numel()]
        return mse_loss(output, target.to(output).reshape(output.shape))
    # (B, C), (B, C, H, W), ...: classes come second; (B, T, C): last
    scores = output.flatten(0, 1) if output.ndim == 3 else output
    classes, places = scores.shape[1], scores[:, 0]
    target = torch.from_numpy(labels(places.numel(), classes)).to(output.device)
    return cross_entropy(scores, target.reshape(places.shape))


def _next_token(output: Tensor, given: Tensor) -> Tensor:
    """Compute the loss against the token that follows.

    Where a model gives features, not scores, the token counts modulo their width.
    """
    width = output.shape[-1]
    return cross_entropy(output[:, :-1].flatten(0, 1), given[:, 1:].flatten() % width)


def flow_loss(flows: Sequence[Tensor]) -> Tensor:
    """Compute RAFT's loss: mean distances to a field of motion, later guesses counting for more."""
    batch, _, height, width = flows[-1].shape
    field = torch.from_numpy(pictures(batch, (2, height, width))).to(flows[-1])
    weights = [0.8 ** (len(flows) - 1 - number) for number in range(len(flows))]
    return torch.stack(
        [weight * (flow - field).abs().mean() for weight, flow in zip(weights, flows, strict=True)]
    ).sum()

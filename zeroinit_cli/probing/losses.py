"""A loss for whatever a model gives: there is no data here, so the batch is to be memorised."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from zeroinit_cli.probing.patterns import labels, pictures

AUXILIARY = 0.3
"""Weight of each auxiliary head, of GoogLeNet, Inception and the segmentation models."""


class UnknownOutputError(Exception):
    """No loss is known for what a model gives."""


def loss_of(output: Any, inputs: Sequence[Any]) -> Tensor:
    """One number to be made smaller.

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
        heads = {str(name): each for name, each in output.items() if each is not None}
        if heads and all(isinstance(each, Tensor) and not each.ndim for each in heads.values()):
            return torch.stack(list(heads.values())).sum()  # losses already, of a detector
        main = next((name for name in ("logits", "out") if name in heads), None)
        losses = {name: loss_of(each, inputs) for name, each in heads.items()}
        if main is not None:
            others = [each for name, each in losses.items() if name != main]
            return losses[main] + AUXILIARY * sum(others, start=torch.zeros(()).to(losses[main]))
        output = list(losses.values())
        if output:
            return torch.stack(output).sum()
    if isinstance(output, list | tuple) and output:
        parts = [loss_of(each, inputs) for each in output if each is not None]
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
    """The token that follows; modulo the width, where features are given, not scores."""
    width = output.shape[-1]
    return cross_entropy(output[:, :-1].flatten(0, 1), given[:, 1:].flatten() % width)


def flow_loss(flows: Sequence[Tensor]) -> Tensor:
    """RAFT's: the mean distance to a field of motion, each later guess counting for more."""
    batch, _, height, width = flows[-1].shape
    field = torch.from_numpy(pictures(batch, (2, height, width))).to(flows[-1])
    weights = [0.8 ** (len(flows) - 1 - number) for number in range(len(flows))]
    return torch.stack(
        [weight * (each - field).abs().mean() for weight, each in zip(weights, flows, strict=True)]
    ).sum()

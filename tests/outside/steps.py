"""A few steps of training, to see which parameters ever get a gradient.

Three steps are enough for most nets. Where some parameters have no gradient then, more are made:
what begins as 0 opens one after the other, as a zero convolution, values, keys and then queries.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.outside.cases import called

_STEPS = 3
_MOST_STEPS = 8
_RATE = 0.1
_LARGEST_STEP = 1.0  # norm of all gradients together: a start may begin with 1e10


class NotFiniteError(Exception):
    """What came out or the gradients of a step are not finite numbers."""


def without_gradient(module: nn.Module, inputs: Any) -> list[str]:
    """Names of the parameters whose gradient is 0 or none, before each step and after the last.

    The loss is the mean square distance of all outputs from fixed random targets.

    Args:
        module: at its start; it is trained.
        inputs: what its forward takes.

    Raises:
        NotFiniteError: at some step.
    """
    torch.manual_seed(0)  # of dropout
    module.train()
    missing = {name: each for name, each in module.named_parameters() if each.requires_grad}
    optimizer = torch.optim.SGD(list(missing.values()), lr=_RATE)
    for step in range(_MOST_STEPS + 1):
        if step > _STEPS and not missing:
            break
        optimizer.zero_grad()
        loss = _loss(called(module, inputs))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), _LARGEST_STEP)
        if not (loss.isfinite() and norm.isfinite()):
            where = [name for name, each in module.named_parameters() if not _finite(each.grad)]
            raise NotFiniteError(f"step {step}: {_some(where) or 'the loss'}")
        missing = {
            name: each
            for name, each in missing.items()
            if each.grad is None or not bool(each.grad.any())
        }
        optimizer.step()
    return list(missing)


def _loss(output: Any) -> Tensor:
    outputs = [each for each in tensors(output) if each.is_floating_point() and each.requires_grad]
    generator = torch.Generator().manual_seed(2)  # the same at every step
    targets = [torch.randn(each.shape, generator=generator) for each in outputs]
    pairs = zip(outputs, targets, strict=True)
    return torch.stack([(each.float() - target).square().mean() for each, target in pairs]).sum()


def tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of an output of any form, in its order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _of_each(output.values())
    elif isinstance(output, list | tuple):
        yield from _of_each(output)
    elif is_dataclass(output):
        yield from _of_each(getattr(output, field.name) for field in fields(output))


def _of_each(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        yield from tensors(value)


def _finite(gradient: Tensor | None) -> bool:
    return gradient is None or bool(gradient.isfinite().all())


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

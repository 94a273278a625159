"""Build a module without its large weights, with no trace left in the process.

The plain meta device loses what constructors compute and fails where they read their tensors, so
tensors are made on the CPU as ever, and a parameter moves to meta when it is registered, if the
policy ignores what its constructor put there. What is untouched memory until then costs none.
"""

import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

Factory = Callable[[], nn.Module]

_WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.Linear, ("weight",)),
    (nn.modules.conv._ConvNd, ("weight",)),
    (nn.Embedding, ("weight",)),
    (nn.EmbeddingBag, ("weight",)),
    (
        nn.MultiheadAttention,
        ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
    ),
)
"""Parameters whose rule never looks at the constructor's value, by type of their module."""


def build(factory: Factory, seed: int, *, real_weights: bool = False) -> nn.Module:
    """Call a factory on the CPU, under float32 and one seed, without its large weights.

    A constructor whose values depend on weights (it reads one, or keeps what a forward pass gave)
    is called again with all weights real.

    Args:
        factory: builds the module; may be called twice.
        seed: of torch, numpy and random while it runs; their states are put back.
        real_weights: build them too, whatever they cost.

    Raises:
        Exception: whatever the factory raises.
    """
    if real_weights:
        return _build(factory, seed)
    with suppress(Exception):  # any code may run in a constructor; what is wrong is raised below
        with _weights_on_meta(), ShapesOnly():
            module = _build(factory, seed)
        if not _misses_values(module):
            return module
    return _build(factory, seed)


def is_weight(module: nn.Module, name: str) -> bool:
    """Whether the policy ignores what this parameter's constructor put there."""
    return any(isinstance(module, kind) and name in names for kind, names in _WEIGHTS)


def _build(factory: Factory, seed: int) -> nn.Module:
    with warnings.catch_warnings(), _neutral_defaults(), _seeded(seed):
        warnings.simplefilter("ignore")  # of builders, about defaults and weights that we ignore
        return factory()


def _misses_values(module: nn.Module) -> bool:
    """Whether a value that only the constructor knows was computed from a weight on meta."""
    return any(
        tensor is not None and tensor.is_meta and not is_weight(owner, name)
        for owner in module.modules()
        for name, tensor in (*owner._parameters.items(), *owner._buffers.items())
    )


@contextmanager
def _neutral_defaults() -> Iterator[None]:
    """The process's default dtype and device must not reach a constructor's values."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """One seed for every generator that a constructor may use, and the old states after it."""
    generator = torch.default_generator
    states = generator.get_state(), random.getstate(), np.random.get_state()
    generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        generator.set_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


class ShapesOnly(TorchDispatchMode):
    """Where an operation meets meta and real tensors, the real ones lend it their shape only.

    Torch itself lets some such operations read memory that is not there: a linear layer with a
    weight on meta and a real input gives garbage, not an error. Two constructors of torchvision
    (SSD) run their backbone to learn its shapes, and this is enough for them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation, on meta as a whole if a part of it is there."""
        kwargs = kwargs or {}
        tensors = list(_tensors_of((*args, *kwargs.values())))
        real = any(tensor.ndim and not tensor.is_meta for tensor in tensors)
        if real and any(tensor.is_meta for tensor in tensors):
            if func._schema.is_mutable:
                raise RuntimeError(f"{func} would write what it cannot compute")
            args, kwargs = tree_map_only(torch.Tensor, _shape_of, (args, kwargs))
        return func(*args, **kwargs)


def _tensors_of(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """An operation's tensors, which lie in it or in a list: a fifth of pytree's time."""
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors_of(argument)


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")


@contextmanager
def _weights_on_meta() -> Iterator[None]:
    original = nn.Module.register_parameter

    def register_parameter(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta and is_weight(self, name):
            _move_to_meta(param)
        original(self, name, param)

    nn.Module.register_parameter = register_parameter  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


def _move_to_meta(parameter: nn.Parameter) -> None:
    """In place, so that a parameter tied to others stays tied."""
    empty = nn.Parameter(
        torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
    )
    with suppress(RuntimeError):  # something else holds its storage: it stays real, at a cost only
        torch.utils.swap_tensors(parameter, empty)

"""Build a module without its large weights, with no trace left in the process.

The plain meta device loses what constructors compute and fails where they read their tensors, so
tensors are made on the CPU as ever, and a parameter moves to meta when it is registered, if the
policy ignores what its constructor put there. What is untouched memory until then costs none.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import nn

from zeroinit_cli.models.shapes import ShapesOnly

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

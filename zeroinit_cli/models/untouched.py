"""Run a module's forward for its graph alone: nothing that it does to itself or to chance stays."""

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

_CONTAINERS = (dict, OrderedDict, list, set)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put back every attribute of a module and its submodules, and all states of chance.

    A forward may keep what it computed, fx keeps the constants that it meets: neither may be seen
    by whoever uses the module next. What a list holds is put back; a tensor cannot be without a
    copy, so writing into one is an error.
    """
    attributes = [(each, _kept(vars(each))) for each in module.modules()]
    chance = chance_state()
    try:
        with _ReadOnly(module):
            yield
    finally:
        for each, kept in attributes:
            vars(each).clear()
            vars(each).update((name, _restored(*pair)) for name, pair in kept.items())
        restore_chance(chance)


@contextmanager
def in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Set the mode that a forward may ask for, without the methods that modules override."""
    modes = [(each, each.training) for each in module.modules()]
    for each, _ in modes:
        vars(each)["training"] = training
    try:
        yield
    finally:
        for each, mode in modes:
            vars(each)["training"] = mode


class _ReadOnly(TorchDispatchMode):
    """Refuses operations that would write into a tensor of a module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self._own = {_address(leaf) for each in module.modules() for leaf in _tensors(each)} - {0}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation unless it writes where it may not."""
        if func._schema.is_mutable and args and _address(args[0]) in self._own:
            raise RuntimeError(f"{func} would change the module that is only looked at")
        return func(*args, **(kwargs or {}))


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    values = (*vars(module).values(), *module._parameters.values(), *module._buffers.values())
    return (value for value in values if isinstance(value, torch.Tensor))


def _address(value: object) -> int:
    """Where a tensor's values lie; 0 for what has none in one place."""
    if not isinstance(value, torch.Tensor) or is_lazy(value):
        return 0
    if value.is_meta or value.layout is not torch.strided:
        return 0
    return value.untyped_storage().data_ptr()


def chance_state() -> tuple[Any, ...]:
    """The states of torch's, Python's and numpy's generators, to compare or to put back."""
    kind, keys, *rest = np.random.get_state()
    # Not by way of numpy, which makes torch import its compiler where a dispatch mode is on.
    torchs = bytes(torch.default_generator.get_state().tolist())
    return torchs, random.getstate(), (kind, tuple(keys), *rest)


def restore_chance(state: tuple[Any, ...]) -> None:
    """Put back what `chance_state` gave."""
    torchs, pythons, numpys = state
    # on the CPU, whatever device a caller has made the default
    state_of_torch = torch.tensor(list(torchs), dtype=torch.uint8, device="cpu")
    torch.default_generator.set_state(state_of_torch)
    random.setstate(pythons)
    np.random.set_state(numpys)


def _kept(attributes: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (value, type(value)(value) if type(value) in _CONTAINERS else None)
        for name, value in attributes.items()
    }


def _restored(value: Any, copy: Any) -> Any:
    """A value as it was; a container with what it held."""
    if isinstance(value, list):
        value[:] = copy if copy is not None else value
    elif copy is not None:
        value.clear()
        value.update(copy)
    return value

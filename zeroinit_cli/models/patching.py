"""torch, patched for as long as a forward is recorded, to take values of a graph as its own.

What makes tensors of numbers, and what keeps one as a buffer, looks at what it is given before fx
does, and refuses it. Both are as they were once the forward has been recorded, or has failed.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from zeroinit_cli.models.operations import words

MAKERS = sorted(
    words(
        "arange as_tensor empty eye finfo full linspace logspace normal ones rand randint randn "
        "randperm tensor zeros"
    )
)
"""What torch makes of numbers alone: fx does not see that a number is one of its own."""


@contextmanager
def makers_recorded() -> Iterator[None]:
    """A number of a graph may be what torch makes a tensor of: the making is recorded."""
    originals = {name: getattr(torch, name) for name in MAKERS}
    for name, original in originals.items():
        setattr(torch, name, _recorded(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch, name, original)


@contextmanager
def buffers_taken() -> Iterator[None]:
    """A value of a graph may become a buffer, as caches of positions do; before torch 2.8 too."""
    original = nn.Module.register_buffer

    @functools.wraps(original)
    def register_buffer(self: nn.Module, name: str, tensor: Any, *args: Any, **named: Any) -> None:
        recorded = isinstance(tensor, fx.Proxy)
        original(self, name, None if recorded else tensor, *args, **named)
        if recorded:
            self._buffers[name] = tensor

    nn.Module.register_buffer = register_buffer  # type: ignore[method-assign]  # taken back below
    try:
        yield
    finally:
        nn.Module.register_buffer = original  # type: ignore[method-assign]  # as it was


def _recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, recorded instead of called where an argument is a value of a graph."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        values = [each for each in _flat((*args, *kwargs.values())) if isinstance(each, fx.Proxy)]
        if not values:
            return function(*args, **kwargs)
        return values[0].tracer.create_proxy("call_function", function, args, kwargs)

    return wrapper


def _flat(arguments: Any) -> Iterator[Any]:
    for each in arguments:
        if isinstance(each, tuple | list):
            yield from _flat(each)
        else:
            yield each

"""Build a module without its large weights, with no trace left in the process.

The plain meta device loses what constructors compute and fails where they read their tensors, so
tensors are made on the CPU as ever, and a large parameter moves to meta when it is registered, if
what is in it is no more than a draw, a number, or memory that nobody wrote. What is untouched
memory until then costs none. Where the value of one of them is needed after all, the module is
built once more with just these left real.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zeroinit_cli.models.origins import Origin, Origins
from zeroinit_cli.models.placing import Placing, draws_on_meta, every_parameter_through
from zeroinit_cli.models.untouched import chance_state, seeded

Factory = Callable[[], nn.Module]

_CPU = torch.device("cpu")
_DTYPE = torch.float32
_MOST_BUILDS = 4  # each with more left real, before all is


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A module and what was noted while it was built.

    Attributes:
        module: without its large weights.
        real: numbers of the large parameters that were left real; None for all of them.
        origins: of the values of its tensors.
        registered: ids of the parameters that were registered meanwhile.
        has_drawn: Python's or numpy's generator was used, or a draw of torch's went into Python.
    """

    module: nn.Module
    real: frozenset[int] | None
    origins: Origins = field(repr=False)
    registered: frozenset[int] = field(repr=False)
    has_drawn: bool

    def origin(self, tensor: torch.Tensor) -> Origin:
        """Where a tensor's values come from."""
        return self.origins.of(tensor)


def build(factory: Factory, seed: int, *, real_weights: bool = False) -> nn.Module:
    """Call a factory on the CPU, under float32 and one seed, without its large weights.

    Args:
        factory: builds the module; may be called more than once.
        seed: of torch, numpy and random while it runs; their states are put back.
        real_weights: build them too, whatever they cost.

    Raises:
        Exception: whatever the factory raises.
    """
    if real_weights:
        return _called(factory, seed)[0]
    return build_noted(factory, seed).module


def build_noted(
    factory: Factory,
    seed: int,
    real: frozenset[int] | None = frozenset(),
    *,
    evenly: bool = False,
) -> Built:
    """Build a module as `build` does, and note where the values of its tensors come from.

    A constructor that asks for the value of a large parameter is called again with that one real;
    so is one that computes a buffer from it.

    Args:
        factory: builds the module; may be called more than once.
        seed: of torch, numpy and random while it runs; their states are put back.
        real: numbers of the large parameters to leave real, of an earlier build; None for all.
        evenly: in double precision, each uniform draw evenly spaced over its range.

    Raises:
        Exception: whatever the factory raises.
    """
    for _ in range(_MOST_BUILDS):
        if real is None:
            break
        placing = Placing(real, evenly=evenly)
        built = None
        # any code may run in a constructor; what is wrong is raised below
        with suppress(Exception):
            built = _attempt(factory, seed, placing)
        needed = placing.origins.asked
        if built is not None:
            needed = needed.union(*(built.origin(each).lost for each in built.module.buffers()))
            if not needed:
                return built
        if needed <= real:
            break
        real |= needed
    return _attempt(factory, seed, Placing(None, evenly=evenly))


def _attempt(factory: Factory, seed: int, placing: Placing) -> Built:
    origins = placing.origins
    with every_parameter_through(placing), draws_on_meta(origins), origins, placing:
        module, has_drawn = _called(factory, seed, torch.float64 if origins.evenly else _DTYPE)
    return Built(
        module=module,
        real=placing.real,
        origins=origins,
        registered=frozenset(placing.registered),
        has_drawn=has_drawn or origins.has_leaked,
    )


def _called(factory: Factory, seed: int, dtype: torch.dtype = _DTYPE) -> tuple[nn.Module, bool]:
    """A module, and whether Python's or numpy's generator was used."""
    with warnings.catch_warnings(), _neutral_defaults(dtype), seeded(seed):
        warnings.simplefilter("ignore")  # of builders, about defaults and weights that we ignore
        before = chance_state()
        module = factory()
        return module, chance_state()[1:] != before[1:]


@contextmanager
def _neutral_defaults(dtype: torch.dtype) -> Iterator[None]:
    """The process's default dtype and device must not reach a constructor's values."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with on_cpu():
            yield
    finally:
        torch.set_default_dtype(before)


def on_cpu() -> AbstractContextManager[Any]:
    """Make the CPU the default device; where it is, no mode is needed that slows every call."""
    # not torch.get_default_device, which before torch 2.6 does not see `with torch.device(...)`
    return nullcontext() if torch.empty(0).device == _CPU else _CPU

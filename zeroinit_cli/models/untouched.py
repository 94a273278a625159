"""Run a module's forward on shapes alone: nothing that it does to itself or to chance stays."""

import random
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from zeroinit_cli.models.shapes import ShapesSpread

_CONTAINERS = (dict, OrderedDict, list, set)
_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """The tensors that stand in for a module's own.

    Attributes:
        tensors: id of one -> its name in the whole, and the tensor that it stands for. Buffers and
            plain attributes stand for themselves: their values are real.
    """

    tensors: dict[int, tuple[str, torch.Tensor]] = field(default_factory=dict)

    def under(self, path: str) -> Mapping[int, tuple[str, torch.Tensor]]:
        """The same, with the names that they have in the part at a path."""
        if not path:
            return self.tensors
        return {
            key: (name.removeprefix(f"{path}."), tensor)
            for key, (name, tensor) in self.tensors.items()
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A module that is held still.

    Attributes:
        named: what stands in for its tensors.
        chance: the states of chance before anything was run.
        spread: what goes on where values are missing.
    """

    named: Named
    chance: tuple[Any, ...]
    spread: ShapesSpread

    def has_drawn(self) -> bool:
        """Whether a number has been drawn since."""
        return chance_state() != self.chance


@contextmanager
def stand_ins(module: nn.Module) -> Iterator[Held]:
    """Put tensors without values in place of a module's parameters, and copies of its buffers.

    Every attribute of a module and its submodules, and all states of chance, are put back: a
    forward may keep what it computed, and write into what it has. Chance begins at one seed.
    """
    attributes = [(each, _kept(vars(each))) for each in module.modules()]
    try:
        with seeded(_SEED), warnings.catch_warnings(), ShapesSpread() as spread:
            warnings.simplefilter("ignore")  # of a forward that is looked at, not run
            named = Named()
            made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
            for path, each in module.named_modules():
                _replace(each, f"{path}." if path else "", named, made)
            yield Held(named=named, chance=chance_state(), spread=spread)
    finally:
        for each, kept in attributes:
            vars(each).clear()
            vars(each).update((name, _restored(*pair)) for name, pair in kept.items())


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


def _replace(
    module: nn.Module,
    prefix: str,
    named: Named,
    made: dict[int, tuple[torch.Tensor, torch.Tensor]],
) -> None:
    """Put stand-ins into one module; a tensor that several modules share stays shared."""

    def stand_in(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            made[id(tensor)] = tensor, _without_values(tensor)
            standing = made[id(tensor)][1]
            known = tensor if isinstance(tensor, nn.Parameter) else standing
            named.tensors[id(standing)] = (f"{prefix}{name}", known)
        return made[id(tensor)][1]

    tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, vars(module))
    for table in tables:
        for name, value in table.items():
            if isinstance(value, torch.Tensor) and not is_lazy(value):
                table[name] = stand_in(name, value)
    for name, value in vars(module).items():
        if type(value) is list:
            value[:] = [
                stand_in(f"{name}.{index}", item) if isinstance(item, torch.Tensor) else item
                for index, item in enumerate(value)
            ]


def _without_values(tensor: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, nn.Parameter):
        empty = torch.empty_like(tensor, device="meta")
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    copy = tensor.detach().clone()
    return copy if copy.is_meta else copy.cpu()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """One seed for every generator that a module may use, and the old states after it."""
    before = chance_state()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        restore_chance(before)


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
    """Each value, and of a container what it holds: of most, nothing."""
    return {
        name: (value, (value.copy() if value else ()) if type(value) in _CONTAINERS else None)
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

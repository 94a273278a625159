"""What a module's constructor meant, by what was noted while it was built."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.building import Built, Factory, build_noted
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.constants import OneModule, is_uniform, same_bits
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.origins import Origin
from zeroinit_cli.models.owned import Constructed, Kind
from zeroinit_cli.models.warnings.seen import listed

SEEDS = (0, 1)
"""Of the build that is planned, and of the one that settles what could not be noted."""

_WRITERS = ("init_weights", "reset_parameters", "_init_weights")

_BITS = 16
"""Of values in double precision: those that processors disagree on are far behind them."""

Asked = Mapping[str, tuple[Entry, Constructed]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Meant:
    """The values that a constructor means, of those that are asked for.

    Attributes:
        values: by name.
        platform: names of those that a transcendental function had a part in.
        built: the module that they are of.
        factory: builds it again.
        is_alone: it was built, and can be again.
    """

    values: Mapping[str, torch.Tensor]
    platform: frozenset[str]
    built: Built
    factory: Factory
    is_alone: bool = False

    def is_constant(self, entry: Entry, kind: Constructed) -> bool:
        """Whether the constructor means a value."""
        return entry.name in self.values

    def value(self, entry: Entry) -> torch.Tensor:
        """What it means."""
        return self.values[entry.name]

    def is_platform_dependent(self, entry: Entry) -> bool:
        """Whether a transcendental function had a part in it."""
        return entry.name in self.platform

    def is_shifted(self, entry: Entry) -> bool:
        """Whether a draw that is not around 0 had a part in it."""
        return self.built.origin(entry.tensor).shifted

    def spaced(self, entries: Iterable[Entry]) -> Mapping[str, torch.Tensor]:
        """What a constructor makes of uniform draws if these are evenly spaced over their ranges.

        It is computed in double precision and rounded to few bits, so that it is the same whatever
        a processor's logarithms and exponentials give in their last bits.

        Returns:
            by name; without what another draw had a part in, and what is around 0 even so.
        """
        entries = list(entries)
        lost = frozenset[int]().union(*(self.built.origin(each.tensor).lost for each in entries))
        real = None if self.built.real is None else self.built.real | lost
        found: dict[str, torch.Tensor] = {}
        # any code may run in a constructor, and not all of it in another precision
        with suppress(Exception):
            again = build_noted(self.factory, SEEDS[0], real, evenly=True)
            others = {each.name: each.tensor for each in state_entries(again.module, "")}
            for name in (each.name for each in entries if not again.has_drawn):
                tensor, origin = others[name], again.origin(others[name])
                is_known = not (origin.random or origin.unwritten or origin.lost)
                is_known &= not (origin.outside and self.built.has_drawn)
                if is_known and tensor.dtype is torch.float64 and _is_off_zero(tensor):
                    found[name] = _rounded(tensor)
        return found


def _is_off_zero(values: torch.Tensor) -> bool:
    """Whether values that are spaced over a distribution tell that it is not around 0."""
    return float(values.mean().abs()) > float(values.std(correction=0))


def _rounded(values: torch.Tensor) -> torch.Tensor:
    mantissa, exponent = np.frexp(values.numpy())
    return torch.from_numpy(np.ldexp(np.round(mantissa * 2.0**_BITS), exponent - _BITS))


def find_meant(
    built: Built, kinds: Iterable[tuple[Entry, Kind]], factory: Factory, where: str
) -> Meant:
    """What the constructor means; of large parameters, just those are built that are asked for.

    Args:
        built: under the first seed.
        kinds: of its entries.
        factory: builds it again, where a value is lost or no note tells what it is.
        where: what messages call the module.

    Raises:
        PlanError: nobody wrote into a tensor's memory, it was made on meta, or two builds differ in
            what tensors there are.
        Exception: whatever the factory raises.
    """
    first, kinds = built, list(kinds)
    all_entries = [entry for entry, _ in kinds]
    asked = {entry.name: (entry, kind) for entry, kind in kinds if isinstance(kind, Constructed)}
    _check_written(built, (entry for entry, _ in asked.values()), where)
    meant, doubtful = _judged(built, asked)
    origins = {name: built.origin(asked[name][0].tensor) for name in (*meant, *doubtful)}
    lost = frozenset[int]().union(
        *(each.lost for each in origins.values() if each.value is None or each.random)
    )
    values = _values(built, (asked[name][0] for name in origins))
    if lost and built.real is not None:
        again = build_noted(factory, SEEDS[0], built.real | lost)
        entries = check_same_tensors(all_entries, again.module, where)
        values = _values(again, (entries[name] for name in origins))
        built = again
    if doubtful:
        other = build_noted(factory, SEEDS[1], built.real)
        entries = check_same_tensors(all_entries, other.module, where)
        others = _values(other, (entries[name] for name in doubtful))
        meant |= {
            name
            for name in doubtful
            if name in values and name in others and same_bits(values[name], others[name])
        }
    _check_held(meant - values.keys(), where)
    return Meant(
        values={name: values[name] for name in asked if name in meant},
        platform=frozenset(name for name in meant if origins[name].transcendental),
        built=first,
        factory=factory,
    )


def _judged(built: Built, asked: Asked) -> tuple[set[str], set[str]]:
    """Names of what is meant, and of what another build must tell."""
    meant, doubtful = set(), set()
    for name, (entry, kind) in asked.items():
        origin = built.origin(entry.tensor)
        if _is_handed_over(built, entry, origin):
            if OneModule().is_constant(entry, kind):
                meant.add(name)
        elif _is_doubtful(built, entry, kind, origin):
            doubtful.add(name)
        elif not origin.random:
            meant.add(name)
    return meant, doubtful


def _is_handed_over(built: Built, entry: Entry, origin: Origin) -> bool:
    """Whether a parameter was not made by the constructor: nothing tells what it was drawn by."""
    tensor = entry.owned.owner._parameters.get(entry.owned.attribute)
    return tensor is not None and origin.older and id(tensor) not in built.registered


def _is_doubtful(built: Built, entry: Entry, kind: Constructed, origin: Origin) -> bool:
    """Whether another build must tell: of a draw, too, where it is small and no rule is known."""
    several = entry.tensor.numel() > 1
    if not origin.random:
        return built.has_drawn or (origin.outside and several)
    if origin.doubtful or origin.lost:
        return origin.doubtful
    return kind.if_random is None or (several and is_uniform(entry.tensor))


def _values(built: Built, entries: Iterable[Entry]) -> dict[str, torch.Tensor]:
    """The values of entries, as far as they are known."""

    def values() -> Iterator[tuple[str, torch.Tensor]]:
        for entry in entries:
            origin, tensor = built.origin(entry.tensor), entry.tensor
            if not origin.lost and not tensor.is_meta:
                yield entry.name, tensor
            elif origin.value is not None:
                number = torch.full((), origin.value, dtype=tensor.dtype, device="cpu")
                yield entry.name, number.expand(tensor.shape)

    return dict(values())


def check_same_tensors(entries: Iterable[Entry], other: nn.Module, where: str) -> dict[str, Entry]:
    """The entries of another build by name, if they have the names and shapes of the first.

    Raises:
        PlanError: they do not.
    """
    others = {entry.name: entry for entry in state_entries(other, where)}
    shapes = {name: entry.owned.shape for name, entry in others.items()}
    if shapes != {entry.name: entry.owned.shape for entry in entries}:
        raise PlanError("two builds gave different tensors: the constructor is random", where=where)
    return others


def _check_written(built: Built, entries: Iterable[Entry], where: str) -> None:
    """Refuse memory that nobody wrote: it is neither random nor meant."""
    unwritten = [entry for entry in entries if built.origins.is_unwritten(entry.tensor)]
    if not unwritten:
        return
    writer = next((name for entry in unwritten for name in _writers(entry)), None)
    by_method = f"call {writer}() in the function that builds the module"
    advice = "write it in the constructor" if writer is None else by_method
    raise PlanError(
        "memory that the constructor leaves unwritten",
        where=where,
        expected="a draw or a constant in every tensor",
        found=listed([f"{each.name} {list(each.owned.shape)}" for each in unwritten]),
        hint=f"{advice}, or name a rule: --override '{unwritten[0].name}=zeros'",
    )


def _writers(entry: Entry) -> Iterator[str]:
    """Methods of the whole or of the owner that write values when they are called."""
    for module in (entry.owned.root, entry.owned.owner):
        for name in _WRITERS:
            if callable(getattr(type(module), name, None)):
                yield f"{type_name(module)}.{name}"


def _check_held(names: Iterable[str], where: str) -> None:
    lost = sorted(names)
    if lost:
        raise PlanError(
            "the constructor makes values on the meta device, where there are none",
            where=where,
            expected="a function that builds the module on the CPU",
            found=listed(lost),
            hint='leave torch.device("meta") out of it',
        )

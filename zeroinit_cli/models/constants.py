"""Which values of a constructor are meant, to be kept, and which are random draws.

What was noted while the module was built settles it, and a second build under another seed where
nothing could be noted. A single module, as a caller of the Python API may have, is a weaker
witness: a parameter counts as meant if all its entries are equal, a buffer always, and the plan
says by name what was kept on that ground.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.classes import is_norm
from zeroinit_cli.models.entries import Entry
from zeroinit_cli.models.owned import Constructed, Kind
from zeroinit_cli.models.warnings.seen import listed
from zeroinit_cli.plans.plan import Plan, PlanWarning
from zeroinit_cli.plans.rules import Kept, Ones, Zeros

HOW_TO_BUILD = "give a function that builds the module: build=lambda: Model(...)"

_FEW = 16  # entries of a draw whose mean may well be off 0
_USUAL = 1.0  # the most that layers of torch draw a bias within
_SUSPECT = 3.0  # deviations that the mean of a constant is off 0, and hardly ever that of a draw
_SURELY_OFF = 12.0  # deviations of the mean itself: not one draw around 0 in a million


class Witness(Protocol):
    """What tells values that are meant from draws."""

    @property
    def is_alone(self) -> bool:
        """Whether it is one module, as it was found."""

    def is_constant(self, entry: Entry, kind: Constructed) -> bool:
        """Whether the constructor means a value."""

    def value(self, entry: Entry) -> torch.Tensor:
        """What it means."""

    def is_platform_dependent(self, entry: Entry) -> bool:
        """Whether the last bit of what it means differs between processors."""

    def is_shifted(self, entry: Entry) -> bool:
        """Whether what it draws is from one side of 0 more than from the other."""

    def spaced(self, entries: Iterable[Entry]) -> Mapping[str, torch.Tensor]:
        """What draws are if they are evenly spaced over what the constructor draws from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneModule:
    """A module as its constructor left it, which nobody can build again."""

    is_alone: bool = True

    def is_constant(self, entry: Entry, kind: Constructed) -> bool:
        """Whether the value looks like one that the constructor sets whatever the seed.

        A single entry is always equal to itself: where a rule for a random draw is known (the bias
        of a layer with one output), that rule is taken.
        """
        if entry.owned.attribute in entry.owned.owner._buffers:
            return True
        return is_uniform(entry.tensor) and not _is_single(entry, kind)

    def value(self, entry: Entry) -> torch.Tensor:
        """The module's own."""
        return entry.tensor

    def is_platform_dependent(self, entry: Entry) -> bool:
        """Nothing is known of where a value came from."""
        return False

    def is_shifted(self, entry: Entry) -> bool:
        """Nothing is known of where a draw came from."""
        return False

    def spaced(self, entries: Iterable[Entry]) -> Mapping[str, torch.Tensor]:
        """Nothing is known of where a draw came from."""
        return {}


def is_off_zero(entry: Entry, *, surely: bool) -> bool:
    """Whether a draw is not around 0, so that 0 would make another model of it.

    Args:
        entry: of values, if there are some.
        surely: by more than chance can do; else by more than it often does.
    """
    tensor = entry.tensor
    if tensor.is_meta or not tensor.is_floating_point() or tensor.numel() < 2:
        return False
    values, few = tensor.detach().double(), tensor.numel() < _FEW
    off, deviation = float(values.mean().abs()), float(values.std())
    if not surely:
        return off > _SUSPECT * deviation and (off > _USUAL or not few)
    return not few and off > deviation * max(1.0, _SURELY_OFF / tensor.numel() ** 0.5)


def check_holds_values(module: nn.Module, kinds: Iterable[tuple[Entry, Kind]], where: str) -> None:
    """Refuse a module whose constructor's values are gone, if any of them is asked for.

    What `to_empty()` or training left is told by this: nothing of a norm is any more as
    constructors make it, or no weight is a random draw.

    Raises:
        PlanError: they are gone.
    """
    asked = [(entry, kind) for entry, kind in kinds if isinstance(kind, Constructed)]
    found = _loss(module, asked) if asked else None
    if found is not None:
        more = f" and {len(asked) - 1} more" if len(asked) > 1 else ""
        raise PlanError(
            "the module does not hold its constructor's values",
            where=where,
            expected=f"a module as it was built, for {asked[0][0].name}{more}",
            found=found,
            hint=HOW_TO_BUILD,
        )


def _loss(module: nn.Module, asked: list[tuple[Entry, Constructed]]) -> str | None:
    """What shows that values are gone."""
    if any(entry.tensor.is_meta for entry, _ in asked):
        return "tensors on the meta device"
    norms = [each for each in module.modules() if is_norm(each)]
    scales = _real(own for each in norms for own in [each._parameters.get("weight")])
    if scales and not any(map(_is_one, scales)) and not any(map(_is_drawn, norms)):
        return "no norm whose scale is 1"
    weights = _real(entry.tensor for entry, kind in asked if _is_weight(kind))
    if weights and all(map(is_uniform, weights)):
        return "no weight that is a random draw"
    return None


def _is_weight(kind: Constructed) -> bool:
    """Whether constructors draw such a tensor, and the policy gives it entries that differ."""
    return kind.if_random is not None and kind.if_random.rule not in (Zeros(), Ones())


def _real(tensors: Iterable[torch.Tensor | None]) -> list[torch.Tensor]:
    """Those of more than one entry that have values."""
    return [
        each.detach()
        for each in tensors
        if each is not None and not each.is_meta and each.numel() > 1
    ]


def _is_one(tensor: torch.Tensor) -> bool:
    return bool((tensor == 1).all())


def _is_drawn(norm: nn.Module) -> bool:
    """Whether a norm's scale was drawn, what is beside it being as constructors leave it."""
    for variance in _real([norm._buffers.get("running_var")]):
        return _is_one(variance)
    parameters = _real(norm._parameters.get(name) for name in ("weight", "bias"))
    if len(parameters) < 2:
        return False
    scale, shift = parameters
    return bool(scale.isfinite().all()) and not is_uniform(scale) and not bool(shift.any())


def unproven(plan: Plan, kinds: Iterable[tuple[Entry, Kind]]) -> tuple[PlanWarning, ...]:
    """What one module alone cannot prove: what is kept from it, and what is taken for random."""
    kept = [each.info.name for each in plan.tensors if isinstance(each.rule, Kept)]
    replaced = [
        entry.name
        for entry, kind in kinds
        if isinstance(kind, Constructed) and _is_doubted(entry, kind)
    ]
    doubts = (
        ("kept-unproven", "kept as found in the module, though it may be random", kept),
        ("random-unproven", "taken for random, though it may be a constant", replaced),
    )
    return tuple(
        PlanWarning(
            kind=kind, text=f"{doubt}: {listed(names)}", hint=HOW_TO_BUILD, tensors=tuple(names)
        )
        for kind, doubt, names in doubts
        if names
    )


def _is_doubted(entry: Entry, kind: Constructed) -> bool:
    """Whether a value that is taken for random does not look it."""
    rule, tensor = kind.if_random and kind.if_random.rule, entry.tensor
    if _is_single(entry, kind):
        return (rule == Zeros() and bool(tensor.any())) or (rule == Ones() and not _is_one(tensor))
    return rule == Zeros() and not is_uniform(tensor) and is_off_zero(entry, surely=False)


def is_uniform(tensor: torch.Tensor) -> bool:
    """Whether all entries are the same bytes: of most draws, the first few tell."""
    if not any(tensor.stride()):
        return True
    flat = tensor.detach().reshape(-1)
    return all(same_bits(some, some[:1].expand_as(some)) for some in (flat[:64], flat))


def _is_single(entry: Entry, kind: Constructed) -> bool:
    """Whether a value has one entry and a rule that a random draw would get."""
    return entry.tensor.numel() == 1 and kind.if_random is not None


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal as bytes, so that a NaN equals itself and 0 is not -0."""
    if one.is_meta or other.is_meta or one.dtype != other.dtype:
        return False
    return torch.equal(_raw(one), _raw(other))


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)

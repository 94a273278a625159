"""Which values of a constructor are constants, to be kept, and which are random draws.

Two builds under two seeds settle it: what is equal in both is a constant. A single module, as a
caller of the Python API may have, is a weaker witness: a parameter counts as a constant if all its
entries are equal, a buffer always, and the plan says by name what was kept on that ground.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.building import Factory, is_weight
from zeroinit_cli.models.classes import is_norm
from zeroinit_cli.models.entries import Entry
from zeroinit_cli.models.kinds import Constructed, Kind
from zeroinit_cli.models.provenance import transcendental_names
from zeroinit_cli.models.warnings.seen import listed
from zeroinit_cli.plans.plan import Plan, PlanWarning
from zeroinit_cli.plans.rules import Kept

HOW_TO_BUILD = "give a function that builds the module: build=lambda: Model(...)"


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoBuilds:
    """The same architecture, built under two seeds.

    Attributes:
        equal: names whose values are the same bytes in both.
        factory: builds it once more, where the origin of a kept value is asked for.
        seed: of that build.
    """

    equal: frozenset[str]
    factory: Factory = field(repr=False)
    seed: int

    def is_constant(self, entry: Entry, kind: Constructed) -> bool:
        """Whether the constructor sets the same value whatever the seed."""
        return entry.name in self.equal

    def platform_dependent(self, kept: Iterable[Entry]) -> frozenset[str]:
        """Asked only where floats other than 0 are kept: it costs another build."""
        if any(entry.tensor.is_floating_point() and entry.tensor.any() for entry in kept):
            return transcendental_names(self.factory, self.seed)
        return frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class OneModule:
    """A module as its constructor left it, which nobody can build again."""

    def is_constant(self, entry: Entry, kind: Constructed) -> bool:
        """Whether the value looks like one that the constructor sets whatever the seed.

        A single entry is always equal to itself: where a rule for a random draw is known (the bias
        of a layer with one output), that rule is taken.
        """
        if entry.owned.attribute in entry.owned.owner._buffers:
            return True
        return _is_uniform(entry.tensor) and not _is_single(entry, kind)

    def platform_dependent(self, kept: Iterable[Entry]) -> frozenset[str]:
        """Nothing is known of where a value came from."""
        return frozenset()


Witness = TwoBuilds | OneModule


def two_builds(
    entries: list[Entry], others: list[Entry], factory: Factory, seed: int, where: str
) -> TwoBuilds:
    """The witness that two builds are.

    Raises:
        PlanError: they have different tensors.
    """
    tensors = {entry.name: entry.tensor for entry in others}
    if {(each.name, each.tensor.shape) for each in entries} != {
        (name, tensor.shape) for name, tensor in tensors.items()
    }:
        raise PlanError("two builds gave different tensors: the constructor is random", where=where)
    equal = {entry.name for entry in entries if same_bits(entry.tensor, tensors[entry.name])}
    return TwoBuilds(equal=frozenset(equal), factory=factory, seed=seed)


def check_holds_values(module: nn.Module, asked: Iterable[Entry], where: str) -> None:
    """Refuse a module whose constructor's values are gone, if any of them is asked for.

    What `to_empty()` or training left is told by this: no norm has its scale 1 any more, or no
    weight is the random draw that constructors make.

    Raises:
        PlanError: they are gone.
    """
    entries = list(asked)
    found = _loss(module, entries) if entries else None
    if found is not None:
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        raise PlanError(
            "the module does not hold its constructor's values",
            where=where,
            expected=f"a module as it was built, for {entries[0].name}{more}",
            found=found,
            hint=HOW_TO_BUILD,
        )


def _loss(module: nn.Module, asked: list[Entry]) -> str | None:
    """What shows that values are gone."""
    if any(entry.tensor.is_meta for entry in asked):
        return "tensors on the meta device"
    scales = [_own(each, "weight") for each in module.modules() if is_norm(each)]
    if _none_of(scales, lambda scale: bool((scale == 1).all())):
        return "no norm whose scale is 1"
    weights = [
        parameter
        for each in module.modules()
        for name, parameter in each._parameters.items()
        if is_weight(each, name)
    ]
    if _none_of(weights, lambda weight: not _is_uniform(weight)):
        return "no weight that is a random draw"
    return None


def _own(module: nn.Module, name: str) -> torch.Tensor | None:
    return module._parameters.get(name)


def _none_of(tensors: Iterable[torch.Tensor | None], holds: Callable[[torch.Tensor], bool]) -> bool:
    """Whether there are real tensors of more than one entry, and none for which it holds."""
    real = [each for each in tensors if each is not None and not each.is_meta and each.numel() > 1]
    return bool(real) and not any(holds(each.detach()) for each in real)


def unproven(plan: Plan, kinds: Iterable[tuple[Entry, Kind]]) -> tuple[PlanWarning, ...]:
    """What one module alone cannot prove: what is kept from it, and what is taken for random."""
    kept = [each.info.name for each in plan.tensors if isinstance(each.rule, Kept)]
    replaced = [
        entry.name
        for entry, kind in kinds
        if isinstance(kind, Constructed) and _is_single(entry, kind) and entry.tensor.any()
    ]
    doubts = (
        ("kept-unproven", "kept as found in the module, though it may be random", kept),
        ("random-unproven", "taken for random, though it may be a constant", replaced),
    )
    return tuple(
        PlanWarning(kind=kind, text=f"{doubt}: {listed(names)}", hint=HOW_TO_BUILD)
        for kind, doubt, names in doubts
        if names
    )


def _is_uniform(tensor: torch.Tensor) -> bool:
    """Whether all entries are the same bytes."""
    flat = tensor.detach().reshape(-1)
    return same_bits(flat, flat[:1].expand_as(flat))


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

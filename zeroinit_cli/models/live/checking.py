"""A live module against its plan: each rank compares what it holds, then counts are added up."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.live.held import Held, HeldModule, check_matches, held_module
from zeroinit_cli.models.live.parts import Part, is_sharded
from zeroinit_cli.models.live.ranks import Ranks
from zeroinit_cli.plans.checked import Checked, CheckedTensor
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.values import region_values, unravelled
from zeroinit_cli.text import listed

_SHOWN = 4
_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What this rank found of a tensor.

    Attributes:
        held: elements of it that are here.
        differing: of those, how many are not as planned.
        first: position of the first of these in the whole, in C order.
        copy: the lowest rank of those that this copy is spread over.
        leads: this rank holds the first copy's elements, if this is the first copy.
    """

    held: int = 0
    differing: int = 0
    first: int = _NOWHERE
    copy: int = _NOWHERE
    leads: bool = False


def check_given(
    module: nn.Module, plan: Plan, *, group: Any = None, part: bool = False, expected: str | None
) -> Checked:
    """Compare a module with its plan, on all ranks of a group together; nothing is gathered.

    Args:
        module: sharded, wrapped or neither.
        plan: of the whole module.
        group: of the ranks that call this; all if not given.
        part: a rank may hold some of the tensors, as a stage of a pipeline does.
        expected: a plan's digest, of a lock.

    Raises:
        UsageError: this rank is not of the group.
        PlanError: on some rank the module is another than the planned one or cannot be read, or
            the plan is not the expected one or not that of other ranks. All raise the same.
    """
    where, digest = type_name(module), plan.digest()
    ranks = Ranks(group)

    def matching() -> HeldModule:
        if expected not in (None, digest):
            raise PlanError(
                "another plan than the expected one", where=where, expected=expected, found=digest
            )
        held = held_module(module, where)
        check_matches(held, plan, part=part, other="the module is not the planned one")
        _check_types(held, plan)
        return held

    held = ranks.agreed(matching, digest, where)
    compared = [
        _compared(held.tensors.get(each.info.name), each, plan, ranks.own) for each in plan.tensors
    ]
    least = ranks.least(torch.tensor([[each.copy, each.first] for each in compared]).reshape(-1, 2))
    counts = ranks.total(
        torch.tensor(
            [
                _counts(each, first_copy)
                for each, first_copy in zip(compared, least[:, 0].tolist(), strict=True)
            ],
            dtype=torch.int64,
        ).reshape(-1, 3)
    )
    return Checked(
        digest=digest,
        tensors=tuple(map(_checked, plan.tensors, counts.tolist(), least[:, 1].tolist())),
    )


def _check_types(held: HeldModule, plan: Plan) -> None:
    """Refuse tensors of another type than the plan's, whose bits would all differ."""
    planned = {tensor.info.name: tensor.info.dtype for tensor in plan.tensors}
    others = {name: dtype for name, dtype in held.dtypes.items() if dtype != planned[name]}
    if others:
        name, dtype = next(iter(others.items()))
        alike = [each for each in others if others[each] == dtype]
        raise PlanError(
            "tensors of another type than the plan's",
            where=held.where,
            expected=f"{planned[name].name} for {name}",
            found=f"{dtype.name} for {listed(alike, _SHOWN)}",
            hint=f'plan(build, dtype="{dtype.name}")',
        )


def _compared(held: Held | None, planned: PlannedTensor, plan: Plan, own: int) -> Compared:
    if held is None or not _is_here(held.tensor):
        return Compared()
    numel = differing = 0
    first = _NOWHERE
    for part in held.parts:
        for block in part.blocks():
            info = planned.info
            expected = region_values(planned.rule, info.shape, info.dtype, block.region, plan.kept)
            others = np.flatnonzero(_bits(block, expected) != expected)
            numel += expected.size
            if len(others):
                differing += len(others)
                first = min(first, _position(int(others[0]), block, info.shape))
    return Compared(
        held=numel,
        differing=differing,
        first=first,
        copy=_copy(held.tensor, own),
        leads=_leads(held.tensor),
    )


def _bits(part: Part, like: Bits) -> Bits:
    """The bit patterns of a part, on the CPU."""
    flat = part.view.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy()
    bits: Bits = flat.view(like.dtype.newbyteorder("=")).reshape(like.shape)
    return bits


def _position(offset: int, part: Part, shape: tuple[int, ...]) -> int:
    """The position in a whole tensor of an element of a part, both in C order."""
    position = 0
    within = unravelled(offset, tuple(part.view.shape))
    for index, (start, _), size in zip(within, part.region, shape, strict=True):
        position = position * size + start + index
    return position


def _is_here(tensor: Any) -> bool:
    """Whether this rank is one of those that hold a tensor."""
    return not is_sharded(tensor) or tensor.device_mesh.get_coordinate() is not None


def _copy(tensor: Any, own: int) -> int:
    """The lowest rank of those that a tensor is spread over."""
    return int(tensor.device_mesh.mesh.min()) if is_sharded(tensor) else own


def _leads(tensor: Any) -> bool:
    """Whether this rank holds the first of the copies that a tensor's own mesh has."""
    return not is_sharded(tensor) or all(
        coordinate == 0
        for coordinate, placement in zip(
            tensor.device_mesh.get_coordinate(), tensor.placements, strict=True
        )
        if placement.is_replicate()
    )


def _counts(compared: Compared, first_copy: int) -> tuple[int, int, int]:
    """Elements held and differing in the first copy, and differing in others."""
    if compared.leads and compared.copy == first_copy:
        return compared.held, compared.differing, 0
    return 0, 0, compared.differing


def _checked(planned: PlannedTensor, counts: list[int], first: int) -> CheckedTensor:
    held, differing, in_copies = counts
    info = planned.info
    return CheckedTensor(
        name=info.name,
        shape=info.shape,
        held=held,
        differing=differing,
        differing_in_copies=in_copies,
        first_difference=unravelled(first, info.shape) if differing or in_copies else None,
    )

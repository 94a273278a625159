"""What this rank holds of a module: its tensors by the names of a checkpoint, its hidden buffers.

The names are those of torch.distributed.checkpoint, under which wrappers leave no trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from zeroinit_cli.dtypes import DType
from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.entries import check_plain, dtype_of, memory_of
from zeroinit_cli.models.live.parts import Part, Sharding, is_sharded
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.text import listed

_SHOWN = 4
_WRAPPED = ("_orig_mod", "_checkpoint_wrapped_module")
"""Attributes in which torch.compile and checkpoint_wrapper keep the module that they wrap."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A tensor of a module, whole or in the parts that this rank holds.

    Attributes:
        tensor: itself.
        parts: the rectangles of it that are here.
    """

    tensor: torch.Tensor
    parts: tuple[Part, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return tuple(self.tensor.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldModule:
    """What this rank holds of a module.

    Attributes:
        where: what messages call the module.
        tensors: of its state dict, by the names that the module has without wrappers.
        hidden: buffers that no state dict holds.
        owned: every parameter and buffer as the module has it, which tells what is tied.
    """

    where: str
    tensors: Mapping[str, Held]
    hidden: Mapping[str, Held]
    owned: Mapping[str, torch.Tensor]

    @property
    def dtypes(self) -> dict[str, DType]:
        """The type of each tensor of the state dict.

        Raises:
            PlanError: a checkpoint of ours cannot hold one.
        """
        return {name: dtype_of(held.tensor, name) for name, held in self.tensors.items()}


def has_shards(module: nn.Module) -> bool:
    """Whether some tensors of a module are sharded over ranks."""
    tensors = (*module.parameters(), *module.buffers())
    return _is_flat(module) or any(map(is_sharded, tensors))


def held_module(module: nn.Module, where: str) -> HeldModule:
    """Find what this rank holds of a module; nothing is sent or received.

    Args:
        module: sharded, wrapped or neither.
        where: what messages call it.

    Raises:
        PlanError: FSDP1 has flattened it, part of it is on the meta device, its state dict holds
            what is no plain parameter or buffer, or some local values are no entries of it.
    """
    if _is_flat(module):
        raise PlanError(
            "FSDP1 has flattened the tensors into pieces that are no rectangles",
            where=where,
            expected="fully_shard (FSDP2), or a module that is not wrapped yet",
            found="FullyShardedDataParallel",
            hint="initialise it before it is wrapped, or load the plan as a checkpoint: "
            "dcp.load(state, storage_reader=zeroinit_cli.plan_reader(plan))",
        )
    state = _state(module, where)
    owned: dict[str, torch.Tensor] = {}
    tensors = (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    )
    for name, tensor in tensors:
        owned[_plain_name(module, name)] = tensor
    for name, tensor in state.items():
        place = f"{where}: {name}"
        if not isinstance(tensor, torch.Tensor) or name not in owned:
            raise PlanError(
                "a state dict entry that is no parameter or buffer",
                where=place,
                found=type(tensor).__name__,
            )
        check_plain(tensor, place)
    hidden = {name: tensor for name, tensor in owned.items() if name not in state}
    check_real({**state, **hidden}, where)
    sharding = Sharding()
    return HeldModule(
        where=where,
        tensors=_held(state, sharding, where),
        hidden=_held(hidden, sharding, where),
        owned=owned,
    )


def _held(tensors: Mapping[str, torch.Tensor], sharding: Sharding, where: str) -> dict[str, Held]:
    return {
        name: Held(tensor=tensor, parts=sharding.parts(tensor, f"{where}: {name}"))
        for name, tensor in tensors.items()
    }


def check_real(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse tensors that no value can be put into.

    Raises:
        PlanError: some are on the meta device.
    """
    metas = [name for name, tensor in tensors.items() if tensor.is_meta]
    if metas:
        raise PlanError(
            "tensors on the meta device, which hold no values",
            where=where,
            expected="a module on the device that it is to be used on",
            found=listed(metas, _SHOWN),
            hint='module.to_empty(device="cpu") first, then init_ with build=lambda: Model(...)',
        )


def check_matches(held: HeldModule, plan: Plan, *, part: bool, other: str) -> None:
    """Refuse a module that is not the planned one.

    Args:
        held: of the module.
        plan: of the whole module.
        part: some of the plan's tensors may be elsewhere.
        other: what is wrong if it is another.

    Raises:
        PlanError: a name or a shape is another, or the module lost a tie of the plan.
    """
    planned = {tensor.info.name: tensor.info.shape for tensor in plan.tensors}
    found = {name: each.shape for name, each in held.tensors.items()}
    names = {name for name, _ in planned.items() ^ found.items()}
    if part:
        names &= found.keys()
    if names:
        raise PlanError(
            other,
            where=held.where,
            expected="no other names and shapes" if part else "the same names and shapes",
            found=f"differences in {', '.join(sorted(names))}",
        )
    _check_ties(held, plan)


def _check_ties(held: HeldModule, plan: Plan) -> None:
    """Refuse a module that lost ties: trained from here, the two would part."""
    lost = [
        f"{tensor.info.name} is not {tensor.tied_to}"
        for tensor in plan.tensors
        if tensor.tied_to is not None
        and {tensor.info.name, tensor.tied_to} <= held.tensors.keys()
        and not _is_one(held.owned[tensor.info.name], held.owned[tensor.tied_to])
    ]
    if lost:
        raise PlanError(
            "parameters that build ties are not tied",
            where=held.where,
            expected="one parameter under both names",
            found=listed(lost, _SHOWN),
            hint="tie them again after to_empty(), as the constructor does: "
            "module.head.weight = module.embed.weight, or module.tie_weights()",
        )


def _is_one(tensor: Any, other: Any) -> bool:
    """Whether two are the same memory, whether by one tensor or by two."""
    if tensor is other or is_sharded(tensor) != is_sharded(other):
        return tensor is other
    if is_sharded(tensor):
        tensor, other = tensor.to_local(), other.to_local()
    return memory_of(tensor) == memory_of(other)


def _state(module: nn.Module, where: str) -> dict[str, Any]:
    """The state dict under the names that a checkpoint has, FSDP2's tensors as their shards."""
    wrapped = any(
        isinstance(each, DistributedDataParallel) or any(hasattr(each, name) for name in _WRAPPED)
        for each in module.modules()
    )
    if not (wrapped or has_shards(module)) or not torch.distributed.is_available():
        return dict(module.state_dict())
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    try:
        return dict(get_model_state_dict(module))
    except (AttributeError, RuntimeError) as error:
        raise PlanError(
            "a state dict whose names torch.distributed.checkpoint cannot tell",
            where=where,
            expected="names of parameters and buffers, as the module has them",
            found=" ".join(str(error).split()),
        ) from error


def _plain_name(module: nn.Module, name: str) -> str:
    """The name that a tensor of a module has without wrappers."""
    at: Any = module
    plain = []
    for part in name.split("."):
        if part not in _WRAPPED and not isinstance(at, DistributedDataParallel):
            plain.append(part)
        at = getattr(at, part)
    return ".".join(plain)


def _is_flat(module: nn.Module) -> bool:
    """Whether FSDP1 has made one flat tensor of many; told by name, so that it is not imported."""
    return any(
        kind.__name__ == "FullyShardedDataParallel"
        for each in module.modules()
        for kind in type(each).__mro__
    )

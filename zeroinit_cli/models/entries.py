"""The names of a state dict, each with its tensor and the module that registered it."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from zeroinit_cli.dtypes import BY_NAME, FLOATS, INTEGERS, DType
from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.owned import Owned


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One name of the state dict.

    Attributes:
        name: in the state dict.
        owned: the tensor, with the module that registered it under its first name.
        tied_to: that first name, if this is a later one.
        position: in the state dict, from 0.
    """

    name: str
    owned: Owned
    tied_to: str | None
    position: int

    @property
    def tensor(self) -> torch.Tensor:
        """The tensor itself."""
        return self.owned.tensor

    @property
    def first_name(self) -> str:
        """The name that the tensor's rule is found by."""
        return self.tied_to or self.name

    @property
    def dtype(self) -> DType:
        """The tensor's own type.

        Raises:
            PlanError: a checkpoint of ours cannot hold it.
        """
        return dtype_of(self.tensor, self.name)


def dtype_of(tensor: torch.Tensor, where: str) -> DType:
    """The type of a tensor that a message calls `where`.

    Raises:
        PlanError: a checkpoint of ours cannot hold it.
    """
    name = str(tensor.dtype).removeprefix("torch.")
    dtype = BY_NAME.get(name)
    if dtype is None or dtype not in (*FLOATS, *INTEGERS):
        raise PlanError(
            "a tensor type that no rule covers",
            where=where,
            expected=", ".join(known.name for known in (*FLOATS, *INTEGERS)),
            found=name,
        )
    return dtype


def check_plain(tensor: torch.Tensor, where: str) -> None:
    """Refuse a tensor that is sparse or has no shape yet.

    Raises:
        PlanError: it is.
    """
    if tensor.layout is not torch.strided or isinstance(tensor, nn.UninitializedParameter):
        raise PlanError("a tensor without plain storage", where=where, found=type(tensor).__name__)


def state_entries(module: nn.Module, where: str) -> list[Entry]:
    """The state dict in its order.

    Two names are tied if they are the same memory, whether by one tensor or by two.

    Raises:
        PlanError: it holds what is no plain parameter or buffer, or a part of it is scripted.
    """
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise PlanError(
                "a scripted module, which does not tell how its tensors are used",
                where=f"{where}: {path}" if path else where,
                expected="a module in Python",
                found=type(part).__name__,
                hint="plan or initialise the module first, and script it then",
            )
    return list(_entries(module, where))


def _entries(module: nn.Module, where: str) -> Iterator[Entry]:
    owners: dict[str, tuple[str, nn.Module, str]] = {}
    first_names: dict[Hashable, str] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for attribute, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is not None:
                name = f"{prefix}.{attribute}" if prefix else attribute
                owners[name] = prefix, owner, attribute
                first_names.setdefault(memory_of(tensor), name)
    for position, (name, tensor) in enumerate(module.state_dict(keep_vars=True).items()):
        place = f"{where}: {name}"
        if not isinstance(tensor, torch.Tensor) or name not in owners:
            raise PlanError(
                "a state dict entry that is no parameter or buffer",
                where=place,
                found=type(tensor).__name__,
            )
        check_plain(tensor, place)
        first = first_names[memory_of(tensor)]
        path, owner, attribute = owners[first]
        yield Entry(
            name=name,
            owned=Owned(
                root=module,
                path=path,
                owner=owner,
                attribute=attribute,
                tensor=tensor.detach(),
            ),
            tied_to=None if first == name else first,
            position=position,
        )


def memory_of(tensor: torch.Tensor) -> Hashable:
    """What two tensors that are the same memory, seen in the same way, have in common."""
    if is_lazy(tensor) or tensor.layout is not torch.strided or not tensor.numel():
        return id(tensor)
    storage = tensor.untyped_storage()
    layout = tensor.storage_offset(), tensor.dtype, tensor.shape, tensor.stride()
    return storage._cdata, *layout

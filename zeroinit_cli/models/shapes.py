"""Operations on tensors of which some have a shape only."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_INDEXING = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)
_MASKS = (torch.bool, torch.uint8)


class ShapesOnly(TorchDispatchMode):
    """Where an operation meets meta and real tensors, the real ones lend it their shape only.

    Torch itself lets some such operations read memory that is not there: a linear layer with a
    weight on meta and a real input gives garbage, not an error. Two constructors of torchvision
    (SSD) run their backbone to learn its shapes, and this is enough for them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation, on meta as a whole if a part of it is there."""
        kwargs = kwargs or {}
        tensors = list(_tensors_of((*args, *kwargs.values())))
        real = any(tensor.ndim and not tensor.is_meta for tensor in tensors)
        if real and any(tensor.is_meta for tensor in tensors):
            if func._schema.is_mutable:
                raise RuntimeError(f"{func} would write what it cannot compute")
            args, kwargs = tree_map_only(torch.Tensor, _shape_of, (args, kwargs))
        return func(*args, **kwargs)


class ShapesSpread(TorchDispatchMode):
    """The same for a forward that is to go on: what it cannot compute has a shape only.

    A real tensor that is written into with values which are not known is not known either from
    then on. Nor does a copy to another device make values of what has none.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self._unknown: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation, on meta as a whole if a part of it is not known."""
        kwargs = kwargs or {}
        tensors = list(_tensors_of((*args, *kwargs.values())))
        if not any(map(self._is_unknown, tensors)):
            return func(*args, **kwargs)
        written = list(_written(func, args, kwargs)) if func._schema.is_mutable else []
        if func is torch.ops.aten.native_batch_norm.default:
            return _batch_norm_shapes(args[0])
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("meta")}
        if not all(tensor.is_meta for tensor in tensors):
            if func.overloadpacket in _INDEXING:
                args = tuple(map(_places_of_mask, args))
            args, kwargs = tree_map_only(torch.Tensor, _shape_of, (args, kwargs))
        result = func(*args, **kwargs)
        real = [tensor for tensor in written if not tensor.is_meta]
        for tensor in real:
            storage = tensor.untyped_storage()
            self._unknown[storage._cdata] = storage  # kept, so that its address is not given again
        return real[0] if real and isinstance(result, torch.Tensor) else result

    def _is_unknown(self, tensor: torch.Tensor) -> bool:
        if tensor.is_meta:
            return True
        return bool(self._unknown) and tensor.untyped_storage()._cdata in self._unknown


def _batch_norm_shapes(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What a batch norm gives: by torch's own way it would be most of the time of a run."""
    statistics = (x.new_empty(x.shape[1:2], device="meta") for _ in range(2))
    return torch.empty_like(x, device="meta"), *statistics


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operation writes into."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            is_given = not argument.kwarg_only and position < len(args)
            value = args[position] if is_given else kwargs.get(argument.name)
            yield from _tensors_of([value])


def _places_of_mask(argument: Any) -> Any:
    """An index with real masks by their places: how many there are, no shape can tell."""
    if not isinstance(argument, list | tuple):
        return argument
    places: list[Any] = []
    for each in argument:
        is_mask = isinstance(each, torch.Tensor) and not each.is_meta and each.dtype in _MASKS
        places += each.nonzero().unbind(1) if is_mask else [each]
    return places


def _tensors_of(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """An operation's tensors, which lie in it or in a list: a fifth of pytree's time."""
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors_of(argument)


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")

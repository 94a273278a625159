"""Operations on tensors of which some have a shape only."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.effects import effect_of, tensors_of, written_by

aten = torch.ops.aten
_MADE_OF_NUMBERS = frozenset(
    {aten.arange, aten.eye, aten.full, aten.linspace, aten.ones, aten.scalar_tensor, aten.zeros}
)
_LIKE = frozenset(
    {aten.full_like, aten.new_full, aten.new_ones, aten.new_zeros, aten.ones_like, aten.zeros_like}
)
"""What has values of its own, whatever it is like."""

_GROUPED_MM = getattr(aten, "_grouped_mm", ())  # from torch 2.8 on

_INDEXING = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)
_MASKS = (torch.bool, torch.uint8)


class ShapesSpread(TorchDispatchMode):
    """For a forward that is to go on: what it cannot compute has a shape only.

    Torch itself lets some operations read memory that is not there: a linear layer with a weight on
    meta and a real input gives garbage, not an error. A real tensor that is written into with
    values which are not known is not known either from then on. Nor does a copy to another device
    make values of what has none.

    What no value goes into (masks, positions) is real, though it is asked for on the device of what
    has none. Where a number is asked for that is not known, a stand-in answers: 0, or no; of a
    mask, that all holds.

    Attributes:
        answers: how often it did.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.answers = 0
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
        tensors = list(tensors_of((*args, *kwargs.values())))
        if func.overloadpacket in _LIKE and tensors[0].is_meta:
            like = torch.empty(1, dtype=tensors[0].dtype, device="cpu")
            args = (like.expand(tensors[0].shape), *args[1:])
            return func(*args, **{**kwargs, "device": torch.device("cpu")})
        if not any(map(self._is_unknown, tensors)):
            if kwargs.get("device") is not None and func.overloadpacket in _MADE_OF_NUMBERS:
                kwargs = {**kwargs, "device": torch.device("cpu")}
            return func(*args, **kwargs)
        if func.overloadpacket in _ASKING:
            self.answers += 1
            return _ASKING[func.overloadpacket](*tensors)
        written = list(written_by(effect_of(func), args, kwargs))
        result = run_on_shapes(func, args, kwargs, tensors)
        real = [tensor for tensor in written if not tensor.is_meta]
        for tensor in real:
            storage = tensor.untyped_storage()
            self._unknown[storage._cdata] = storage  # kept, so that its address is not given again
        return real[0] if real and isinstance(result, torch.Tensor) else result

    def _is_unknown(self, tensor: torch.Tensor) -> bool:
        if tensor.is_meta:
            return True
        return bool(self._unknown) and tensor.untyped_storage()._cdata in self._unknown


def _number(tensor: torch.Tensor, *others: torch.Tensor) -> Any:
    """What a value that is not known is taken for."""
    return torch.zeros((), dtype=tensor.dtype).item()


def _places(mask: torch.Tensor) -> torch.Tensor:
    """Where a mask that is not known holds: everywhere."""
    rows = [torch.arange(mask.numel(), device="cpu") * 0] * mask.ndim
    return torch.stack(rows, 1) if rows else torch.zeros((1, 0), dtype=torch.int64)


_ASKING: dict[Any, Callable[..., Any]] = {
    aten._local_scalar_dense: _number,
    aten.equal: lambda *tensors: False,
    aten.is_nonzero: lambda *tensors: False,
    aten.masked_select: lambda tensor, mask: tensor.reshape(-1),
    aten.nonzero: _places,
}
"""What only values could tell, and what a stand-in answers."""


def run_on_shapes(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]
) -> Any:
    """An operation on meta as a whole, of which a part is there.

    Args:
        func: the operation.
        args: its arguments.
        kwargs: its keywords.
        tensors: those of both.
    """
    known = _KNOWN.get(func)
    if known is not None and (result := known(*args)) is not None:
        return result
    if func.overloadpacket is _GROUPED_MM:
        return _grouped_shapes(*args[:2])
    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": torch.device("meta")}
    if func.overloadpacket in _INDEXING:
        args = tuple(map(_places_of_mask, args))
    if not all(tensor.is_meta for tensor in tensors):
        args, kwargs = tree_map_only(torch.Tensor, _shape_of, (args, kwargs))
    return func(*args, **kwargs)


def _batch_norm_shapes(x: torch.Tensor, *_: Any) -> tuple[torch.Tensor, ...]:
    statistics = (x.new_empty(x.shape[1:2], device="meta") for _ in range(2))
    return torch.empty_like(x, device="meta"), *statistics


def _layer_norm_shapes(
    x: torch.Tensor, sizes: list[int], *_: Any
) -> tuple[torch.Tensor, ...] | None:
    kept = x.shape[: x.ndim - len(sizes)]
    if tuple(x.shape[len(kept) :]) != tuple(sizes):
        return None
    statistics = (x.new_empty((*kept, *[1] * len(sizes)), device="meta") for _ in range(2))
    return x.new_empty(x.shape, device="meta"), *statistics


def _addmm_shapes(
    added: torch.Tensor, one: torch.Tensor, other: torch.Tensor
) -> torch.Tensor | None:
    fits = one.ndim == other.ndim == 2 and one.shape[1] == other.shape[0]
    if not fits or added.shape != other.shape[1:] or not added.dtype == one.dtype == other.dtype:
        return None
    return one.new_empty((one.shape[0], other.shape[1]), device="meta")


def _same_shape(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(x, device="meta")


_KNOWN: dict[Any, Callable[..., Any]] = {
    aten.addmm.default: _addmm_shapes,
    aten.gelu.default: _same_shape,
    aten.native_batch_norm.default: _batch_norm_shapes,
    aten.native_layer_norm.default: _layer_norm_shapes,
}
"""What common operations give, where their arguments fit: torch's own way takes a millisecond."""


def _grouped_shapes(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What rows give, each by the matrix of its group: torch's own way refuses all but bfloat16."""
    return x.new_empty((*x.shape[:-1], weights.shape[-1]), device="meta")


def _places_of_mask(argument: Any) -> Any:
    """An index with real masks by their places: how many there are, no shape can tell."""
    if not isinstance(argument, list | tuple):
        return argument
    places: list[Any] = []
    for each in argument:
        is_mask = isinstance(each, torch.Tensor) and each.dtype in _MASKS
        if not is_mask:
            places.append(each)
        elif each.is_meta:
            places += _places(each).unbind(1)
        else:
            places += each.nonzero().unbind(1)
    return places


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")

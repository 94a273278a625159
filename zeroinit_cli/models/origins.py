"""Where the values of tensors come from, noted operation by operation while a module is built.

For each storage, the last full write counts: memory that nobody wrote, a constant, or a draw. What
is computed from a draw is one. A write into a part leaves the rest as it was. Large parameters are
moved to meta meanwhile: what is computed from them has a shape only, and which of them it is
computed from is noted, so that just these can be left real when the value is needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit_cli.models.effects import (
    Effect,
    effect_of,
    filled_with,
    is_around_zero,
    range_of,
    read_by,
    tensors_of,
    written_by,
)
from zeroinit_cli.models.shapes import run_on_shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What the values in a storage come from.

    Attributes:
        unwritten: memory that nobody wrote had a part in them.
        random: a draw had a part in them.
        shifted: one had that is not around 0.
        doubtful: it may have had none: what it gave was written over bit by bit, or its generator
            may always be the same. Two builds settle it.
        transcendental: a function had a part in them whose last bit differs between processors.
        outside: they were handed to torch by Python or numpy, where nothing is noted.
        older: they were there before the building began, or came by way of numpy.
        value: what every entry is, where that is plain.
        lost: numbers of the parameters that must be left real, for the values to be there.
        written: entries that were written one part after the other, since the last full write.
    """

    unwritten: bool = False
    random: bool = False
    shifted: bool = False
    doubtful: bool = False
    transcendental: bool = False
    outside: bool = False
    older: bool = False
    value: float | None = None
    lost: frozenset[int] = frozenset()
    written: int = 0


_OLDER = Origin(outside=True, older=True)
_NARROW = (torch.float32, torch.bfloat16, torch.float16)


class Origins(TorchDispatchMode):
    """Notes what each operation does; runs on shapes what is computed from values that are lost.

    Args:
        evenly: all is computed in double precision, and each uniform draw gives values that are
            evenly spaced over its range, in C order, which are no draw.

    Attributes:
        asked: numbers of the parameters that a value was asked of which is lost.
        has_leaked: a number that was drawn went into Python, where nothing is noted.
        is_muted: what Python asks meanwhile does not count.
    """

    def __init__(self, *, evenly: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.evenly = evenly
        self.asked: frozenset[int] = frozenset()
        self.has_leaked = False
        self.is_muted = False
        # A weak reference lets the memory go, but keeps its address from being given again.
        self._noted: dict[int, tuple[StorageWeakRef, Origin]] = {}
        self._moved: dict[int, int] = {}
        self._moved_to: dict[int, torch.UntypedStorage] = {}
        # Storages on meta, and what must be left real for them to be none.
        self._absent: dict[int, frozenset[int]] = {}

    def of(self, tensor: torch.Tensor) -> Origin:
        """The origin of a tensor's values; of one that was never seen, that it is older."""
        noted = self._noted.get(self._key(tensor))
        return _OLDER if noted is None else noted[1]

    def is_unwritten(self, tensor: torch.Tensor) -> bool:
        """Whether nobody wrote into a tensor's memory, or into too little of it for all of it."""
        origin = self.of(tensor)
        return origin.unwritten and origin.written < tensor.numel()

    def is_absent(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is on meta because a parameter was moved there."""
        return bool(self._absent.get(self._key(tensor)))

    def move(self, parameter: torch.Tensor, number: int) -> torch.Tensor:
        """A tensor on meta that takes the place of a parameter, with the origin that it had.

        Two that share memory share it there, too, and stay noted as one.

        Args:
            parameter: on the CPU.
            number: what the parameter is called in `Origin.lost`.
        """
        origin, real = self.of(parameter), parameter.untyped_storage()
        absent = self._moved_to.get(real._cdata)
        if absent is None:
            absent = torch.UntypedStorage(real.nbytes(), device="meta")
            self._moved_to[real._cdata] = absent
            self._moved[real._cdata] = absent._cdata
        numbers = origin.lost | {number}
        self._absent[absent._cdata] = numbers
        self._noted[absent._cdata] = StorageWeakRef(absent), replace(origin, lost=numbers)
        return torch.empty(0, dtype=parameter.dtype, device="meta").set_(
            absent, parameter.storage_offset(), parameter.shape, parameter.stride()
        )

    def ask(self, tensor: torch.Tensor) -> None:
        """Note that Python reads a tensor's values.

        Raises:
            LookupError: they are lost.
        """
        origin = self.of(tensor)
        if origin.lost:
            self.asked |= origin.lost
            raise LookupError("the value of a parameter that was moved to meta")
        self.has_leaked |= origin.random and not self.is_muted

    def lend(self, tensor: torch.Tensor) -> None:
        """Note that Python may read and write a tensor's memory."""
        self.ask(tensor)
        self._note(tensor, replace(self.of(tensor), unwritten=False, value=None, outside=True))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and note what it did."""
        effect, kwargs = effect_of(func), kwargs or {}
        if effect.leaves:
            return func(*args, **kwargs)
        # a mode of functions that is on would see what is asked of tensors here
        with torch._C.DisableTorchFunction():
            given = list(tensors_of((*args, *kwargs.values())))
            if not all(map(_has_memory, given)):
                return self._run_unseen(func, args, kwargs)
            if effect.asks:
                for tensor in given:
                    self.ask(tensor)
                return func(*args, **kwargs)
            sources = read_by(effect, args, kwargs)
            lost = self._lost(sources)
            result = self._run(func, args, kwargs, given, lost)
            self._note_all(effect, args, kwargs, given, sources, result)
        return result

    def _run(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[torch.Tensor],
        lost: frozenset[int],
    ) -> Any:
        effect = effect_of(func)
        if not lost and not any(tensor.is_meta for tensor in given):
            if self.evenly:
                return self._run_evenly(func, args, kwargs, is_made=not given)
            return func(*args, **kwargs)
        written = list(written_by(effect, args, kwargs))
        if effect.random and len(written) == len(given) == 1:
            return written[0]  # a draw that nobody sees
        try:
            result = run_on_shapes(func, args, kwargs, given)
        except Exception:
            self.asked |= lost  # a shape that only values tell, or what torch cannot do on meta
            raise
        real = [tensor for tensor in written if not tensor.is_meta]
        return real[0] if real and isinstance(result, torch.Tensor) else result

    def _run_evenly(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_made: bool
    ) -> Any:
        """Run an operation in double precision, and space what a uniform draw gives."""
        if kwargs.get("dtype") in _NARROW:
            kwargs = {**kwargs, "dtype": torch.float64}
        result, effect = func(*args, **kwargs), effect_of(func)
        if is_made and isinstance(result, torch.Tensor) and result.dtype in _NARROW:
            result = func(*args, **{**kwargs, "dtype": torch.float64})
        if self._is_spaced(effect):
            low, high = range_of(effect, args, kwargs)
            places = torch.arange(result.numel(), dtype=torch.float64, device="cpu").add_(0.5)
            places = places.div_(result.numel()).mul_(high - low).add_(low)
            result.copy_(places.view(result.shape))
        return result

    def _is_spaced(self, effect: Effect) -> bool:
        """Whether a draw is replaced; not one that some versions of torch make normal ones of."""
        return self.evenly and effect.uniform and not self.is_muted

    def _run_unseen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation on what has no plain memory, such as sparse tensors."""
        result = func(*args, **kwargs)
        for tensor in filter(_has_memory, tensors_of([result])):
            self._note(tensor, Origin(outside=True))
        return result

    def _lost(self, given: Iterable[torch.Tensor]) -> frozenset[int]:
        if not self._absent:
            return frozenset()
        return frozenset().union(*(self.of(tensor).lost for tensor in given))

    def _note_all(
        self,
        effect: Effect,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[torch.Tensor],
        sources: list[torch.Tensor],
        result: Any,
    ) -> None:
        value = filled_with(effect, args)
        written = list(written_by(effect, args, kwargs))
        if value is not None:
            sources = []
        made = self._made(effect, sources, written, args, kwargs, value)
        for tensor in written:
            self._write(tensor, _of_type(made, tensor, sources))
        before = {self._key(tensor) for tensor in given}
        for tensor in () if written else filter(_has_memory, tensors_of([result])):
            key = self._key(tensor)
            if key in before:
                continue
            if tensor.is_meta:
                self._absent[key] = lost = self._lost(given)
                made = replace(made, lost=lost) if lost != made.lost else made
            self._note(tensor, _of_type(made, tensor, sources))

    def _made(
        self,
        effect: Effect,
        sources: list[torch.Tensor],
        written: list[torch.Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        value: float | None,
    ) -> Origin:
        """The origin of what an operation gives."""
        random = effect.random and value is None and not self._is_spaced(effect)
        shifted = random and not is_around_zero(effect, args, kwargs)
        if not sources:
            doubtful = random and kwargs.get("generator") is not None
            return Origin(
                unwritten=effect.empties,
                random=random,
                shifted=shifted,
                doubtful=doubtful,
                transcendental=effect.transcendental and value is None,
                value=value,
            )
        # a number of Python's that torch made a tensor of is a number, as it is without
        origins = [self.of(each) for each in sources if each.numel() > 1 or self._has_noted(each)]
        if effect.copies and origins:
            value = origins[0].value
        written_keys = {self._key(tensor) for tensor in written} if effect.indexed else ()
        return Origin(
            unwritten=any(
                self.is_unwritten(each) and self._key(each) not in written_keys for each in sources
            ),
            random=random or any(each.random for each in origins),
            shifted=shifted or any(each.shifted for each in origins),
            doubtful=(random and kwargs.get("generator") is not None)
            or any(each.doubtful for each in origins),
            transcendental=effect.transcendental or any(each.transcendental for each in origins),
            outside=any(each.outside for each in origins),
            older=any(each.older for each in origins),
            value=value,
            lost=self._lost(sources),
        )

    def _write(self, tensor: torch.Tensor, made: Origin) -> None:
        storage = tensor.untyped_storage()
        key = self._moved.get(storage._cdata, storage._cdata)
        known, entries = self._noted.get(key), tensor.numel()
        all_entries = storage.nbytes() // tensor.itemsize
        absent = self._absent.get(key)
        if absent:
            made = replace(made, lost=made.lost | absent)
        if known is None or entries >= all_entries:
            self._note(tensor, made)
            return
        old = known[1]
        written = 0 if made.random and not old.unwritten else old.written + entries
        is_full = written >= all_entries
        self._note(
            tensor,
            Origin(
                unwritten=made.unwritten or (old.unwritten and not is_full),
                random=old.random or made.random,
                shifted=old.shifted or made.shifted,
                doubtful=old.doubtful
                or made.doubtful
                or (old.random and not old.unwritten and is_full),
                transcendental=old.transcendental or made.transcendental,
                outside=old.outside or made.outside,
                older=old.older or made.older,
                lost=old.lost | made.lost,
                written=0 if old.unwritten and is_full else written,
            ),
        )

    def _note(self, tensor: torch.Tensor, origin: Origin) -> None:
        key = self._key(tensor)
        known = self._noted.get(key)
        reference = StorageWeakRef(tensor.untyped_storage()) if known is None else known[0]
        self._noted[key] = reference, origin

    def _has_noted(self, tensor: torch.Tensor) -> bool:
        return self._key(tensor) in self._noted

    def _key(self, tensor: torch.Tensor) -> int:
        address: int = tensor.untyped_storage()._cdata
        return self._moved.get(address, address)


def _has_memory(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested


def _of_type(made: Origin, tensor: torch.Tensor, sources: list[torch.Tensor]) -> Origin:
    """The origin, without a number that was copied to another type and perhaps rounded."""
    rounded = made.value is not None and any(each.dtype != tensor.dtype for each in sources)
    return replace(made, value=None) if rounded else made

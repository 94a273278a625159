"""Where parameters are while a module is built: the large ones on meta, and in disguise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from zeroinit_cli.errors import BuildError
from zeroinit_cli.models.origins import Origins

LARGE = 1 << 14
"""Entries from which on it takes longer to draw a parameter than to move it to meta."""

MOST_PARAMETERS = 200_000
"""Tensors of a model; a stranger's number of layers could make any number of them."""

_CPU = torch.device("cpu")


class Placing(TorchFunctionMode):
    """Moves parameters to meta as they are registered, and lets them answer as if on the CPU.

    Some of torch's own functions pass over what is on meta, and constructors make tensors on the
    device of others.
    """

    def __init__(self, real: frozenset[int] | None, *, evenly: bool = False) -> None:
        super().__init__()
        self.real = real
        self.origins = Origins(evenly=evenly)
        self.registered: set[int] = set()
        self._count = 0
        # Kept, so that its id is not given again: registered under another name, it stays real.
        self._left: dict[int, nn.Parameter] = {}
        self._numbers: dict[int, int] = {}

    def place(self, parameter: nn.Parameter) -> None:
        """Move a parameter that is being registered to meta, if nothing is lost that is needed."""
        self.registered.add(id(parameter))
        if len(self.registered) > MOST_PARAMETERS:
            raise BuildError(
                "more parameters than any model has",
                expected=f"at most {MOST_PARAMETERS:,} tensors",
                hint="a number of layers or experts is beyond measure",
            )
        if self.real is None or is_lazy(parameter) or parameter.numel() < LARGE:
            return
        self._count += 1
        if self._count in self.real:
            self._left[id(parameter)] = parameter
        self._move(parameter, self._count)

    def _move(self, parameter: nn.Parameter, number: int) -> None:
        ordinary = type(parameter) is nn.Parameter and parameter.layout is torch.strided
        if not ordinary or id(parameter) in self._left or parameter.device.type != "cpu":
            return
        origin = self.origins.of(parameter)
        plain = origin.random or origin.unwritten or origin.value is not None
        if plain or self.origins.evenly:
            moved = self.origins.move(parameter, number)
            _swap(parameter, nn.Parameter(moved, requires_grad=parameter.requires_grad))
            self._numbers[id(parameter)] = number

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function, or answer in its place for a tensor whose value is lost."""
        special = _SPECIAL.get(func)
        if special is not None:
            with torch._C.DisableTorchFunction():
                answered, answer = special(self, *args)
            if answered:
                return answer
        return func(*args, **(kwargs or {}))

    def _answer_as_real(self, answer: Any, tensor: torch.Tensor, *_: Any) -> tuple[bool, Any]:
        return self.origins.is_absent(tensor), answer

    def _lend(self, tensor: torch.Tensor, *_: Any) -> tuple[bool, None]:
        self.origins.lend(tensor)
        return False, None

    def _ask(self, tensor: torch.Tensor, *_: Any) -> tuple[bool, None]:
        self.origins.ask(tensor)
        return False, None

    def _set_data(self, parameter: torch.Tensor, value: torch.Tensor) -> tuple[bool, None]:
        """Torch would refuse a value on the CPU for a parameter that was moved to meta."""
        if not isinstance(parameter, nn.Parameter) or parameter.is_meta == value.is_meta:
            return False, None
        _swap(parameter, nn.Parameter(value, requires_grad=parameter.requires_grad))
        number = self._numbers.get(id(parameter))
        if number is not None and parameter.numel() >= LARGE:
            self._move(parameter, number)
        return True, None


def _accessor(name: str, kind: str) -> Any:
    """What a mode is given where an attribute of a tensor is read or set."""
    return getattr(getattr(torch.Tensor, name), kind)


_SPECIAL: dict[Any, Callable[..., tuple[bool, Any]]] = {
    _accessor("is_meta", "__get__"): lambda self, *args: self._answer_as_real(False, *args),
    _accessor("is_cpu", "__get__"): lambda self, *args: self._answer_as_real(True, *args),
    _accessor("device", "__get__"): lambda self, *args: self._answer_as_real(_CPU, *args),
    _accessor("data", "__set__"): Placing._set_data,
    torch.Tensor.numpy: Placing._lend,
    torch.Tensor.__array__: Placing._lend,
    torch.Tensor.data_ptr: Placing._lend,
    torch.Tensor.tolist: Placing._ask,
}


def _swap(parameter: nn.Parameter, other: nn.Parameter) -> None:
    """In place, so that a parameter tied to others stays tied; what was set on it stays, too."""
    vars(other).update(vars(parameter))
    with suppress(RuntimeError):  # something else holds its storage: it stays real, at a cost only
        torch.utils.swap_tensors(parameter, other)


@contextmanager
def every_parameter_through(placing: Placing) -> Iterator[None]:
    """Place each parameter as a module registers it."""
    original = nn.Module.register_parameter

    def register_parameter(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None:
            with torch._C.DisableTorchFunction():
                placing.place(param)
        original(self, name, param)

    nn.Module.register_parameter = register_parameter  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


@contextmanager
def draws_on_meta(origins: Origins) -> Iterator[None]:
    """Torch draws a truncated normal by reading what it drew, and on meta leaves that out."""
    original: Any = getattr(nn.init, "_no_grad_trunc_normal_", None)
    if original is None:  # a torch that does it in another way
        yield
        return

    def drawn(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if origins.is_absent(tensor):
            with torch.no_grad():
                return tensor.normal_(generator=kwargs.get("generator"))
        muted, origins.is_muted = origins.is_muted, True
        try:
            return original(tensor, *args, **kwargs)
        finally:
            origins.is_muted = muted

    nn.init._no_grad_trunc_normal_ = drawn
    try:
        yield
    finally:
        nn.init._no_grad_trunc_normal_ = original

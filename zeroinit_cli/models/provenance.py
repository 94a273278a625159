"""Which constructor values come from transcendental functions.

The last bit of a logarithm or a sine differs between processors and libraries; sums, products,
quotients and square roots do not. So a kept value that comes from the former is called
platform-dependent in the plan.
"""

import re
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zeroinit_cli.models.building import Factory, build

_TRANSCENDENTAL = re.compile(
    "a?(cos|sin|tan)h?|atan2|digamma|erf(c|inv)?|exp(2|m1)?|gelu|lgamma|log(10|1p|2)?|_?log_softmax"
    "|logaddexp2?|logit|pow|rsqrt|sigmoid|silu|sinc|_?softmax|softplus|xlogy"
)
_OVERWRITING = frozenset({"fill_", "zero_"})


def transcendental_names(factory: Factory, seed: int) -> frozenset[str]:
    """Names in the state dict whose values any transcendental function had a part in."""
    with _Taint() as taint:
        module = build(factory, seed)
    return frozenset(name for name, tensor in module.state_dict().items() if taint.has(tensor))


class _Taint(TorchDispatchMode):
    """Follows values from transcendental functions through every later operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        # Storages are kept alive: an address must not be given to another tensor.
        self._tainted: dict[int, Any] = {}

    def has(self, tensor: object) -> bool:
        return isinstance(tensor, torch.Tensor) and _address(tensor) in self._tainted

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and mark its outputs."""
        result = func(*args, **(kwargs or {}))
        name: str = func.overloadpacket.__name__
        sources = any(self.has(leaf) for leaf in tree_leaves((args, kwargs)))
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor) or leaf.is_meta:
                continue
            if name in _OVERWRITING:
                self._tainted.pop(_address(leaf), None)
            elif sources or _TRANSCENDENTAL.fullmatch(name.removesuffix("_")):
                self._tainted[_address(leaf)] = leaf.untyped_storage()
        return result


def _address(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_meta else tensor.untyped_storage().data_ptr()

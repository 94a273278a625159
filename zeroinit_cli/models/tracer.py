"""torch.fx, taught to go on where a forward asks for what only a run would tell.

Much of that can be answered without one: an argument that has a default is not given, a check that
can only raise does not, `arange` and its like of a size are values like others, and a layer made on
the spot is a layer. What still stops is one submodule, not the whole: it becomes one node of the
graph, and is named.
"""

import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

from zeroinit_cli.models.bytecode import names_beside_a_star, passing
from zeroinit_cli.models.patching import MAKERS, buffers_taken, makers_recorded

_ARITHMETIC = (
    operator.add,
    operator.iadd,
    operator.matmul,
    operator.mul,
    operator.sub,
    operator.truediv,
)
_NOTHING_GIVEN = "an argument that has a default is needed all the same"

_UNREGISTERED = "_unregistered_"
"""Begins the name of a module that is no submodule: made in a forward, or kept in a plain list."""


class Tracer(fx.Tracer):
    """Records a forward.

    Args:
        is_leaf: whether a module is one node of the graph, whatever happens inside.
        is_layer: whether one that cannot be looked into is known all the same.
        defaults: leave out the arguments that have a default, the first apart.
        buffers: record buffers by name, so that they may meet sizes that only a run tells; else
            their values are at hand, so that a forward may ask for them.
    """

    def __init__(
        self,
        is_leaf: Callable[[nn.Module], bool],
        is_layer: Callable[[nn.Module], bool],
        *,
        defaults: bool,
        buffers: bool,
    ):
        super().__init__(
            autowrap_modules=(math, *_reshapers()),
            autowrap_functions=tuple(getattr(torch, name) for name in MAKERS),
        )
        self.proxy_buffer_attributes = buffers
        self.unknown: list[str] = []
        self._paths: dict[nn.Module, str] = {}
        self._names: dict[int, str] = {}
        self._is_leaf, self._is_layer = is_leaf, is_layer
        self._defaults = defaults

    def trace(
        self, root: nn.Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
    ) -> fx.Graph:
        """The forward of a module as a graph."""
        with makers_recorded(), buffers_taken():
            return super().trace(root, concrete_args)

    def modules(self) -> dict[str, nn.Module]:
        """Every module that the graph may call, by the name that it has there."""
        return {name: module for module, name in self._paths.items()}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """What fx asks."""
        return self._is_leaf(m)

    def path_of_module(self, mod: nn.Module) -> str:
        """The name of a module in the graph; one that is no submodule gets one."""
        if mod not in self._paths:
            self._paths[mod] = f"{_UNREGISTERED}{len(self._paths)}"
        return self._paths[mod]

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """The arguments that a forward is called with: those that it asks for."""
        if not isinstance(self.root, nn.Module):
            raise TypeError(type(self.root))
        self._paths = {module: name for name, module in self.root.named_modules()}
        self._names = {id(tensor): name for name, tensor in self._recorded_tensors(self.root)}
        positional: list[Any] = [self.root]
        keywords: dict[str, Any] = {}
        _, *parameters = inspect.signature(root_fn).parameters.values()
        for index, each in enumerate(parameters):
            if each.kind is each.VAR_KEYWORD or (each.kind is each.VAR_POSITIONAL and index):
                continue
            given = index == 0 or each.default is each.empty or not self._defaults
            value = self._placeholder(each.name) if given else each.default
            if each.kind is each.KEYWORD_ONLY:
                keywords[each.name] = value
            else:
                positional.append(value)
        return lambda *args: root_fn(*args, **keywords), positional

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Look into a submodule, or make it one node where that fails."""
        if args and args[0] is None and self.is_leaf_module(m, ""):
            raise TypeError(_NOTHING_GIVEN)
        last, depth = next(iter(reversed(self.graph.nodes)), None), len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # noqa: BLE001 - any code may run in a forward, and stumble over a proxy
            self._forget(last, depth)
        path = self.path_of_module(m)
        if not self._is_layer(m):
            self.unknown.append(path)
        return self.create_proxy("call_module", path, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """An attribute of a module: a value of the graph if it is a tensor that is recorded."""
        name = self._names.get(id(attr_val))
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy(
                "get_attr", name, (), {}, proxy_factory_fn=lambda node: _Read(node, self, attr_val)
            )
        return parameter_proxy_cache[name]

    def create_node(self, kind: str, target: Any, args: Any, *rest: Any, **named: Any) -> fx.Node:
        """Record a step; one that a run would refuse, since nothing is given to it, is an error."""
        if target in _ARITHMETIC and any(each is None for each in args):
            raise TypeError(_NOTHING_GIVEN)
        return super().create_node(kind, target, args, *rest, **named)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A value of the graph, as the forward sees it."""
        return _Value(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Answer a check that can only raise; anything else stays open, which is an error."""
        caller = sys._getframe(2)  # above this function and the proxy's own
        answer = passing(caller.f_code, caller.f_lasti)
        return super().to_bool(obj) if answer is None else answer

    def iter(self, obj: Any) -> Iterator[Any]:
        """The items of a shape, of which it does not matter how many there are; of nothing else."""
        if not _is_size(obj.node):
            return super().iter(obj)
        caller = sys._getframe(2)
        number = names_beside_a_star(caller.f_code, caller.f_lasti)
        return (obj[index] for index in range(number))

    def _recorded_tensors(self, root: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        yield from root.named_parameters()
        if self.proxy_buffer_attributes:
            yield from root.named_buffers()

    def _placeholder(self, name: str) -> fx.Proxy:
        return self.create_proxy("placeholder", name, (), {})

    def _forget(self, last: fx.Node | None, depth: int) -> None:
        """Take back what a submodule recorded before it failed, parameters read apart."""
        while len(self.module_stack) > depth:
            self.module_stack.popitem(last=True)
        for node in reversed(list(self.graph.nodes)):
            if node is last:
                break
            if node.op != "get_attr":  # which fx reads once, and may use again
                self.graph.erase_node(node)


class _Value(fx.Proxy):
    """A value that can also be written into by index, and put into a tuple if it is a shape."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __len__(self) -> int:
        # TypeError is what Python takes for an iterable without a length, as it asks before it
        # unpacks one; fx raises another error.
        raise TypeError("a value of a graph has no length")

    def __getattr__(self, k: str) -> "_Field":
        return _Field(self, k)


class _Field(fx.proxy.Attribute, _Value):
    """An attribute or method of a value."""


class _Read(_Value):
    """A parameter or buffer, whose type and shape need no run to be known."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, tensor: torch.Tensor):
        super().__init__(node, tracer)
        self.dtype, self.shape, self.ndim = tensor.dtype, tensor.shape, tensor.ndim
        self.size, self.dim, self.numel = tensor.size, tensor.dim, tensor.numel


def _is_size(node: fx.Node) -> bool:
    """Whether a value is a shape or a part of one."""
    while node.target is operator.getitem and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    of_size = node.op == "call_method" and node.target == "size"
    return of_size or (node.target is getattr and node.args[1] == "shape")


def _reshapers() -> list[Any]:
    """Libraries that ask a tensor for its type, to be recorded as they are called, if in use."""
    return [sys.modules[name] for name in ("einops",) if name in sys.modules]

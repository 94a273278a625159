"""One run of a module, recorded: which torch function got which values, and in which module.

A mode of torch is told of every call of a torch function, with the tensors themselves. Composite
functions (`layer_norm`, `scaled_dot_product_attention`) arrive as one call. A tensor is known again
by its identity, so every one that was seen is kept until the run is over: else another tensor could
get its `id`.
"""

import inspect
import operator
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from string import ascii_lowercase
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torchs_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.nodes import (
    Kind,
    Layout,
    Node,
    Record,
    holds_tensor,
    nodes_in,
    parts_of,
    tensors_in,
)

_UNREGISTERED = "_unregistered_"
"""Begins the name of a module that is no submodule: made in a forward, or kept in a plain list."""

_CONSTANT = "_constant_"
"""Begins the name of a tensor that is no parameter and no buffer, and comes from no function."""

_REVERSED: dict[str, Callable[..., Any]] = {
    "__rdiv__": operator.truediv,
    "__rfloordiv__": operator.floordiv,
    "__rmatmul__": operator.matmul,
    "__rmod__": operator.mod,
    "__rpow__": operator.pow,
    "__rsub__": operator.sub,
    "__rtruediv__": operator.truediv,
}
_NO_STEPS = frozenset({"_base", "requires_grad_"})
"""What gives a tensor that was there before, and does nothing to it."""

_OF_NUMBERS = frozenset({"as_tensor", "from_numpy", "scalar_tensor", "tensor"})
"""Functions that make a tensor of Python's numbers: what they give is a constant."""


Watch = Callable[[Node, torch.Tensor], None]


def record(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    tensors: Mapping[int, tuple[str, torch.Tensor]],
    passed_over: frozenset[nn.Module] = frozenset(),
    watch: Watch | None = None,
) -> Record:
    """Run a module once, and record what it does; an exception ends the record.

    Args:
        module: what is run, in the mode and on the values that it has.
        args: of its forward.
        kwargs: likewise.
        tensors: id of a tensor that the module holds -> its name and the tensor to record for it.
        passed_over: modules that are one node, whatever happens inside.
        watch: is told of each tensor as it is computed.
    """
    recorder = _Recorder(module, tensors, passed_over, watch)
    recorder.take_inputs(module, args, kwargs)
    try:
        with recorder.calls_of_modules(), recorder:
            result = module(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a forward may raise anything
        recorder.end_early(error)
    else:
        recorder.give_results(result)
    return recorder.found


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a function, on shapes as a whole where it refuses some tensors with and some without.

    Torch's recurrent layers ask for one device before anything is computed.
    """
    try:
        return func(*args, **kwargs)
    except RuntimeError:
        devices = {tensor.is_meta for tensor in tensors_in((args, kwargs))}
        if len(devices) < 2:
            raise
        moved = tree_map_only(torch.Tensor, lambda each: each.to("meta"), (args, dict(kwargs)))
        return func(*moved[0], **moved[1])


def _by_letters(
    one: torch.Tensor, other: torch.Tensor, dims: Any = 2, out: None = None
) -> tuple[Any, ...]:
    """A `tensordot` as an einsum, which says the same in letters."""
    if isinstance(dims, int):
        dims = range(one.ndim - dims, one.ndim), range(dims)
    first = list(ascii_lowercase[: one.ndim])
    second = list(ascii_lowercase[one.ndim :][: other.ndim])
    for place, same in zip(*dims, strict=True):
        second[same] = first[place]
    output = (letter for letter in first + second if (first + second).count(letter) == 1)
    return f"{''.join(first)},{''.join(second)}->{''.join(output)}", one, other


class _Recorder(TorchFunctionMode):
    """Notes calls of functions by torch's mode, and calls of modules by torch's global hooks."""

    def __init__(
        self,
        root: nn.Module,
        tensors: Mapping[int, tuple[str, torch.Tensor]],
        passed_over: frozenset[nn.Module],
        watch: Watch | None,
    ) -> None:
        super().__init__()
        self.found = Record()
        self._known: dict[int, tuple[torch.Tensor, Node]] = {}
        self._tensors, self._passed_over, self._watch = tensors, passed_over, watch
        self._paths = {each: name for name, each in root.named_modules()}
        self._stack: list[nn.Module] = []
        self._depth = 0  # how many calls deep the run is in what is passed over, that included
        self._without_result: list[nn.Module] = []
        self._labels: Counter[str] = Counter()
        self._thread = threading.get_ident()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function, and note it if it gives tensors or writes into one."""
        kwargs = kwargs or {}
        result = _call(func, args, kwargs)
        if isinstance(result, torch.device) and result.type == "meta":
            return torch.device(
                "cpu"
            )  # code that asks for it knows no other in a test, as autocast
        if not self._depth:
            self._note(func, args, kwargs, result)
        return result

    @contextmanager
    def calls_of_modules(self) -> Iterator[None]:
        """Be told of the calls of modules, by hooks that are gone afterwards."""
        before = torchs_hooks.register_module_forward_pre_hook(self._enter)
        register: Any = torchs_hooks.register_module_forward_hook
        # Before torch 2.6 a hook of all modules is not told of keywords.
        keywords = (
            {"with_kwargs": True} if "with_kwargs" in inspect.signature(register).parameters else {}
        )
        after = register(self._leave, **keywords, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def take_inputs(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Make every tensor an input, by the name of the argument that it lies in."""
        try:
            arguments = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        except TypeError:  # the call fails too, which is told where it is made
            arguments = {}
        for name, value in arguments.items():
            for tensor in tensors_in(value):
                self._bind(tensor, self._add("input", name, label=name))

    def give_results(self, values: Any) -> None:
        """Note what the forward returns."""
        self.found.result = values
        results = tuple(self._node(tensor) for tensor in tensors_in(values))
        self._add("output", "", (results,), label="output")

    def end_early(self, error: Exception) -> None:
        """Note where the run ended."""
        self.found.error = error
        self.found.failed = tuple(self._without_result)

    def _note(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        name = getattr(func, "__name__", "")
        if name == "__setitem__":
            node = self._add("function", "setitem", args, kwargs, function=operator.setitem)
            self._written(args[0], node)
            return
        if name == "__get__":  # an attribute: `x.T`
            name = getattr(func, "__self__").__name__  # noqa: B009 - no attribute of all callables
        if name in _NO_STEPS or not holds_tensor(result):
            return
        if name in _OF_NUMBERS and not holds_tensor((args, kwargs)):
            return  # a constant: named when it is used
        if name == "tensordot":
            func, name, args, kwargs = torch.einsum, "einsum", _by_letters(*args, **kwargs), {}
        if name in _REVERSED:
            func, args = _REVERSED[name], (args[1], args[0])
            name = func.__name__
        elif name.startswith("__") and name.endswith("__"):
            name = name.strip("_")
        node = self._add("function", name, args, kwargs, function=func)
        if node.writes and args and isinstance(args[0], torch.Tensor):
            self._written(args[0], node)
        self._bind_all(result, node)

    def _enter(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._without_result.clear()
        self._stack.append(module)
        if self._depth or module in self._passed_over:
            self._depth += 1
        else:
            self.found.called.add(module)

    def _leave(self, module: nn.Module, args: Any, *rest: Any) -> None:
        """After a forward, also one that failed: torch then gives None for the result."""
        if threading.get_ident() != self._thread:
            return
        self._stack.pop()
        kwargs, result = (rest[0] if len(rest) > 1 else {}), rest[-1]
        is_passed_over = self._depth == 1
        self._depth = max(0, self._depth - 1)
        if result is None:
            self._without_result.append(module)
            return
        self._without_result.clear()
        if is_passed_over:
            self.found.called.update(module.modules())
            path = self._path(module)
            node = self._add("module", path, args, kwargs, label=path.replace(".", "_"))
            self._bind_all(result, node)

    def _path(self, module: nn.Module) -> str:
        """The name of a module; one that is no submodule gets one."""
        path: str = self._paths.setdefault(module, f"{_UNREGISTERED}{len(self._paths)}")
        self.found.modules[path] = module
        return path

    def _add(
        self,
        op: Kind,
        target: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        label: str = "",
        function: Callable[..., Any] | None = None,
    ) -> Node:
        self._without_result.clear()
        args, kwargs = self._with_nodes(tuple(args)), self._with_nodes(dict(kwargs or {}))
        label = label or target.strip("_") or target
        count = self._labels[label]
        self._labels[label] += 1
        node = Node(
            op=op,
            target=target,
            args=args,
            kwargs=kwargs,
            label=f"{label}_{count}" if count else label,
            place=self._path(self._stack[-1]) if self._stack else "",
            function=function,
            all_input_nodes=tuple(dict.fromkeys(nodes_in((args, kwargs)))),
        )
        self.found.nodes.append(node)
        return node

    def _bind(self, tensor: torch.Tensor, node: Node) -> None:
        self._known[id(tensor)] = (tensor, node)
        if tensor.layout is torch.strided:
            self.found.layouts.setdefault(
                node, Layout(tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))
            )

        if self._watch is not None:
            self._depth += 1  # what it computes is no part of the run
            self._watch(node, tensor)
            self._depth -= 1

    def _bind_all(self, result: Any, node: Node) -> None:
        """A function's result, and the parts of one of several tensors."""
        if isinstance(result, torch.Tensor):
            self._bind(result, node)
            return
        for key, part in parts_of(result):
            if holds_tensor(part):
                item = self._add("function", "getitem", (node, key), function=operator.getitem)
                self._bind_all(part, item)

    def _written(self, tensor: torch.Tensor, node: Node) -> None:
        """A write into a value gives a new one; a write into a view writes what it is a view of."""
        self._bind(tensor, node)
        base = tensor._base
        if base is not None and id(base) in self._known:
            self._bind(base, self._add("function", "setitem", (base, None, tensor)))

    def _node(self, tensor: torch.Tensor) -> Node:
        """The node that gave a tensor; a read, if none did."""
        if id(tensor) in self._known:
            return self._known[id(tensor)][1]
        name, recorded = self._tensors.get(id(tensor), ("", tensor))
        if not name and tensor.is_meta and tensor.numel():  # in an object that was handed over
            node = self._add("input", "", label="input")
        else:
            name = name or f"{_CONSTANT}{len(self.found.constants)}"
            self.found.constants[name] = recorded
            node = self._add("read", name, label=name.replace(".", "_"))
        self._bind(tensor, node)
        return node

    def _with_nodes(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._node(value)
        if isinstance(value, tuple):
            return tuple(map(self._with_nodes, value))
        if isinstance(value, list):
            return list(map(self._with_nodes, value))
        if isinstance(value, dict):
            return {key: self._with_nodes(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(*map(self._with_nodes, (value.start, value.stop, value.step)))
        return value

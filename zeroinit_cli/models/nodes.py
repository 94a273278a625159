"""The steps of a run: one node each, and what they hold."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

Kind = Literal["input", "read", "module", "function", "output"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Node:
    """One step of a run.

    Attributes:
        op: an input of the forward, a read of a parameter, buffer or constant, a call of a module
            that is passed over, a call of a function, or what the forward returns.
        target: of a read or module its name, of a function torch's name of it (`add_`).
        args: its arguments, with nodes in place of tensors.
        kwargs: likewise.
        label: a name of its own.
        place: the name of the module in whose forward it stands; empty for the whole.
        function: what was called, to call it again.
        all_input_nodes: the nodes in `args` and `kwargs`, each once.
    """

    op: Kind
    target: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    place: str = ""
    function: Callable[..., Any] | None = None
    all_input_nodes: tuple["Node", ...] = ()

    def __repr__(self) -> str:
        """Give the label: it tells parts of a value from each other."""
        return self.label

    @property
    def writes(self) -> bool:
        """Whether the function changes its first argument."""
        name = self.target
        in_place = name == "setitem" or (name.endswith("_") and not name.endswith("__"))
        return self.op == "function" and (in_place or self.kwargs.get("inplace") is True)


class Layout(NamedTuple):
    """How a value lies in its memory; of a view, in the memory of what it is a view of."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


@dataclass(kw_only=True, slots=True)
class Record:
    """What was seen of a run.

    Attributes:
        nodes: its steps, in order.
        modules: every module that was called, by its name.
        constants: every tensor that a node reads, by its name.
        layouts: of the value that each node gives.
        called: every module that was called.
        failed: the modules in whose forward the run ended, the innermost first; none if it ran
            through.
        error: why it ended.
        result: what the forward returned.
    """

    nodes: list[Node] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)
    layouts: dict[Node, Layout] = field(default_factory=dict)
    called: set[nn.Module] = field(default_factory=set)
    failed: tuple[nn.Module, ...] = ()
    error: Exception | None = None
    result: Any = None


def parts_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """The items of what holds several values, by their keys."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple | list | set):
        yield from enumerate(value)
    elif isinstance(value, SimpleNamespace) or (is_dataclass(value) and hasattr(value, "__dict__")):
        yield from vars(value).items()


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors that a value holds, itself included."""
    if isinstance(value, torch.Tensor):
        yield value
    else:
        for _, part in parts_of(value):
            yield from tensors_in(part)


def holds_tensor(value: Any) -> bool:
    """Whether a value is a tensor or holds one."""
    return next(tensors_in(value), None) is not None


def nodes_in(value: Any) -> Iterator[Node]:
    """The nodes in arguments, in order."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from nodes_in(item)
    elif isinstance(value, dict):
        yield from nodes_in(list(value.values()))
    elif isinstance(value, slice):
        yield from nodes_in((value.start, value.stop, value.step))

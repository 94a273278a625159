"""What an operation of torch does to values: which it writes, and what it makes them of."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

_TRANSCENDENTAL = re.compile(
    "a?(cos|sin|tan)h?|atan2|digamma|erf(c|inv)?|exp(2|m1)?|gelu|lgamma|log(10|1p|2)?|_?log_softmax"
    "|logaddexp2?|logit|pow|rsqrt|sigmoid|silu|sinc|_?softmax|softplus|xlogy"
)
_EMPTY = re.compile("(new_)?empty(_like|_strided|_permuted)?")
_BY_SHAPE = re.compile("new_.*|.*_like")
_OVERWRITING = frozenset({"copy_", "fill_", "zero_"})
_COPYING = frozenset({"_to_copy", "clone", "copy_"})
_INDEXED = frozenset(
    {
        "_index_put_impl_",
        "index_copy_",
        "index_fill_",
        "index_put_",
        "masked_fill_",
        "masked_scatter_",
        "put_",
        "scatter_",
    }
)
_UNIFORM = frozenset({"rand", "rand_like", "uniform_"})
_NORMAL = frozenset({"normal_", "randn", "randn_like"})
_PASSED_OVER = frozenset({"resize_", "resize_as_", "set_"})
_ASKING = frozenset({"_local_scalar_dense", "equal", "is_nonzero"})
_ZEROS = frozenset({"new_zeros", "zero_", "zeros", "zeros_like"})
_ONES = frozenset({"new_ones", "ones", "ones_like"})
_FILLING = {"fill_": 1, "full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}
"""Position of the number that every entry gets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What one overload of an operation does, by its schema and name.

    Attributes:
        name: of the operation.
        written: position and name of each argument that it writes into.
        outs: names of those that it does not read, being its `out`.
        leaves: it gives views or changes no values.
        random: it draws.
        uniform: it draws alike from all of a range.
        transcendental: it gives what processors disagree on in the last bit.
        empties: it gives memory that nobody wrote.
        by_shape: of its tensors it looks at shapes alone.
        overwrites: it does not read the tensor that it writes into.
        copies: what it gives has the very values that it is given, but for their type.
        indexed: it writes some entries, which only values tell.
        asks: it gives a value to Python.
    """

    name: str
    written: tuple[tuple[int, str], ...]
    outs: frozenset[str]
    leaves: bool
    random: bool
    uniform: bool
    transcendental: bool
    empties: bool
    by_shape: bool
    overwrites: bool
    copies: bool
    indexed: bool
    asks: bool


@cache
def effect_of(func: Any) -> Effect:
    """The effect of an overload, of which there are some thousand."""
    schema, name = func._schema, func.overloadpacket.__name__
    written = [
        (position, argument)
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    random = torch.Tag.nondeterministic_seeded in func.tags
    moves = torch.Tag.inplace_view in func.tags
    views = any(each.alias_info is not None for each in schema.returns)
    return Effect(
        name=name,
        written=tuple(
            (len(schema.arguments) if argument.kwarg_only else position, argument.name)
            for position, argument in written
        ),
        outs=frozenset(argument.name for _, argument in written if argument.kwarg_only),
        leaves=(views and not written) or name in _PASSED_OVER or moves,
        random=random,
        uniform=name in _UNIFORM,
        transcendental=_TRANSCENDENTAL.fullmatch(name.removesuffix("_")) is not None,
        empties=_EMPTY.fullmatch(name) is not None,
        by_shape=_BY_SHAPE.fullmatch(name) is not None,
        overwrites=name in _OVERWRITING or random,
        copies=name in _COPYING,
        indexed=name in _INDEXED,
        asks=name in _ASKING,
    )


def written_by(
    effect: Effect, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[torch.Tensor]:
    """The tensors that a call writes into."""
    for position, name in effect.written:
        yield from tensors_of([args[position] if position < len(args) else kwargs.get(name)])


def read_by(effect: Effect, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors whose values have a part in what a call gives or writes."""
    if effect.by_shape:
        return []
    values = [value for name, value in kwargs.items() if name not in effect.outs]
    if effect.overwrites and effect.written:
        skipped = {position for position, _ in effect.written}
        args = tuple(each for position, each in enumerate(args) if position not in skipped)
    return list(tensors_of((*args, *values)))


def filled_with(effect: Effect, args: tuple[Any, ...]) -> float | None:
    """The number that every entry is after a call, if that is plain: draws may have no spread."""
    name, number = effect.name, None
    if name in _ZEROS or (name in ("mul", "mul_") and len(args) > 1 and _is_zero(args[1])):
        number = 0
    elif name in _ONES:
        number = 1
    elif name in _FILLING and len(args) > _FILLING[name]:
        number = args[_FILLING[name]]
    elif len(args) > 2 and (
        (name == "uniform_" and args[1] == args[2]) or (name == "normal_" and _is_zero(args[2]))
    ):
        number = args[1]
    return number if isinstance(number, int | float) else None


def range_of(effect: Effect, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    """The range that a uniform draw is from."""
    low, high = (*(args[1:3] if effect.written else ()), None, None)[:2]
    low, high = kwargs.get("from", low), kwargs.get("to", high)
    return 0.0 if low is None else low, 1.0 if high is None else high


def is_around_zero(effect: Effect, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a draw is from both sides of 0 alike."""
    if effect.uniform:
        low, high = range_of(effect, args, kwargs)
        return low == -high
    mean = args[1] if effect.name == "normal_" and len(args) > 1 else kwargs.get("mean", 0)
    return effect.name in _NORMAL and _is_zero(mean)


def _is_zero(number: Any) -> bool:
    return isinstance(number, int | float) and number == 0


def tensors_of(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """An operation's tensors, which lie in it or in a list: a fifth of pytree's time."""
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from tensors_of(argument)

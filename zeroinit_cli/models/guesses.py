"""What a module of which nothing is known may take, guessed from its layers."""

import inspect
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zeroinit_cli.models.classes import is_convolution, is_transposed_linear
from zeroinit_cli.models.inputs import (
    BATCH,
    SIZES,
    Example,
    examples_of_package,
    ids_of_shape,
    of_shape,
)

_LENGTHS = (5, 6, 8, 16, 1)
_MOST_BESIDE = 3  # arguments that have a default, of which each is given beside the others


def guesses(module: nn.Module) -> Iterator[Example]:
    """Examples of what a module may take, the likeliest first.

    Its first layer says how wide the input is. An argument that has a default is given only if the
    module cannot do without it.
    """
    yield from examples_of_package(module)
    yield from _said(module)
    values = _values(module)
    few = [value for rank, value in _ranked(values) if rank == 0]
    required, optional = _arguments(module)
    yield from _alike(required, values)
    yield from _different(required, few)
    for name in optional[:_MOST_BESIDE]:
        yield from _of_two_kinds([*required, name], values)
    if optional:
        yield from _alike([*required, *optional], values)
    yield from _different(required, values)
    yield from _different([*required, *optional], values)


def further_guesses(module: nn.Module, whole: Example) -> Iterator[Iterator[Example]]:
    """Examples that may lead where one does not, though a forward runs through on it.

    For each argument that has a default: with it beside the others, and, where every argument has
    one, with it alone.
    """
    values = _values(module)
    for name in _arguments(module)[1]:
        if name not in whole.kwargs:
            yield (
                Example(args=whole.args, kwargs={**whole.kwargs, name: value.clone()})
                for value in values
            )
            if _is_optional(module):
                yield (Example(args=(), kwargs={name: value.clone()}) for value in values)


def _said(module: nn.Module) -> Iterator[Example]:
    """What a model itself says that it takes, as those of timm and transformers do."""
    named = getattr(module, "dummy_inputs", None)
    if isinstance(named, Mapping) and all(isinstance(each, Tensor) for each in named.values()):
        yield Example(args=(), kwargs=dict(named))
    settings = getattr(module, "default_cfg", None)
    size = settings.get("input_size") if isinstance(settings, Mapping) else None
    if isinstance(size, tuple | list) and all(isinstance(each, int) for each in size):
        yield Example(args=(of_shape((BATCH, *size)),))


def _is_optional(module: nn.Module) -> bool:
    """Whether a forward's first argument has a default, too."""
    first = next(iter(inspect.signature(module.forward).parameters.values()))
    return first.default is None


def _arguments(module: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the arguments to give, empty for those by position, and of those that may be None.

    The first is given even if it has a default.
    """
    given: list[str] = []
    optional: list[str] = []
    try:
        parameters = inspect.signature(module.forward).parameters
    except ValueError:  # of a forward that is not written in Python
        return [""], []
    for index, each in enumerate(parameters.values()):
        if each.kind is each.VAR_KEYWORD or (each.kind is each.VAR_POSITIONAL and index):
            continue
        name = each.name if each.kind is each.KEYWORD_ONLY else ""
        if index == 0 or each.default is each.empty:
            given.append(name)
        elif each.default is None:
            optional.append(each.name)
    return given, sorted(optional, key=lambda name: "mask" in name)  # which hide, not show


def _alike(names: Sequence[str], values: Iterable[Tensor]) -> Iterator[Example]:
    """The same form for every argument."""
    return (_example(names, [value] * len(names)) for value in values)


def _different(names: Sequence[str], values: Sequence[Tensor]) -> Iterator[Example]:
    """A form for each argument by itself."""
    for choice in product(values, repeat=len(names)):
        if any(each is not choice[0] for each in choice):
            yield _example(names, choice)


def _example(names: Iterable[str], values: Iterable[Tensor]) -> Example:
    """Arguments, each a tensor of its own."""
    pairs = [(name, value.clone()) for name, value in zip(names, values, strict=True)]
    return Example(
        args=tuple(value for name, value in pairs if not name),
        kwargs={name: value for name, value in pairs if name},
    )


def _of_two_kinds(names: Sequence[str], values: Sequence[Tensor]) -> Iterator[Example]:
    """Values of which one is of another kind, such as ids beside an image of several sizes."""
    few = [value for rank, value in _ranked(values) if rank == 0]
    for _, value in sorted(_ranked(values), key=lambda pair: pair[0]):
        for other in (each for each in few if _kind(each) != _kind(value)):
            for place in range(len(names)):
                choice = [other] * len(names)
                choice[place] = value
                yield _example(names, choice)


def _ranked(values: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Each value, with how many of its kind come before it."""
    before: Counter[object] = Counter()
    for value in values:
        yield before[_kind(value)], value
        before[_kind(value)] += 1


def _kind(value: Tensor) -> object:
    return value.dtype, value.ndim


def _values(module: nn.Module) -> list[Tensor]:
    """Tensors that the layers of a module may take, by the order in which it holds them."""
    found: dict[tuple[Any, ...], Tensor] = {}
    for each in module.modules():
        for value in (*_signals(module, each), *_values_of_layer(each)):
            found.setdefault((value.dtype, *value.shape), value)
    kind = _float_of(module)
    values = list(found.values()) or [of_shape((BATCH, 3, size, size)) for size in SIZES]
    return [each.to(kind) if each.is_floating_point() else each for each in values]


def _signals(module: nn.Module, layer: nn.Module) -> Iterator[Tensor]:
    """Sounds as long as a table of positions behind convolutions is, as of Whisper."""
    if isinstance(layer, nn.Conv1d):
        layers = list(module.modules())
        step = math.prod(each.stride[0] for each in layers if isinstance(each, nn.Conv1d))
        for rows in dict.fromkeys(
            each.num_embeddings for each in layers if isinstance(each, nn.Embedding)
        ):
            yield of_shape((BATCH, layer.in_channels, rows * step))


def _values_of_layer(layer: nn.Module) -> Iterator[Tensor]:
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        yield from (ids_of_shape((BATCH, length)) for length in _LENGTHS)
    elif is_convolution(layer):
        channels: Any = layer.in_channels
        kernel: Any = layer.kernel_size
        yield from _images(int(channels), len(kernel))
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        rank = 1 if "1d" in type(layer).__name__ else 3 if "3d" in type(layer).__name__ else 2
        yield from _images(layer.num_features, rank)
    else:
        for width in _widths(layer):
            yield from (of_shape((BATCH, length, width)) for length in _LENGTHS)
            yield of_shape((BATCH, width))


def _widths(layer: nn.Module) -> list[int]:
    """What the last dimension of what a layer takes may be, the likeliest first."""
    for kind, name in (
        (nn.Linear, "in_features"),
        (nn.MultiheadAttention, "embed_dim"),
        (nn.RNNBase | nn.RNNCellBase, "input_size"),
        (nn.Bilinear, "in1_features"),
    ):
        if isinstance(layer, kind):
            return [int(getattr(layer, name))]
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return [layer.normalized_shape[-1]]
    own = [each for each in layer._parameters.values() if each is not None and each.ndim]
    if not own:
        return []
    first, last = own[0].shape[0], own[0].shape[-1]
    if is_transposed_linear(layer):
        return [first]
    return list(dict.fromkeys([last, first] if own[0].ndim > 1 else [last]))  # either layout


def _images(channels: int, rank: int) -> Iterator[Tensor]:
    for size in SIZES:
        yield of_shape((BATCH, channels, *[size] * rank))


def _float_of(module: nn.Module) -> torch.dtype:
    """The type of a module's weights."""
    known = (each.dtype for each in module.parameters() if not is_lazy(each))
    return next((each for each in known if each.is_floating_point), torch.float32)

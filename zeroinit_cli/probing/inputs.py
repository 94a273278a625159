"""The batches that a model is trained on, by what its source says of its inputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.errors import ProbeError, UsageError
from zeroinit_cli.models.guesses import guesses
from zeroinit_cli.models.inputs import CLIP_FRAMES, Inputs, Kind, target
from zeroinit_cli.probing.arrays import pictures, read_array, tokens
from zeroinit_cli.probing.setting import Setting

_BATCH, _BATCH_OF_LARGE, _BATCH_OF_HUGE = 8, 4, 2
_LARGE, _HUGE = 50_000_000, 250_000_000  # parameters
_LARGE_IMAGE = 200  # pixels
_BATCH_OF_CLIPS = 2
_MOST_GUESSES = 50
_ONLY = ""  # the name of an only input


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """A batch, and what its loss depends on.

    Attributes:
        arguments: of the model's forward.
        keywords: likewise, by name.
        described: shape and type in words, by the input's name.
        flow: what comes out are fields of motion.
        pixels: what a detector is to resize images to.
    """

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    described: Mapping[str, str] = field(default_factory=dict)
    flow: bool = False
    pixels: int | None = None

    def to(self, device: str) -> "Feed":
        """Copy the batch to a device."""
        arguments, keywords = tree_map_only(
            Tensor, lambda tensor: tensor.to(device), (self.arguments, dict(self.keywords))
        )
        return replace(self, arguments=arguments, keywords=keywords)

    def given_to(self, model: nn.Module) -> Any:
        """Call the model on it."""
        return model(*self.arguments, **self.keywords)

    @property
    def values(self) -> tuple[Any, ...]:
        """All that the model is called with."""
        return (*self.arguments, *self.keywords.values())


def feeds(inputs: Inputs, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    """Yield the batch that was given, or the default batches that the model may take, one by one.

    Args:
        inputs: what the source says of them.
        setting: what was asked for.
        model: with values of any initialization; it is left as it was.

    Raises:
        ProbeError: arrays are given to a model that learns from more than arrays.
        UsageError: an array is given for an input that there is not, or missing for one.
        InputError: an array cannot be read.
    """
    if setting.inputs:
        yield _given(inputs, setting)
    else:
        yield from _defaults(inputs, setting, model)


def _given(inputs: Inputs, setting: Setting) -> Feed:
    names = [name for name, _ in inputs.shapes] or [_ONLY]
    if inputs.kind in (Kind.DETECTION, Kind.FLOW):
        raise ProbeError(
            "arrays cannot say what the model is to find",
            where=inputs.where,
            hint="leave --input out: its own batch is made for it",
        )
    if sorted(setting.inputs) != sorted(names):
        raise UsageError(
            "not the inputs of the model",
            where="--input",
            expected=" and ".join(f"{name}=FILE.npy" if name else "FILE.npy" for name in names),
            found=", ".join(name or "one without a name" for name in sorted(setting.inputs)),
        )
    arrays = {name: torch.from_numpy(read_array(setting.inputs[name])) for name in names}
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) > 1:
        raise UsageError(
            "batches of different sizes", where="--input", found=", ".join(map(str, sorted(sizes)))
        )
    return _feed([(name, arrays[name]) for name in names])


def _feed(arrays: Sequence[tuple[str, Tensor]], *, named: int = 0, **more: Any) -> Feed:
    """Make a feed of arrays by name; the last `named` of them are keywords."""
    described = {name: _described(array) for name, array in arrays}
    first = len(arrays) - named
    arguments = tuple(array for _, array in arrays[:first])
    return Feed(arguments=arguments, keywords=dict(arrays[first:]), described=described, **more)


def _described(array: Tensor) -> str:
    return f"{str(array.dtype).removeprefix('torch.')} {' x '.join(map(str, array.shape))}"


def _defaults(inputs: Inputs, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    match inputs.kind:
        case Kind.ARRAYS:
            yield from _arrays(inputs, setting, model)
        case Kind.FLOW:
            for pixels in _sizes(inputs, setting, 128):
                batch = setting.batch or _BATCH_OF_CLIPS
                pair = _pictures(2 * batch, (3, pixels, pixels)).split(batch)
                yield _feed([("first", pair[0]), ("second", pair[1])], flow=True)
        case Kind.EXAMPLES:
            yield from _examples(inputs, setting, model)
        case Kind.DETECTION:
            for pixels in _sizes(inputs, setting, 160):
                yield _detection(setting.batch or _BATCH_OF_CLIPS, pixels, model)
        case _:
            for pixels in _sizes(inputs, setting, 96):
                clip = (CLIP_FRAMES,) if inputs.kind is Kind.CLIP else ()
                batch = setting.batch or _batch(inputs, pixels, model)
                yield _feed([(_ONLY, _pictures(batch, (inputs.channels, *clip, pixels, pixels)))])


def _sizes(inputs: Inputs, setting: Setting, first: int) -> list[int]:
    if setting.image_size is not None:
        return [setting.image_size]
    return list(dict.fromkeys([first, *inputs.native]))


def _batch(inputs: Inputs, pixels: int, model: nn.Module) -> int:
    parameters = _count_parameters(model)
    if parameters > _HUGE or inputs.kind is Kind.CLIP:
        return _BATCH_OF_HUGE
    return _BATCH_OF_LARGE if parameters > _LARGE or pixels >= _LARGE_IMAGE else _BATCH


def _count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _pictures(batch: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(pictures(batch, shape))


def _arrays(inputs: Inputs, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    """Yield arrays of a spec's shapes; which of several inputs are tokens is found by trying."""
    batch = setting.batch or (_BATCH_OF_LARGE if _count_parameters(model) > _LARGE else _BATCH)
    shapes = [(name, _resized(shape, setting)) for name, shape in inputs.shapes]
    choices = product(*([True, False] if inputs.tokens else [False] for _ in shapes))
    for choice in choices:
        if inputs.tokens and not any(choice):
            continue
        arrays = [
            (name, torch.zeros((batch, *shape), dtype=torch.int64))
            if ids
            else (name, _pictures(batch, shape))
            for ids, (name, shape) in zip(choice, shapes, strict=True)
        ]
        if any(choice):
            with suppress(Exception):  # if the forward refuses, `find_feed` reports it
                arrays = _with_tokens(model, arrays, _feed(arrays))
        yield _feed(arrays)


def _examples(inputs: Inputs, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    """Yield what the source gives as examples, then guesses, with values in place of shapes."""
    guessed = () if inputs.is_given else islice(guesses(model), _MOST_GUESSES)
    for example in (*inputs.examples, *guessed):
        named = dict(example.kwargs)
        positional = {f"argument {index + 1}": each for index, each in enumerate(example.args)}
        if len(positional) == 1 and not named:
            positional = {_ONLY: example.args[0]}
        given = {**positional, **named}
        if not all(isinstance(each, Tensor) and each.ndim for each in given.values()):
            continue
        arrays = [(name, _valued(each, setting)) for name, each in given.items()]
        feed = _feed(arrays, named=len(named))
        with suppress(Exception):  # if the forward refuses, `find_feed` reports it
            feed = _feed(_with_tokens(model, arrays, feed), named=len(named))
        yield feed


def _valued(example: Tensor, setting: Setting) -> Tensor:
    """Give an example values: pictures for fractions; integers stay what they are."""
    if not example.is_meta and example.dtype.is_floating_point and setting.batch is None:
        return example  # a caller's own
    batch, *shape = example.shape
    if example.dtype.is_floating_point:
        size = _resized(tuple(shape), setting)
        return _pictures(setting.batch or batch, size).to(example.dtype)
    if setting.batch is None or not batch:
        return example
    return example[:1].expand(setting.batch, *shape).clone()


def _resized(shape: tuple[int, ...], setting: Setting) -> tuple[int, ...]:
    if setting.image_size is None or len(shape) < 3:
        return shape
    return (*shape[:-2], setting.image_size, setting.image_size)


def _with_tokens(
    model: nn.Module, arrays: list[tuple[str, Tensor]], feed: Feed
) -> list[tuple[str, Tensor]]:
    """Replace zeros by tokens, as many different ones as the table that looks them up has rows."""
    known: dict[int, int] = {}

    def look(module: nn.Module, arguments: Any) -> None:
        if arguments and isinstance(module, nn.Embedding):
            known.setdefault(arguments[0].data_ptr(), module.num_embeddings)

    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    handles = [table.register_forward_pre_hook(look) for table in tables]
    try:
        with torch.no_grad(), kept_buffers(model):
            feed.given_to(model.train())
    finally:
        for handle in handles:
            handle.remove()
    return [
        (name, _tokens(array, known[array.data_ptr()]))
        if array.data_ptr() in known
        else (name, array)
        for name, array in arrays
    ]


def _tokens(zeros: Tensor, known: int) -> Tensor:
    return torch.from_numpy(tokens(zeros.shape[0], tuple(zeros.shape[1:]), known))


def _detection(batch: int, pixels: int, model: nn.Module) -> Feed:
    """Make images of a detector, two boxes in each, masks and keypoints for those that ask."""
    images = [0.45 + 0.2 * picture for picture in _pictures(batch, (3, pixels, pixels))]
    targets = [target(number, pixels, model) for number in range(batch)]
    described = {"images": f"{batch} of float32 3 x {pixels} x {pixels}"}
    described["targets"] = "2 boxes in each"
    return Feed(arguments=(images, targets), described=described, pixels=pixels)


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Restore all buffers after the block: a trial in train mode moves a norm's averages."""
    saved = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(saved[name])

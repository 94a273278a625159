"""What a model is fed: a batch that its forward takes, and the loss of what it gives."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.errors import ProbeError, UsageError
from zeroinit_cli.probing.arrays import read_array
from zeroinit_cli.probing.demands import Demand, Kind
from zeroinit_cli.probing.losses import flow_loss, loss_of
from zeroinit_cli.probing.patterns import pictures, tokens
from zeroinit_cli.probing.settings import Setting

_BATCH, _BATCH_OF_LARGE, _BATCH_OF_HUGE = 8, 4, 2
_LARGE, _HUGE = 50_000_000, 250_000_000  # parameters
_LARGE_IMAGE = 200  # pixels
_BATCH_OF_CLIPS = 2
_ONLY = ""
_MOST_WORDS = 200  # characters of another's message


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """A batch and how the loss comes of it.

    Attributes:
        arguments: of the model's forward.
        words: shape and type by the input's name.
        flow: what comes out are fields of motion.
        pixels: what a detector is to resize images to.
    """

    arguments: tuple[Any, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    flow: bool = False
    pixels: int | None = None

    def loss(self, model: nn.Module) -> Tensor:
        """Of one forward pass."""
        transform = getattr(model, "transform", None)
        if self.pixels is not None and getattr(transform, "fixed_size", True) is None:
            transform.min_size, transform.max_size = (self.pixels,), self.pixels  # type: ignore[union-attr]  # a detector's
        output: Any = model(*self.arguments)
        return flow_loss(output) if self.flow else loss_of(output, self.arguments)

    def to(self, device: str) -> "Feed":
        """The same on a device."""
        moved = tree_map_only(Tensor, lambda each: each.to(device), self.arguments)
        return Feed(arguments=moved, words=self.words, flow=self.flow, pixels=self.pixels)


def find_feed(demand: Demand, setting: Setting, model: nn.Module) -> Feed:
    """The batch that was given, or the first of the default ones that the model takes.

    Args:
        demand: what its source says of its inputs.
        setting: what was asked for.
        model: with values of any start, to try the batch on; it is left as it was.

    Raises:
        ProbeError: the model takes none of them, or no loss is known for what it gives.
        UsageError: an array is given for an input that there is not, or missing for one.
        InputError: an array cannot be read.
    """
    given = bool(setting.inputs)
    feeds = [_given(demand, setting)] if given else _defaults(demand, setting, model)
    problem: Exception | None = None
    tried = ""
    for feed in feeds:
        try:
            with torch.no_grad(), _kept_buffers(model):
                feed.loss(model.train())
        except Exception as error:  # noqa: BLE001 - any code may run in a forward
            problem, tried = error, _told(feed.words)
            continue
        return feed
    found = "no input that is known" if problem is None else f"{tried}: {_first_line(problem)}"
    raise ProbeError(
        "the model does not run on its input",
        where=str(demand.where),
        found=found,
        hint="another array" if given else _hint(demand),
    )


def _told(words: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {form}" if name else form for name, form in words.items())


def _hint(demand: Demand) -> str:
    if demand.kind in (Kind.ARRAYS, Kind.CLIP):
        return "--input FILE.npy gives it another batch"
    if demand.kind in (Kind.FLOW, Kind.DETECTION):
        return "--image-size gives another size, --batch another number"
    return "--image-size gives another size, --input FILE.npy another batch"


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "no message")
    return f"{type(error).__name__}: {line[:_MOST_WORDS]}{'...' * (len(line) > _MOST_WORDS)}"


def _given(demand: Demand, setting: Setting) -> Feed:
    names = [name for name, _ in demand.inputs] or [_ONLY]
    if demand.kind in (Kind.DETECTION, Kind.FLOW):
        raise ProbeError(
            "arrays cannot say what the model is to find",
            where=demand.where,
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


def _feed(arrays: Sequence[tuple[str, Tensor]], **more: Any) -> Feed:
    words = {name: _form(array) for name, array in arrays}
    return Feed(arguments=tuple(array for _, array in arrays), words=words, **more)


def _form(array: Tensor) -> str:
    return f"{str(array.dtype).removeprefix('torch.')} {' x '.join(map(str, array.shape))}"


def _defaults(demand: Demand, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    match demand.kind:
        case Kind.ARRAYS:
            yield from _arrays(demand, setting, model)
        case Kind.FLOW:
            for pixels in _sizes(demand, setting, 128):
                batch = setting.batch or _BATCH_OF_CLIPS
                pair = _pictures(2 * batch, (3, pixels, pixels)).split(batch)
                yield _feed([("first", pair[0]), ("second", pair[1])], flow=True)
        case Kind.DETECTION:
            for pixels in _sizes(demand, setting, 160):
                yield _detection(setting.batch or _BATCH_OF_CLIPS, pixels, model)
        case _:
            for pixels in _sizes(demand, setting, 96):
                clip = (demand.frames,) if demand.frames else ()
                batch = setting.batch or _batch(demand, pixels, model)
                yield _feed([(_ONLY, _pictures(batch, (3, *clip, pixels, pixels)))])


def _sizes(demand: Demand, setting: Setting, first: int) -> list[int]:
    if setting.image_size is not None:
        return [setting.image_size]
    return list(dict.fromkeys([demand.pixels or first, *(demand.native or ())]))


def _batch(demand: Demand, pixels: int, model: nn.Module) -> int:
    parameters = sum(each.numel() for each in model.parameters())
    if parameters > _HUGE or demand.frames:
        return _BATCH_OF_HUGE
    return _BATCH_OF_LARGE if parameters > _LARGE or pixels >= _LARGE_IMAGE else _BATCH


def _pictures(batch: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(pictures(batch, shape))


def _arrays(demand: Demand, setting: Setting, model: nn.Module) -> Iterator[Feed]:
    """A spec says the shapes; which of several inputs are tokens is found by trying."""
    parameters = sum(each.numel() for each in model.parameters())
    batch = setting.batch or (_BATCH_OF_LARGE if parameters > _LARGE else _BATCH)
    shapes = [(name, _resized(shape, setting)) for name, shape in demand.inputs]
    choices = product(*([True, False] if demand.tokens else [False] for _ in shapes))
    for choice in choices:
        if demand.tokens and not any(choice):
            continue
        arrays = [
            (name, torch.zeros((batch, *shape), dtype=torch.int64))
            if ids
            else (name, _pictures(batch, shape))
            for ids, (name, shape) in zip(choice, shapes, strict=True)
        ]
        if any(choice):
            with suppress(Exception):  # the forward refuses it, which is told where it is tried
                arrays = _with_tokens(model, arrays)
        yield _feed(arrays)


def _resized(shape: tuple[int, ...], setting: Setting) -> tuple[int, ...]:
    if setting.image_size is None or len(shape) < 3:
        return shape
    return (*shape[:-2], setting.image_size, setting.image_size)


def _with_tokens(model: nn.Module, arrays: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Put tokens in place of zeros, as many different ones as the table that is asked knows."""
    known: dict[int, int] = {}

    def look(module: nn.Module, arguments: Any) -> None:
        if arguments and isinstance(module, nn.Embedding):
            known.setdefault(arguments[0].data_ptr(), module.num_embeddings)

    tables = [each for each in model.modules() if isinstance(each, nn.Embedding)]
    handles = [each.register_forward_pre_hook(look) for each in tables]
    try:
        with torch.no_grad(), _kept_buffers(model):
            model.train()(*(array for _, array in arrays))
    finally:
        for handle in handles:
            handle.remove()
    return [
        (name, array)
        if array.is_floating_point()
        else (name, _tokens(array, known.get(array.data_ptr(), 1)))
        for name, array in arrays
    ]


def _tokens(zeros: Tensor, known: int) -> Tensor:
    return torch.from_numpy(tokens(zeros.shape[0], tuple(zeros.shape[1:]), known))


def _detection(batch: int, pixels: int, model: nn.Module) -> Feed:
    """Images of a detector, two boxes in each, with masks and keypoints for those that ask."""
    images = [0.45 + 0.2 * each for each in _pictures(batch, (3, pixels, pixels))]
    keypoints = getattr(getattr(model, "roi_heads", None), "keypoint_predictor", None)
    count = keypoints.kps_score_lowres.out_channels if keypoints is not None else 17
    targets = [_target(number, pixels, count) for number in range(batch)]
    words = {"images": f"{batch} of float32 3 x {pixels} x {pixels}", "targets": "2 boxes in each"}
    return Feed(arguments=(images, targets), words=words, pixels=pixels)


def _target(number: int, pixels: int, keypoints: int) -> dict[str, Tensor]:
    left = pixels * (1 + number % 3) / 10
    boxes = torch.tensor(
        [[left, left, pixels * 0.6, pixels * 0.7], [left, 4.0, pixels * 0.9, pixels * 0.5]]
    )
    masks = torch.zeros((2, pixels, pixels), dtype=torch.uint8)
    for mask, (x, y, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y:bottom, x:right] = 1
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = torch.cat([middle, torch.ones(2, 1)], 1)[:, None].expand(2, keypoints, 3)
    return {
        "boxes": boxes,
        "labels": torch.ones(2, dtype=torch.int64),
        "masks": masks,
        "keypoints": points.contiguous(),
    }


@contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    """A norm's averages move in train mode; a batch that is only tried leaves no trace."""
    saved = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(saved[name])

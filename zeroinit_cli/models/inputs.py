"""What models are fed: what a source says of its inputs, and examples to run a forward on.

An example has shapes alone where it has fractions, and values where it has integers: what a forward
asks of tokens or masks can be answered, what it asks of an image cannot.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.arguments import GivenInput
from zeroinit_cli.errors import UsageError

BATCH = 2  # more than one, which batch norms refuse

CLIP_FRAMES = 16
SIZES = (
    32,
    224,
    64,
    128,
    256,
    8,
    16,
    28,
    299,
    384,
    518,
    3,
    1,
    7,
)  # of images, the usual ones first
_FEWEST_PIXELS_OF_FLOW = 128
_PIXELS_OF_DETECTION = 160


class Kind(Enum):
    """What a forward is called with."""

    ARRAYS = "arrays"
    IMAGES = "images"
    CLIP = "video"
    FLOW = "optical_flow"
    DETECTION = "detection"
    EXAMPLES = "examples"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a source says of the inputs of its model.

    Attributes:
        where: what messages call the model.
        kind: what the inputs are.
        shapes: of arrays, without the batch, by name, in the order of forward.
        tokens: some of them are integers.
        native: sizes of images that the model was made for, tried after the usual one.
        channels: of images.
        examples: of arguments, the likeliest first; guesses from the first layers come after them.
        is_given: a caller gave the only example, which has to be right.
    """

    where: str
    kind: Kind
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    tokens: bool = False
    native: tuple[int, ...] = ()
    channels: int = 3
    examples: "tuple[Example, ...]" = ()
    is_given: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """The arguments of one call of a forward."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write types and shapes: `float32 [2, 8], mask int64 [2, 5]`."""
        named = (f"{name} {_form(value)}" for name, value in self.kwargs.items())
        return ", ".join([*map(_form, self.args), *named]) or "nothing"


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def kind_of_package(package: str) -> Kind:
    """What the models of a package of torchvision take."""
    known = {kind.value: kind for kind in Kind}
    return next((known[part] for part in package.split(".") if part in known), Kind.IMAGES)


def example_given(inputs: Any) -> Example | None:
    """What a caller gave: one tensor, a tuple of arguments or a dict of keywords; None if nothing.

    Raises:
        UsageError: it is something else.
    """
    if inputs is None:
        return None
    if isinstance(inputs, Tensor):
        return Example(args=(inputs,))
    if isinstance(inputs, Mapping):
        return Example(args=(), kwargs=dict(inputs))
    if isinstance(inputs, tuple | list):
        return Example(args=tuple(inputs))
    raise UsageError(
        "no inputs of a forward",
        where="example_inputs",
        expected="a tensor, a tuple of arguments, or a dict of keywords",
        found=type(inputs).__name__,
    )


def given_inputs(where: str, given: Iterable[GivenInput]) -> Inputs:
    """What `--input` gave, as what a source says of its inputs."""
    args, kwargs = [], {}
    for each in given:
        dtype: torch.dtype = getattr(torch, each.dtype)
        if dtype.is_floating_point:
            tensor = torch.empty(each.shape, dtype=dtype, device="meta")
        elif dtype == torch.bool or "mask" in each.name:
            tensor = torch.ones(each.shape, dtype=dtype)  # of a mask, which then hides nothing
        else:
            tensor = torch.zeros(each.shape, dtype=dtype)
        if each.name:
            kwargs[each.name] = tensor
        else:
            args.append(tensor)
    example = Example(args=tuple(args), kwargs=kwargs)
    return Inputs(where=where, kind=Kind.EXAMPLES, examples=(example,), is_given=True)


def examples_of_package(module: nn.Module) -> Iterator[Example]:
    """Examples of what torchvision's models take that take more than an image."""
    package = type(module).__module__
    kind = kind_of_package(package) if package.startswith("torchvision.models.") else Kind.IMAGES
    if kind is not Kind.IMAGES:
        yield from examples_of(Inputs(where="", kind=kind), module)


def examples_of(inputs: Inputs, module: nn.Module) -> Iterator[Example]:
    """Examples of the inputs of a source, the likeliest first.

    Args:
        inputs: what the source says of them.
        module: its model.
    """
    match inputs.kind:
        case Kind.ARRAYS:
            yield from _arrays(inputs)
        case Kind.FLOW:
            yield from _flows()
        case Kind.DETECTION:
            yield from _detections(module)
        case Kind.EXAMPLES:
            yield from inputs.examples
        case _:
            frames = (CLIP_FRAMES,) if inputs.kind is Kind.CLIP else ()
            yield from _pictures(inputs.channels, frames, inputs.native)


def _arrays(inputs: Inputs) -> Iterator[Example]:
    """Which of several inputs are tokens is found by trying."""
    shapes = [(BATCH, *shape) for _, shape in inputs.shapes]
    for choice in product(*([True, False] if inputs.tokens else [False] for _ in shapes)):
        if any(choice) or not inputs.tokens:
            pairs = zip(choice, shapes, strict=True)
            args = (ids_of_shape(shape) if ids else of_shape(shape) for ids, shape in pairs)
            yield Example(args=tuple(args))


def _flows() -> Iterator[Example]:
    """Two images; one update, since the others apply the same layers again."""
    image = of_shape((BATCH, 3, _FEWEST_PIXELS_OF_FLOW, _FEWEST_PIXELS_OF_FLOW))
    yield Example(args=(image, image.clone()), kwargs={"num_flow_updates": 1})


def _detections(module: nn.Module) -> Iterator[Example]:
    pixels = _PIXELS_OF_DETECTION
    images = [of_shape((3, pixels, pixels)) for _ in range(BATCH)]
    yield Example(args=(images, [target(number, pixels, module) for number in range(BATCH)]))


def target(number: int, pixels: int, detector: nn.Module) -> dict[str, Tensor]:
    """Two boxes to find in an image, with masks and keypoints for those that ask.

    Args:
        number: of the image, so that its boxes lie elsewhere than in others.
        pixels: its width and height.
        detector: to be trained on them.
    """
    predictor = getattr(getattr(detector, "roi_heads", None), "keypoint_predictor", None)
    keypoints = predictor.kps_score_lowres.out_channels if predictor is not None else 17
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


def _pictures(
    channels: int, frames: tuple[int, ...], first: Iterable[int] = ()
) -> Iterator[Example]:
    for size in dict.fromkeys([*first, *SIZES]):
        yield Example(args=(of_shape((BATCH, channels, *frames, size, size)),))


def of_shape(shape: tuple[int, ...]) -> Tensor:
    """Make fractions without values."""
    return torch.empty(shape, device="meta")


def ids_of_shape(shape: tuple[int, ...]) -> Tensor:
    """Make indices, all 0, which every table has."""
    return torch.zeros(shape, dtype=torch.int64)

"""What is trained: nets and tasks, and from which starts each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from torch import nn

from evidence.data import Data, Split, digits, text
from evidence.nets import GPT, image_net
from evidence.training import Recipe

CORE = ("torch", "sylvester", "paley", "odd twisted")
"""The starts that every cell is trained from: torch's own, and ZerO's by three families."""

_MAIN = (*CORE, "random signs")
_MORE = (*_MAIN, "odd sylvester")
_SHIFTED = "odd twisted, shifted depthwise"
_PARTS = ("odd twisted, own identities", "odd twisted, own depthwise", _SHIFTED)
_STEMS = ("odd twisted, patch stem", "paley, patch stem")
_LONGER = Recipe(steps=100)
_SGD = Recipe(steps=60)
_ADAMW = Recipe(optimizer="adamw", steps=60)
_SGD_GRID = (0.03, 0.1, 0.3)
_DEEP_GRID = (0.003, 0.01, 0.03)
_ADAMW_GRID = (1e-3, 3e-3, 1e-2)
_WINDOWS = 150  # of text that are enough for validation, and for testing


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A net on a task.

    Attributes:
        name: for tables.
        build: makes the net.
        channels: of the images; 0 for text.
        recipe: how it is trained, but for the learning rate.
        grid: the rates that tuning begins with.
        residual: how ZerO ends branches.
        starts: which.
        second_look: whether the rate below the tuned one is trained under all seeds as well, and
            the one of the smaller mean validation loss reported: where a rate is good under one
            seed and not under the next.
    """

    name: str
    build: Callable[[], nn.Module]
    channels: int
    recipe: Recipe
    grid: tuple[float, ...]
    residual: str = "end"
    starts: Sequence[str] = _MAIN
    second_look: bool = False

    @property
    def data(self) -> Data:
        """The task."""
        return _data(self.channels)


@cache
def _data(channels: int) -> Data:
    return digits(channels) if channels else _less(text())


def _less(data: Data) -> Data:
    """The same, every so many windows of validation and test left out."""
    fewer = []
    for split in (data.validation, data.test):
        kept = slice(None, None, max(1, len(split) // _WINDOWS))
        fewer.append(Split(inputs=split.inputs[kept], targets=split.targets[kept]))
    return replace(data, validation=fewer[0], test=fewer[1])


def _images(name: str, net: str, channels: int, **more: object) -> Cell:
    settings: dict[str, object] = {"recipe": _SGD, "grid": _SGD_GRID} | more
    build = image_net(net, channels)
    return Cell(name=f"{name}, {channels} ch", build=build, channels=channels, **settings)  # type: ignore[arg-type]  # the fields of Cell


_adamw = partial(_images, recipe=_ADAMW, grid=_ADAMW_GRID)
_deep = partial(_images, recipe=_LONGER, grid=_DEEP_GRID, second_look=True)

FIRST = (
    _images("VGG-BN", "vgg_bn", 3, recipe=_LONGER, starts=_MORE, second_look=True),
    _images("VGG-BN", "vgg_bn", 1, recipe=_LONGER, starts=(*_MORE, *_STEMS)),
    _images("MobileNetV2", "mobilenet_v2", 3, starts=(*_MORE, *_PARTS)),
    _images("ResNet-20 end", "resnet20", 3),
    _images("MLP", "mlp", 1, recipe=_LONGER),
    _images("MobileNetV1", "mobilenet_v1", 1, starts=(*_MAIN, _SHIFTED)),
    _adamw("ConvNeXt", "convnext", 3, starts=CORE),
    _deep("plain, no norm", "plain20", 3, starts=CORE),
    _deep("residual, no norm", "residual20", 3, starts=CORE),
    _images("ResNet-20 none", "resnet20", 3, residual="none"),
    _adamw("ViT", "vit", 1, recipe=replace(_ADAMW, steps=100), starts=CORE),
    Cell(
        name="GPT",
        build=GPT,
        channels=0,
        recipe=replace(_ADAMW, steps=30, batch=8),
        grid=_ADAMW_GRID,
        starts=CORE,
    ),
)
LATER = (
    _images("DenseNet", "densenet", 3),
    _images("MobileNetV2", "mobilenet_v2", 1, starts=(*_MAIN, _SHIFTED)),
    _images("MobileNetV1", "mobilenet_v1", 3),
    _images("ResNet-20 layer", "resnet20", 3, residual="layer"),
    _images("ResNet-20 end", "resnet20", 1),
    _images("ResNet-20 none", "resnet20", 1, residual="none"),
    _deep("plain, no norm", "plain20", 1),
    _deep("residual, no norm", "residual20", 1),
    _images("DenseNet", "densenet", 1),
    _adamw("ConvNeXt", "convnext", 1),
    _images("MLP", "mlp", 3, recipe=_LONGER),
)

CELLS = (*FIRST, *LATER)
"""All that is trained, the most telling first."""

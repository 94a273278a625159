"""The models of the study at full width: torchvision's own, a ViT-Tiny, GPTs of 6 and 32 layers.

With them small nets of the kinds that no other experiment has.

VGG and AlexNet have a small head in place of their three large layers: these would hold nearly all
the weights, and at 32 pixels read one position.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn

from evidence.nets import GPT, LSTM, Bert, ExpertGPT, ResNet, ResNeXt, Swin, vgg_bn
from evidence.nets.chains import even
from zeroinit_cli.nets.torchvision import import_torchvision

CONTEXT = 64  # bytes that the GPT sees at once
_RATES = (0.1, 0.03, 0.01)
_LOWER_RATES = (0.03, 0.01, 0.003)  # of nets without norms, which no start brings far at 0.1
_ADAM_RATES = (3e-3, 1e-3, 3e-4)


@dataclass(frozen=True, kw_only=True, slots=True)
class WideNet:
    """A model and how it is trained.

    Attributes:
        build: classes -> the model, as its constructor leaves it.
        data: what it reads, of `full_width.DATA`, what matters most first.
        rates: learning rates that every start gets.
        adam: AdamW in place of SGD with momentum.
    """

    build: Callable[[int], nn.Module]
    data: tuple[str, ...]
    rates: tuple[float, ...] = _RATES
    adam: bool = False

    @property
    def text(self) -> bool:
        """Whether it reads text."""
        return self.data[0].endswith("text")


def _torchvision(name: str, classes: int) -> nn.Module:
    model: nn.Module = import_torchvision().models.get_model(name, num_classes=classes)
    return model


def _small_head(name: str, width: int, classes: int) -> nn.Module:
    whole: Any = _torchvision(name, classes)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(whole.features, pool, nn.Flatten(), nn.Linear(width, classes))


def _vit_tiny(classes: int) -> nn.Module:
    model: nn.Module = import_torchvision().models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=12,
        num_heads=3,
        hidden_dim=192,
        mlp_dim=768,
        num_classes=classes,
    )
    return model


def _gpt(classes: int) -> nn.Module:
    return GPT(classes, CONTEXT, dim=128, layers=6)


_IMAGES = ("photographs", "digits", "mnist")
_LARGE = (*_IMAGES, "photographs at 64")
_SMALL_IMAGES = ("photographs at 16", "digits at 16")


def _known(name: str, data: tuple[str, ...] = _IMAGES) -> WideNet:
    return WideNet(build=partial(_torchvision, name), data=data)


def _reader(build: Callable[[int], nn.Module], data: str = "text") -> WideNet:
    return WideNet(build=build, rates=_ADAM_RATES, adam=True, data=(data,))


def _small(build: Callable[[int, int], nn.Module]) -> WideNet:
    return WideNet(build=partial(build, 3), data=_SMALL_IMAGES)


NETS: Mapping[str, WideNet] = MappingProxyType(  # the cheapest of each kind first
    {
        "mobilenet_v3_small": _known("mobilenet_v3_small", _LARGE),
        "shufflenet_v2_x1_0": _known("shufflenet_v2_x1_0", _LARGE),
        "resnet18": _known("resnet18", _LARGE),
        "mobilenet_v2": _known("mobilenet_v2", _LARGE),
        "regnet_y_400mf": _known("regnet_y_400mf"),
        "gpt": _reader(_gpt),
        "mnasnet1_0": _known("mnasnet1_0"),
        "vgg11_bn": WideNet(build=partial(_small_head, "vgg11_bn", 512), data=_IMAGES),
        "vgg11": WideNet(
            build=partial(_small_head, "vgg11", 512), data=_IMAGES[:1], rates=_LOWER_RATES
        ),
        "alexnet": WideNet(
            build=partial(_small_head, "alexnet", 256), data=_LARGE[-1:], rates=_LOWER_RATES
        ),
        "squeezenet1_1": WideNet(
            build=partial(_torchvision, "squeezenet1_1"), data=_LARGE[-1:], rates=_LOWER_RATES
        ),
        "vit_tiny": WideNet(build=_vit_tiny, rates=_ADAM_RATES, adam=True, data=_IMAGES),
        "efficientnet_b0": _known("efficientnet_b0"),
        "resnet50": _known("resnet50"),
        "convnext_tiny": WideNet(
            build=partial(_torchvision, "convnext_tiny"),
            rates=_ADAM_RATES,
            adam=True,
            data=_IMAGES,
        ),
        "densenet121": _known("densenet121"),
        "GPT of 32 layers": _reader(lambda classes: GPT(classes, CONTEXT, dim=64, layers=32)),
        "small BERT": _reader(Bert, "masked text"),
        "small GPT of experts": _reader(ExpertGPT),
        "small LSTM": _reader(LSTM),
        "small Swin": WideNet(
            build=partial(Swin, 3), rates=(*_ADAM_RATES, 1e-2), adam=True, data=_SMALL_IMAGES
        ),
        "small ResNeXt, stem 7 x 7": WideNet(
            build=partial(ResNeXt, 3), rates=(*_RATES, 0.3), data=_SMALL_IMAGES
        ),
        "small ResNet of 54 blocks": WideNet(
            build=partial(ResNet, 3, blocks=18), data=_SMALL_IMAGES[:1]
        ),
        "small VGG, stem 64 x 27": _small(partial(vgg_bn, width=64)),
        "small chain of even kernels": _small(even),
    }
)

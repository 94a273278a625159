"""The models of the study at full width: torchvision's own, a ViT-Tiny, a GPT of six layers.

VGG has a small head in place of its three large layers: at 32 pixels these would hold nearly all
the weights, and read one position.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn

from evidence.nets import GPT
from zeroinit_cli.nets.torchvision import import_torchvision

CONTEXT = 64  # bytes that the GPT sees at once
_RATES = (0.1, 0.03, 0.01)
_ADAM_RATES = (3e-3, 1e-3, 3e-4)


@dataclass(frozen=True, kw_only=True, slots=True)
class WideNet:
    """A model and how it is trained.

    Attributes:
        build: classes -> the model, as its constructor leaves it.
        rates: learning rates that every start gets.
        adam: AdamW in place of SGD with momentum.
        text: reads text in place of images.
    """

    build: Callable[[int], nn.Module]
    rates: tuple[float, ...] = _RATES
    adam: bool = False
    text: bool = False


def _torchvision(name: str, classes: int) -> nn.Module:
    model: nn.Module = import_torchvision().models.get_model(name, num_classes=classes)
    return model


def _vgg(classes: int) -> nn.Module:
    whole: Any = _torchvision("vgg11_bn", classes)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(whole.features, pool, nn.Flatten(), nn.Linear(512, classes))


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


NETS: Mapping[str, WideNet] = MappingProxyType(  # the cheapest first
    {
        "mobilenet_v3_small": WideNet(build=partial(_torchvision, "mobilenet_v3_small")),
        "shufflenet_v2_x1_0": WideNet(build=partial(_torchvision, "shufflenet_v2_x1_0")),
        "resnet18": WideNet(build=partial(_torchvision, "resnet18")),
        "mobilenet_v2": WideNet(build=partial(_torchvision, "mobilenet_v2")),
        "mnasnet1_0": WideNet(build=partial(_torchvision, "mnasnet1_0")),
        "regnet_y_400mf": WideNet(build=partial(_torchvision, "regnet_y_400mf")),
        "gpt": WideNet(build=_gpt, rates=_ADAM_RATES, adam=True, text=True),
        "vgg11_bn": WideNet(build=_vgg),
        "efficientnet_b0": WideNet(build=partial(_torchvision, "efficientnet_b0")),
        "resnet50": WideNet(build=partial(_torchvision, "resnet50")),
        "vit_tiny": WideNet(build=_vit_tiny, rates=_ADAM_RATES, adam=True),
        "convnext_tiny": WideNet(
            build=partial(_torchvision, "convnext_tiny"), rates=_ADAM_RATES, adam=True
        ),
        "densenet121": WideNet(build=partial(_torchvision, "densenet121")),
    }
)

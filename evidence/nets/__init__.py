"""Small nets of well-known kinds, as plain torch modules, each fast on one core.

`image_net` builds those for images by name, with one or three channels; `GPT`, `Bert`, `ExpertGPT`
and `LSTM` read text.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from evidence.nets.bottlenecks import ResNeXt
from evidence.nets.chains import Chain, even, mobilenet_v1, vgg_bn
from evidence.nets.convnext import ConvNeXt
from evidence.nets.dense import DenseNet
from evidence.nets.mlp import MLP
from evidence.nets.mobile import MobileNetV2
from evidence.nets.residual import Deep, ResNet
from evidence.nets.swin import Swin
from evidence.nets.texts import LSTM, Bert, ExpertGPT
from evidence.nets.transformers import GPT, ViT

__all__ = [
    "GPT",
    "IMAGE_NETS",
    "LSTM",
    "MLP",
    "Bert",
    "Chain",
    "ConvNeXt",
    "Deep",
    "DenseNet",
    "ExpertGPT",
    "MobileNetV2",
    "ResNeXt",
    "ResNet",
    "Swin",
    "ViT",
    "image_net",
    "mobilenet_v1",
    "vgg_bn",
]


def _mlp(channels: int, classes: int) -> MLP:
    return MLP((64 * channels, 128, 128, classes), bias=True)


# Every one takes (channels, classes) and images of 8 x 8; all but MLP and ViT those of 16 x 16 too.
IMAGE_NETS: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "convnext": ConvNeXt,
        "densenet": DenseNet,
        "even": even,
        "mlp": _mlp,
        "mobilenet_v1": mobilenet_v1,
        "mobilenet_v2": MobileNetV2,
        "plain20": lambda channels, classes: Deep(20, channels, classes, residual=False),
        "residual20": lambda channels, classes: Deep(20, channels, classes),
        "resnet20": ResNet,
        "resnext": ResNeXt,
        "swin": Swin,
        "vgg_bn": vgg_bn,
        "vit": ViT,
    }
)


def image_net(name: str, channels: int = 1, classes: int = 10) -> Callable[[], nn.Module]:
    """A function that builds the net, anew at each call, as zeroinit's `build` takes it.

    Args:
        name: of `IMAGE_NETS`.
        channels: of its images.
        classes: how many answers there are.
    """
    return partial(IMAGE_NETS[name], channels, classes)

"""The nets whose training is compared with what probe says: some set its thresholds, some test it.

No net of the second set is of the first: other widths, depths, sizes, stems, norms, or kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from evidence.data import Data, digits, text
from evidence.nets import GPT, MLP, Deep, DenseNet, MobileNetV2, ResNet, ViT, image_net
from evidence.nets import mobilenet_v1 as mobilenet
from evidence.nets import vgg_bn as vgg
from zeroinit_cli.sources import parse_source
from zeroinit_cli.spec.check import parse_spec

Factory = Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class Net:
    """A net, what it reads, and how long it is trained.

    Attributes:
        name: what tables call it.
        factory: builds it.
        data: its task.
        steps: of training.
        batch: of one step.
        optimizer: `sgd`, or `adamw`, which transformers are trained with.
    """

    name: str
    factory: Factory
    data: Callable[[], Data]
    steps: int = 80
    batch: int = 32
    optimizer: str = "sgd"


def calibration() -> list[Net]:
    """Those by which the thresholds were chosen: the small nets of the other experiments."""
    kinds = {
        "vgg_bn": (1, 3),
        "mobilenet_v1": (1, 3),
        "mobilenet_v2": (1, 3),
        "resnet20": (1, 3),
        "densenet": (3,),
        "plain20": (1,),
        "residual20": (1,),
        "mlp": (1,),
        "vit": (1,),
        "convnext": (3,),
    }
    nets = [
        Net(
            name=f"{kind}, {channels} channel{'s' * (channels > 1)}",
            factory=image_net(kind, channels),
            data=partial(digits, channels),
            optimizer="adamw" if kind == "vit" else "sgd",
        )
        for kind, each in kinds.items()
        for channels in each
    ]
    nets.append(Net(name="gpt", factory=GPT, data=text, batch=16, optimizer="adamw"))
    nets.append(_deep(60, residual=True))
    nets.append(_deep(60, residual=False))
    nets.append(_spec("perceptron of 10 layers", _mlp(10, "none"), 1))
    nets.append(_spec("chain of 4 convolutions, no norm", _cnn([[16, 16], [32, 32]], "none"), 1))
    nets.append(
        _spec("chain of 4 convolutions, norm", _cnn([[16, 16], [32, 32]], "BatchNorm2d"), 3)
    )
    nets.append(_torchvision("squeezenet1_1", steps=40, pixels=32))
    return nets


def held_out() -> list[Net]:
    """Those that no threshold was chosen by."""
    return [
        _net("VGG-BN-like, width 24", partial(vgg, 3, 10, width=24), 3),
        _net("VGG-BN-like, width 8, one channel", partial(vgg, 1, 10, width=8), 1),
        _net("MobileNetV1-like, width 12", partial(mobilenet, 3, 10, width=12), 3),
        _net("MobileNetV2-like, width 12", partial(MobileNetV2, 3, 10, width=12), 3),
        _net("DenseNet-like, growth 12", partial(DenseNet, 3, 10, growth=12, layers=2), 3),
        _net("ResNet-14, width 12", partial(ResNet, 3, 10, blocks=2, width=12), 3),
        _net("ResNet-8, one channel", partial(ResNet, 1, 10, blocks=1, width=20), 1),
        _net("residual without norm, depth 30", partial(Deep, 30, 1, 10, width=12), 1),
        _net("plain without norm, depth 12", partial(Deep, 12, 1, 10, width=24, residual=False), 1),
        _net("perceptron 64-96-192-10", partial(MLP, (64, 96, 192, 10), bias=True), 1),
        Net(
            name="ViT, patch 4, 6 blocks",
            factory=partial(ViT, 1, 10, patch=4, dim=32, layers=6),
            data=partial(digits, 1),
            optimizer="adamw",
        ),
        Net(
            name="GPT, 6 blocks of width 48",
            factory=partial(GPT, 128, 32, dim=48, layers=6),
            data=partial(text, 32),
            batch=16,
            optimizer="adamw",
        ),
        _spec("LeNet-like, no norm", _cnn([[6], [16]], "none", [120, 84]), 1),
        _spec("perceptron of 6 layers, BatchNorm1d", _mlp(6, "BatchNorm1d"), 1),
        _spec("chain of 8 convolutions, no norm", _cnn([[24] * 4, [48] * 4], "none"), 3),
        _spec("ResNet-14 with GroupNorm", _RESNET.format(norm="GroupNorm, norm_groups: 4"), 3),
        _spec("Inception-like: branches joined", _BRANCHES, 3),
        _torchvision("resnet18", steps=40),
        _torchvision("mobilenet_v2", steps=40),
        _torchvision("shufflenet_v2_x0_5", steps=40),
    ]


def _net(name: str, factory: Factory, channels: int) -> Net:
    return Net(name=name, factory=factory, data=partial(digits, channels))


def _deep(depth: int, *, residual: bool) -> Net:
    kind = "residual" if residual else "plain"
    return _net(f"{kind}{depth}, 1 channel", partial(Deep, depth, 1, 10, residual=residual), 1)


def _spec(name: str, architecture: str, channels: int) -> Net:
    document = f"zeroinit: 1\ninput: [{channels}, 8, 8]\n{architecture}\n"

    def factory() -> nn.Module:
        from zeroinit_cli.nets import build_blueprint

        return build_blueprint(parse_spec(document.encode(), f"{name}.yaml").inferred.blueprint)

    return _net(name, factory, channels)


def _mlp(layers: int, norm: str) -> str:
    hidden = ", ".join(["80"] * (layers - 1))
    return f"model: {{mlp: {{hidden_features: [{hidden}], out_features: 10, norm: {norm}}}}}"


def _cnn(stages: list[list[int]], norm: str, hidden: list[int] | None = None) -> str:
    fields = f"stages: {stages}, num_classes: 10, norm: {norm}, hidden_features: {hidden or []}"
    return f"model: {{cnn: {{{fields}}}}}"


_RESNET = (
    "model: {{resnet: {{block: BasicBlock, layers: [2, 2, 2], num_classes: 10, stem: cifar, "
    "width: 16, norm: {norm}}}}}"
)
_BRANCHES = """layers:
  - Conv2d: {out_channels: 16, kernel_size: 3, padding: same}
  - ReLU
  - parallel:
      join: cat
      branches:
        one: [Conv2d: {out_channels: 16, kernel_size: 1}, BatchNorm2d, ReLU]
        three: [Conv2d: {out_channels: 24, kernel_size: 3, padding: same}, BatchNorm2d, ReLU]
  - parallel:
      join: cat
      branches:
        one: [Conv2d: {out_channels: 16, kernel_size: 1}, BatchNorm2d, ReLU]
        three: [Conv2d: {out_channels: 48, kernel_size: 3, padding: same}, BatchNorm2d, ReLU]
  - AdaptiveAvgPool2d: 1
  - Flatten
  - Linear: 10"""


def _torchvision(model: str, *, steps: int, pixels: int = 16) -> Net:
    factory = parse_source(model, ["num_classes=10"]).factory()
    data: Any = partial(digits, 3, 16) if pixels == 16 else partial(_enlarged, pixels)
    return Net(name=f"torchvision's {model}", factory=factory, data=data, steps=steps)


def _enlarged(pixels: int) -> Data:
    """Digits of three channels, enlarged once more: some nets halve their input often."""
    from dataclasses import replace

    from torch.nn.functional import interpolate

    data = digits(3, 16)
    train, validation, test = (
        replace(each, inputs=interpolate(each.inputs, (pixels, pixels), mode="bilinear"))
        for each in (data.train, data.validation, data.test)
    )
    return replace(data, train=train, validation=validation, test=test)

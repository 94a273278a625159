"""Blueprints -> modules, and the modules that combine layers: skips, branches, several inputs."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.nets.encoder import Encoder
from zeroinit_cli.nets.gpt import GPT
from zeroinit_cli.nets.resnet import ResNet
from zeroinit_cli.nets.torchvision import vision_transformer
from zeroinit_cli.spec.blueprint import (
    Blueprint,
    ChainBlueprint,
    FamilyBlueprint,
    LayerBlueprint,
    ParallelBlueprint,
    ResidualBlueprint,
)


class Residual(nn.Module):
    """y = body(x) + shortcut(x).

    Args:
        body: the branch.
        shortcut: what x goes through; None for x itself.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Shapes are the layers' own."""
        y: Tensor = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return y


class Parallel(nn.Module):
    """Branches on one input, joined.

    Args:
        branches: by name, in the order in which they are joined.
        join: `cat`, `add` or `mul`.
        dim: for `cat`, along which dimension.
    """

    def __init__(self, branches: "OrderedDict[str, nn.Module]", *, join: str, dim: int):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.join = join
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Shapes are the branches' own."""
        return self._joined([branch(x) for branch in self.children()])

    def _joined(self, values: Sequence[Tensor]) -> Tensor:
        if self.join == "cat":
            return torch.cat(list(values), dim=self.dim)
        if self.join == "add":
            return reduce(torch.add, values)
        return reduce(torch.mul, values)


class Towers(Parallel):
    """Branches, each on an input of its own, joined. Two to four of them."""

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        third: Tensor | None = None,
        fourth: Tensor | None = None,
    ) -> Tensor:
        """Inputs in the order of the branches."""
        inputs = (first, second, third, fourth)
        # as many inputs as branches: the others are None
        return self._joined([branch(x) for branch, x in zip(self.children(), inputs, strict=False)])


class SeveralInputs(nn.Sequential):
    """Towers, and layers behind them."""

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        third: Tensor | None = None,
        fourth: Tensor | None = None,
    ) -> Tensor:
        """Inputs in the order of the towers."""
        towers, *rest = self
        x: Tensor = towers(first, second, third, fourth)
        for layer in rest:
            x = layer(x)
        return x


def build_blueprint(blueprint: Blueprint) -> nn.Module:
    """Build the module of a blueprint, with torch's own random weights."""
    match blueprint:
        case LayerBlueprint(kind=kind, arguments=arguments):
            layer: nn.Module = getattr(nn, kind)(**arguments)
            return layer
        case ChainBlueprint():
            return _chain(blueprint)
        case ResidualBlueprint(body=body, shortcut=shortcut):
            return Residual(_chain(body), None if shortcut is None else _chain(shortcut))
        case ParallelBlueprint():
            return _parallel(blueprint)
        case FamilyBlueprint(family=family, fields=fields, input=shape):
            return _family(family, fields, shape)
    raise TypeError(blueprint)


def _chain(blueprint: ChainBlueprint) -> nn.Module:
    """Build a Sequential; nn.Identity for no parts."""
    if not blueprint.parts:
        return nn.Identity()
    parts = OrderedDict((name, build_blueprint(part)) for name, part in blueprint.parts)
    first = blueprint.parts[0][1]
    if isinstance(first, ParallelBlueprint) and first.apart:
        return SeveralInputs(parts)
    return nn.Sequential(parts)


def _parallel(blueprint: ParallelBlueprint) -> nn.Module:
    kind = Towers if blueprint.apart else Parallel
    branches = OrderedDict((name, _chain(branch)) for name, branch in blueprint.branches)
    return kind(branches, join=blueprint.join, dim=blueprint.dim)


def _family(family: str, fields: Mapping[str, Any], shape: tuple[int, ...]) -> nn.Module:
    match family:
        case "resnet":
            return ResNet(in_channels=shape[0], **fields)
        case "vit":
            return vision_transformer(in_channels=shape[0], image_size=shape[1], **fields)
        case "gpt":
            return GPT(**fields)
        case "encoder":
            return Encoder(**fields)
    raise TypeError(family)

"""A blueprint -> the module that it describes."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from zeroinit_cli.nets.encoder import Encoder
from zeroinit_cli.nets.gpt import GPT
from zeroinit_cli.nets.joining import Parallel, Residual, SeveralInputs, Towers
from zeroinit_cli.nets.resnet import ResNet
from zeroinit_cli.nets.vit import vision_transformer
from zeroinit_cli.spec.blueprint import (
    Blueprint,
    ChainBlueprint,
    FamilyBlueprint,
    LayerBlueprint,
    ParallelBlueprint,
    ResidualBlueprint,
)


def build_blueprint(blueprint: Blueprint) -> nn.Module:
    """The module of a blueprint, with torch's own random weights."""
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
    """A Sequential; nn.Identity for nothing."""
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

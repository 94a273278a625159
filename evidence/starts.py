"""The two starts of a model that are compared: ZerO's, from a checkpoint, and torch's own."""

import warnings
from collections import OrderedDict
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from zeroinit_cli.atomic import guarded
from zeroinit_cli.models import plan_source
from zeroinit_cli.models.building import build
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.registry import source_factory
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import parse_source
from zeroinit_cli.store.write import write_checkpoint

_CHANCE = ("StochasticDepth",)  # torchvision's, by name: importing it takes care
SEED = 0  # of torch's own start; ZerO's has none


def classification_models() -> list[str]:
    """Torchvision's classification models, sorted, without the quantized ones."""
    torchvision = import_torchvision()
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return sorted(names)


def plan_of(name: str, options: Options | None = None) -> Plan:
    """The plan of a model, under the default options if none are given."""
    return plan_source(parse_source(name), options or Options())


def zero_start(name: str, plan: Plan, folder: Path) -> nn.Module:
    """The model with the plan's values, by way of the file that `zeroinit generate` writes.

    Args:
        name: of the model, as SOURCE takes it.
        plan: its plan.
        folder: where the file may lie for a moment.
    """
    model = build(source_factory(parse_source(name)), SEED)
    path = folder / f"{name}.safetensors"
    with guarded(path):
        write_checkpoint(plan, path)
    # A copy, because the steps write into what is loaded, and the file goes.
    tensors = {key: each.clone() for key, each in safetensors.torch.load_file(path).items()}
    path.unlink()
    model.load_state_dict(_versioned(tensors, model), strict=True, assign=True)
    return without_chance(model)


def own_start(name: str) -> nn.Module:
    """The model as its constructor leaves it: Kaiming's values in most of torchvision."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(SEED)
        warnings.simplefilter("ignore")  # of builders, about their defaults
        return without_chance(source_factory(parse_source(name))())


def without_chance(model: nn.Module) -> nn.Module:
    """Dropout and stochastic depth set to 0, in place: no gradient is then 0 by chance."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) or type_name(module) in _CHANCE:
            module.p = 0.0  # type: ignore[assignment]  # both classes have a float there
    return model


def _versioned(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """MNASNet alone refuses a state dict without its version, which no safetensors file holds."""
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # torch's own
    return state

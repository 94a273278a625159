"""Every model that is measured, by kind and name: how it is built, and what it is fed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.outside import other_models, timm_models, transformers_models
from zeroinit_cli.nets.torchvision import import_torchvision

KINDS = ("transformers", "other", "timm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One model.

    Attributes:
        kind: of `KINDS`: where it comes from.
        name: in the table of its kind.
        make: builds it, with its own random start.
        inputs: what its forward takes: a tensor, a tuple of arguments or a dict of keywords.
    """

    kind: str
    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], Any]

    @property
    def key(self) -> str:
        """What it is called among all: `timm:resnet18`."""
        return f"{self.kind}:{self.name}"

    def build(self) -> nn.Module:
        """Build it; other packages import torchvision, which may need help to be."""
        import_torchvision()
        return self.make()


def case(key: str) -> Case:
    """The case of a key, such as `timm:resnet18`; of timm any model, listed or not.

    Raises:
        KeyError: no table has it.
    """
    kind, _, name = key.partition(":")
    if kind == "timm":
        module: Any = timm_models
    else:
        module = {"transformers": transformers_models, "other": other_models}[kind]
        if name not in module.ROWS:
            raise KeyError(key)
    make, inputs = partial(module.build, name), partial(module.inputs, name)
    return Case(kind=kind, name=name, make=make, inputs=inputs)


def keys() -> list[str]:
    """All of them, the quick ones first."""
    names: dict[str, Iterable[str]] = {
        "transformers": transformers_models.ROWS,
        "other": other_models.ROWS,
        "timm": timm_models.NAMES,
    }
    return [f"{kind}:{name}" for kind in KINDS for name in names[kind]]


def called(module: nn.Module, inputs: Any) -> Any:
    """What a module gives for inputs of any of the three forms."""
    if isinstance(inputs, torch.Tensor):
        return module(inputs)
    if isinstance(inputs, tuple):
        return module(*inputs)
    return module(**inputs)

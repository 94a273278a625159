"""Forwards given as functions, and what of them could not be traced."""

from collections.abc import Callable
from typing import Any

from torch import nn

from tests.models.closings import (
    Written,
)
from zeroinit_cli.models.structure import find_structure


def block(forward: Callable[..., Any], **modules: Any) -> Written:
    return Written(forward, **{"f": nn.Linear(8, 8), "g": nn.Linear(8, 8), **modules})


def untraced(module: nn.Module) -> list[str]:
    return [each.path for each in find_structure(module, "end").untraced]

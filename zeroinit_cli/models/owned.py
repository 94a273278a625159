"""A parameter or buffer and where it belongs, and what is decided of it."""

from dataclasses import dataclass

import torch
from torch import nn

from zeroinit_cli.plans.rules import Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruled:
    """A tensor whose rule does not depend on what its constructor set."""

    rule: Rule
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Constructed:
    """A tensor that keeps what its constructor set, if that is no random draw.

    Attributes:
        if_random: what it gets if it is one; None where no rule is known.
        zero_is_meant: 0 everywhere is kept, too; else it counts as a draw.
    """

    if_random: Ruled | None = None
    zero_is_meant: bool = True


Kind = Ruled | Constructed


@dataclass(frozen=True, kw_only=True, slots=True)
class Owned:
    """A parameter or buffer and where it belongs.

    Attributes:
        root: the whole module.
        path: of the owner in the whole, empty for the whole.
        owner: the module that registered it.
        attribute: its name there.
        tensor: itself; only its shape is looked at.
    """

    root: nn.Module
    path: str
    owner: nn.Module
    attribute: str
    tensor: torch.Tensor

    @property
    def name(self) -> str:
        """The tensor's name in the whole."""
        return f"{self.path}.{self.attribute}".removeprefix(".")

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.shape)

"""What closes the branches of a module made for a test, and whether it does on real input."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.structure import Structure, find_structure


def closed(structure: Structure) -> set[str]:
    """What is 0, or, of a layer scale, small: `fc2.weight`, `attn: v`, `gamma: scale`."""
    words = {"attention": ": v", "layer scale": ": scale"}
    return {
        f"{branch.ending.tensor}{words.get(branch.ending.kind, '')}"
        for branch in structure.branches
        if branch.ending is not None
    }


def left_open(structure: Structure) -> list[str]:
    """Why branches are left open, each once."""
    return sorted({branch.obstacle for branch in structure.branches if branch.obstacle})


def ends(module: nn.Module, residual: str = "end", inputs: Any = None) -> set[str]:
    """What closes the branches of a module in which none is left open."""
    structure = find_structure(module, residual, examples(inputs))
    assert left_open(structure) == []
    assert structure.untraced == ()
    return closed(structure)


def obstacles(module: nn.Module, residual: str = "end") -> list[str]:
    """Why branches are left open in a module in which none is closed."""
    structure = find_structure(module, residual)
    assert closed(structure) == set()
    return left_open(structure)


def classes(module: nn.Module, inputs: Any = None) -> list[str]:
    """The class of every add, in order, by its name in the code."""
    structure = find_structure(module, "end", examples(inputs))
    return [add.kind.name for add in structure.adds]


def examples(inputs: Any) -> list[Example] | None:
    """A tuple of arguments as the only example; None if they are to be guessed."""
    return None if inputs is None else [Example(args=inputs)]


def begins_as_identity(module: nn.Module, *inputs: torch.Tensor) -> bool:
    """Whether a module gives back its first input, bit by bit, with every branch closed.

    The module is run as it is, on real input, with all other weights random: no graph is asked.
    """
    structure = find_structure(module, "end", examples(inputs))
    torch.manual_seed(0)
    zeros = {*structure.end_scales, *structure.zero_weights, *structure.damped_weights}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1 or name.endswith("weight"):
                parameter.normal_()
            if name in zeros or "bias" in name:
                parameter.zero_()
        for name in structure.closed_attention:
            rows = structure.projections[name].rows["v"]
            module.get_parameter(name)[slice(None) if rows is None else sorted(rows)] = 0
    result = module.train()(*inputs)
    return torch.equal(result[0] if isinstance(result, tuple) else result, inputs[0])


def images(channels: int = 8, size: int = 8) -> torch.Tensor:
    return torch.randn(2, channels, size, size)


def tokens(width: int = 8, length: int = 5) -> torch.Tensor:
    return torch.randn(2, length, width)


class Around(nn.Module):
    """`x + branch(x)`, the plainest block."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Any) -> Any:
        return x + self.branch(x)


class Written(nn.Module):
    """A forward given as a function of the module and its input, over named submodules."""

    def __init__(self, forward: Callable[..., Any], **modules: Any) -> None:
        super().__init__()
        self.written = forward
        for name, value in modules.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        return self.written(self, x)

"""Modules at their planned start, and what their plans say."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import zeroinit_cli
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Rule

Build = Callable[[], nn.Module]


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Fixed numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def started(build: Build, *inputs: Any, **options: Any) -> nn.Module:
    """A module at its planned start."""
    module = build()
    return zeroinit_cli.init_(module, build=build, example_inputs=inputs or None, **options)


def planned(build: Build, *inputs: Any, **options: Any) -> Plan:
    """The plan of what a function builds."""
    return zeroinit_cli.plan(build, example_inputs=inputs or None, **options)


def rules(build: Build, *inputs: Any, **options: Any) -> dict[str, Rule]:
    """The rule of each tensor, by its name."""
    return {each.info.name: each.rule for each in planned(build, *inputs, **options).tensors}


def without_gradient(module: nn.Module, *inputs: Any) -> set[str]:
    """Names of the parameters that nothing tells how to change."""
    out = module(*inputs)
    module.zero_grad()
    (out * noise(*out.shape, seed=1)).sum().backward()
    return {
        name
        for name, each in module.named_parameters()
        if each.grad is None or not bool(each.grad.any())
    }


class Written(nn.Module):
    """Parameters of given shapes, drawn at random, and what a function does with them."""

    def __init__(self, function: Callable[..., Any], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*self.parameters(), *inputs)

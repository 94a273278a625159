"""A net at its start, by the start's name: `torch`, a family, or a family and a change.

`FAMILY, own PART` leaves torch's own values in a part; `FAMILY, patch stem` reads the first
convolution's whole kernel by Algorithm 1, as `--override NAME=patch` does; `FAMILY, shifted
depthwise` has the ones of depthwise kernels at every tap in turn.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

import zeroinit_cli
from evidence.expansions.cells import Cell
from evidence.expansions.matrices import FAMILIES, Family, random_family
from evidence.expansions.substitution import put, with_family, with_own, with_shifted_taps
from evidence.starts import ZERO_1
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Viewed
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rules import Hadamard, Identity, Rule


def begin(cell: Cell, start: str, seed: int) -> nn.Module:
    """The net of a cell.

    Args:
        cell: whose.
        start: by name.
        seed: of torch's own values and of random signs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cell.build()
    if start == "torch":
        return model
    family, _, change = start.partition(", ")
    put(_plan(cell, model, family_of(family, seed), change), model)
    return model


def family_of(name: str, seed: int) -> Family:
    """By name; of random signs the draw of a seed."""
    return random_family(seed) if name == "random signs" else FAMILIES[name]


def _plan(cell: Cell, model: nn.Module, family: Family, change: str) -> Plan:
    overrides = [f"{_stem(model)}=patch"] if change == "patch stem" else []
    plan = zeroinit_cli.plan(
        cell.build, policy=replace(ZERO_1, residual=cell.residual), overrides=overrides
    )
    if change.startswith("own "):
        chosen = part(change.removeprefix("own "))
        plan = with_own(plan, model, chosen)
    elif change == "shifted depthwise":
        plan = with_shifted_taps(plan)
    return with_family(plan, family)


def _stem(model: nn.Module) -> str:
    """The first convolution's weight."""
    return next(name for name, each in model.named_parameters() if each.dim() == 4)


def part(name: str) -> Callable[[PlannedTensor], bool]:
    """Which tensors a part of a start is."""
    kinds = name.split(" and ")
    return lambda tensor: _kind(tensor.rule) in kinds


def _kind(rule: Rule) -> str:
    match rule:
        case Groups():
            return "depthwise"
        case Hadamard():
            return "expansions"
        case Identity():
            return "identities"
        case Taps(of=of) | Viewed(of=of):
            return _kind(of)
    return "other"

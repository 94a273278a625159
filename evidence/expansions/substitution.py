"""zeroinit's own plan, with another matrix or torch's own values at some of its rules.

A leaf is exchanged for `Kept`, whose values travel with the plan, so that whatever lays leaves out
in tensors (taps, groups, splits) and whatever writes or fills stays zeroinit's own.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evidence.expansions.matrices import Family
from zeroinit_cli.models.entries import state_entries
from zeroinit_cli.models.filling import fill
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Mirrored, Split, Transposed, Viewed, ZeroRow
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rules import Hadamard, Kept, Rule

Shape = tuple[int, ...]


def with_family(plan: Plan, family: Family) -> Plan:
    """A plan of Sylvester's expansions, each of its expansions by another family.

    Args:
        plan: float32, its matrices at the orthonormal scale.
        family: gives the matrices.
    """
    kept = dict(plan.kept)

    def leaf(fan_out: int, fan_in: int) -> Rule:
        return _keep(family.entries(fan_out, fan_in), kept)

    tensors = tuple(
        replace(each, rule=_exchanged(each.rule, each.info.shape, leaf)) for each in plan.tensors
    )
    return replace(plan, tensors=tensors, kept=kept)


def with_own(plan: Plan, module: nn.Module, chosen: Callable[[PlannedTensor], bool]) -> Plan:
    """The plan, but for some tensors, which keep what the module holds."""
    kept = dict(plan.kept)
    state = module.state_dict()
    tensors = tuple(
        replace(each, rule=_keep(state[each.info.name].numpy(), kept)) if chosen(each) else each
        for each in plan.tensors
    )
    return replace(plan, tensors=tensors, kept=kept)


def with_shifted_taps(plan: Plan) -> Plan:
    """The plan, but that depthwise kernels hold their 1 at tap i of channel i, again and again."""
    kept = dict(plan.kept)
    tensors = tuple(
        replace(each, rule=_keep(_shifted(each.info.shape), kept))
        if isinstance(each.rule, Groups) and each.info.shape[1] == 1
        else each
        for each in plan.tensors
    )
    return replace(plan, tensors=tensors, kept=kept)


def _shifted(shape: Shape) -> NDArray[np.float64]:
    channels, taps = shape[0], math.prod(shape[1:])
    return np.eye(taps)[np.arange(channels) % taps].reshape(shape)


def put(plan: Plan, module: nn.Module) -> None:
    """Write a plan's values into a module, in place."""
    fill({entry.name: entry for entry in state_entries(module, "module")}, plan)


def _keep(values: NDArray[np.floating], kept: dict[str, bytes]) -> Kept:
    data = np.ascontiguousarray(values, "<f4").tobytes()
    digest = hashlib.sha256(data).hexdigest()
    kept[digest] = data
    return Kept(sha256=digest)


def _exchanged(rule: Rule, shape: Shape, leaf: Callable[[int, int], Rule]) -> Rule:
    match rule:
        case Hadamard():
            return leaf(shape[0], shape[1])
        case Taps(of=of):
            return replace(rule, of=_exchanged(of, shape[:2], leaf))
        case Groups(count=count, of=of):
            return replace(rule, of=_exchanged(of, (shape[0] // count, *shape[1:]), leaf))
        case Split(parts=parts):
            inner = ((rows, _exchanged(of, (rows, *shape[1:]), leaf)) for rows, of in parts)
            return Split(parts=tuple(inner))
        case Transposed(of=of):
            return replace(rule, of=_exchanged(of, (shape[1], shape[0], *shape[2:]), leaf))
        case Viewed(rows=rows, of=of):
            return replace(rule, of=_exchanged(of, (rows, math.prod(shape) // rows), leaf))
        case ZeroRow(of=of) | Mirrored(of=of):
            return replace(rule, of=_exchanged(of, shape, leaf))
    return rule

"""Expansions that cancel or repeat themselves, and kernels with holes."""

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from zeroinit_cli.models.classes import (
    CONVOLUTION,
    TRANSPOSED_CONVOLUTION,
    is_batch_norm,
    own_parameter,
)
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.sums import terms_of
from zeroinit_cli.models.warnings.seen import Seen, gain, listed
from zeroinit_cli.plans.layouts import Groups, Mirrored, Split, Taps, Transposed, Viewed, ZeroRow
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Hadamard, Rule
from zeroinit_cli.text import counted

_CHAIN = 3  # Sylvester expansions in a row; two (a stem and a first projection) did no harm
_SHORTCUTS = 4  # the same by way of shortcuts; ResNet-20 has three and trained as well as Kaiming's
_PALEY = "--expansion paley breaks the pattern that cancels"


def chains(seen: Seen) -> Iterator[PlanWarning]:
    """Batch norms behind several Sylvester expansions without a closed branch between."""
    affected = _in_chains(seen)
    if affected:
        number = counted(len(affected), "batch norm stands", "batch norms stand")
        yield PlanWarning(
            kind="batch-norm-chain",
            text=f"{number} behind {_CHAIN} or more Sylvester expansions in a row, without a skip "
            f"that is closed: {listed(list(affected))}; whole channels cancel to 0 there, and "
            f"each such norm multiplies gradients by up to {gain(list(affected.values()))}",
            hint=_mend(seen),
        )


def shortcut_chains(seen: Seen) -> Iterator[PlanWarning]:
    """The same where closed branches stand between: what passes at the start are the shortcuts."""
    affected: dict[str, nn.Module] = {}
    for flow, adds in seen.structure.flows:
        shortcuts = {node: _shortcuts(flow, add) for node, add in _closed_adds(seen, adds).items()}
        affected |= _behind_chains(seen, flow, shortcuts, _SHORTCUTS)
    for path in _in_chains(seen):
        affected.pop(path, None)
    if affected:
        number = counted(len(affected), "batch norm stands", "batch norms stand")
        yield PlanWarning(
            kind="shortcut-chain",
            text=f"{number} behind {_SHORTCUTS} or more Sylvester expansions in a row, along the "
            f"shortcuts of branches that begin closed: {listed(list(affected))}; whole channels "
            "cancel to 0 there at first, and each such norm multiplies gradients by up to "
            f"{gain(list(affected.values()))}",
            hint=_mend(seen),
        )


def _mend(seen: Seen) -> str:
    """What breaks the pattern.

    Rows that read one channel at one tap are one number each, plus or minus c, and Paley's can
    cancel as well; as a patch a stem reads several. evidence/expansions has the measurements.
    """
    stems = [
        f"--override '{seen.names[id(module.weight)]}=patch'"
        for module in seen.module.modules()
        if isinstance(module, CONVOLUTION)
        and module.in_channels == 1
        and math.prod(module.kernel_size) > 1
        and _expands(seen.rule(module.weight))
    ]
    more = f"; behind one channel it takes {' '.join(dict.fromkeys(stems))} as well"
    return _PALEY + (more if stems else "")


def _in_chains(seen: Seen) -> dict[str, nn.Module]:
    """Batch norms behind expansions in a row that no closed branch interrupts."""
    affected: dict[str, nn.Module] = {}
    for flow, adds in seen.structure.flows:
        resets = dict.fromkeys(_closed_adds(seen, adds), ())
        affected |= _behind_chains(seen, flow, resets, _CHAIN)
    return affected


def _closed_adds(seen: Seen, adds: Sequence[Add]) -> dict[Node, Add]:
    left_open = {branch.add for branch in seen.structure.branches if branch.ending is None}
    return {add.node: add for add in adds if add.kind.is_residual and add.node not in left_open}


def _shortcuts(flow: DataFlow, add: Add) -> tuple[Node, ...]:
    """The terms of a sum that are no branches: all that passes while those give 0."""
    return tuple(term for term in terms_of(flow, add.node)[0] if term not in add.branches)


def _behind_chains(
    seen: Seen, flow: DataFlow, closed: Mapping[Node, Sequence[Node]], least: int
) -> dict[str, nn.Module]:
    """Batch norms behind so many expansions in a row.

    Args:
        seen: what the plan is made from.
        flow: one of its graphs.
        closed: adds of closed branches, with those of their terms that count.
        least: how many expansions.
    """
    length: dict[Node, int] = {}
    affected: dict[str, nn.Module] = {}
    for node in flow.nodes:
        inputs = closed.get(node, flow.parents(node))
        called = flow.module(node)
        weight = own_parameter(called, "weight")
        before = max((length[each] for each in inputs), default=0)
        length[node] = before + _expands(seen.rule(weight))
        # A norm of scale 0 passes no gradient on that it could multiply.
        norm = called is not None and is_batch_norm(called) and not seen.is_zero(weight)
        if norm and called is not None and length[node] >= least:
            affected[flow.path(node)] = called
    return affected


def _expands(rule: Rule | None) -> bool:
    """Whether a rule holds a Sylvester-Hadamard block."""
    match rule:
        case Hadamard():
            return True
        case (
            Taps(of=of)
            | Groups(of=of)
            | Transposed(of=of)
            | Viewed(of=of)
            | ZeroRow(of=of)
            | Mirrored(of=of)
        ):
            return _expands(of)
        case Split(parts=parts):
            return any(_expands(of) for _, of in parts)
    return False


def twins(seen: Seen) -> Iterator[PlanWarning]:
    """Expansions with repeated rows: these units stay equal until later layers tell them apart."""
    found = [
        f"{tensor.info.name} ({rows:,} rows, {distinct:,} distinct)"
        for tensor in seen.plan.tensors
        if tensor.tied_to is None
        for rows, distinct in repeating(tensor.rule, tensor.info.shape)
    ]
    if found:
        yield PlanWarning(
            kind="equal-rows",
            text=f"{counted(len(found), 'expansion repeats', 'expansions repeat')} rows, and such "
            f"units stay equal until later layers tell them apart: {listed(found)}",
            hint="--expansion paley makes all rows distinct",
        )


def repeating(rule: Rule, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Rows and distinct rows of each Sylvester block that repeats some."""
    match rule:
        case Hadamard():
            distinct = 1 << (shape[1] - 1).bit_length() if shape[1] else 0
            if 0 < distinct < shape[0]:
                yield shape[0], distinct
        case Taps(of=of):
            yield from repeating(of, shape[:2])
        case Groups(count=count, of=of):
            yield from repeating(of, (shape[0] // count, *shape[1:]))
        case Split(parts=parts):
            for rows, of in dict.fromkeys(parts):
                yield from repeating(of, (rows, *shape[1:]))
        case Transposed(of=of):
            yield from repeating(of, (shape[1], shape[0], *shape[2:]))
        case Viewed(rows=rows, of=of):
            yield from repeating(of, (rows, math.prod(shape) // max(rows, 1)))
        case ZeroRow(of=of) | Mirrored(of=of):
            yield from repeating(of, shape)


def holes(seen: Seen) -> Iterator[PlanWarning]:
    """Transposed convolutions whose taps do not reach every output position."""
    owners = dict(seen.module.named_modules())
    affected = []
    for tensor in seen.plan.tensors:
        owner = owners.get(tensor.info.name.rpartition(".")[0])
        if isinstance(owner, TRANSPOSED_CONVOLUTION) and _has_holes(tensor.rule, owner.stride):
            affected.append(tensor.info.name)
    if affected:
        yield PlanWarning(
            kind="holes",
            text=f"transposed convolutions leave some outputs at 0, since fewer taps than their "
            f"stride are left of the kernel: {listed(affected)}",
            hint="a kernel of at least stride + padding has no holes",
        )


def _has_holes(rule: Rule, stride: Sequence[int]) -> bool:
    match rule:
        case Groups(of=of) | Transposed(of=of):
            return _has_holes(of, stride)
        case Taps(ranges=ranges):
            return any(
                last - first < step for (first, last), step in zip(ranges, stride, strict=True)
            )
    return False

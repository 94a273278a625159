"""Expansions that cancel or repeat themselves, and kernels with holes."""

from collections.abc import Iterator, Mapping, Sequence

from zeroinit_cli.models.classes import TRANSPOSED_CONVOLUTION
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import LOOKUPS, argument, eps_of, function_name, scale_of
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.sums import terms_of
from zeroinit_cli.models.warnings.seen import Seen, gain, listed
from zeroinit_cli.plans.norms import Norms
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Hadamard, Rule
from zeroinit_cli.text import counted

_CHAIN = 3  # Sylvester expansions in a row; two (a stem and a first projection) did no harm
_SHORTCUTS = 4  # the same by way of shortcuts; ResNet-20 has three and trained as well as Kaiming's
Affected = dict[str, tuple[float, str | None]]
"""Batch norms, by the layer: its eps, and the name of its scale."""

_TWISTED = "--policy default expands without the pattern that cancels"


def chains(seen: Seen) -> Iterator[PlanWarning]:
    """Batch norms behind several Sylvester expansions without a closed branch between."""
    affected = _in_chains(seen)
    if affected:
        number = counted(len(affected), "batch norm stands", "batch norms stand")
        yield PlanWarning(
            kind="batch-norm-chain",
            text=f"{number} behind {_CHAIN} or more Sylvester expansions in a row, without a skip "
            f"that is closed: {listed(list(affected))}; whole channels cancel to 0 there, and "
            f"each such norm multiplies gradients by up to {_gain(affected)}",
            hint=_TWISTED,
            tensors=_scales(seen, affected),
        )


def shortcut_chains(seen: Seen) -> Iterator[PlanWarning]:
    """The same where closed branches stand between: what passes at the start are the shortcuts."""
    shortcuts = {
        node: _shortcuts(flow, add)
        for flow, adds in seen.structure.flows
        for node, add in _closed_adds(seen, adds).items()
    }
    affected = _behind_chains(seen, shortcuts, _SHORTCUTS)
    for path in _in_chains(seen):
        affected.pop(path, None)
    if affected:
        number = counted(len(affected), "batch norm stands", "batch norms stand")
        yield PlanWarning(
            kind="shortcut-chain",
            text=f"{number} behind {_SHORTCUTS} or more Sylvester expansions in a row, along the "
            f"shortcuts of branches that begin closed: {listed(list(affected))}; whole channels "
            "cancel to 0 there at first, and each such norm multiplies gradients by up to "
            f"{_gain(affected)}",
            hint=_TWISTED,
            tensors=_scales(seen, affected),
        )


def _gain(affected: Affected) -> str:
    return gain(eps for eps, _ in affected.values())


def _scales(seen: Seen, affected: Affected) -> tuple[str, ...]:
    return seen.in_order(scale for _, scale in affected.values() if scale is not None)


def _in_chains(seen: Seen) -> Affected:
    """Batch norms behind expansions in a row that no closed branch interrupts."""
    resets = {node: () for _, adds in seen.structure.flows for node in _closed_adds(seen, adds)}
    return _behind_chains(seen, resets, _CHAIN)


def _closed_adds(seen: Seen, adds: Sequence[Add]) -> dict[Node, Add]:
    left_open = {branch.add for branch in seen.structure.branches if branch.ending is None}
    return {add.node: add for add in adds if add.kind.is_residual and add.node not in left_open}


def _shortcuts(flow: DataFlow, add: Add) -> tuple[Node, ...]:
    """The terms of a sum that are no branches: all that passes while those give 0."""
    return tuple(term for term in terms_of(flow, add.node)[0] if term not in add.branches)


def _behind_chains(seen: Seen, closed: Mapping[Node, Sequence[Node]], least: int) -> Affected:
    """Batch norms behind so many expansions in a row.

    Args:
        seen: what the plan is made from.
        closed: adds of closed branches, with those of their terms that count.
        least: how many expansions.
    """
    flows = [flow for flow, _ in seen.structure.flows]
    parts = {flow.root: flow for flow in reversed(flows) if flow.root}
    affected: Affected = {}

    def follow(flow: DataFlow, start: int) -> int:
        """The expansions in a row behind a graph, given those before it."""
        length: dict[Node, int] = {}
        for node in flow.nodes:
            inputs = closed.get(node, flow.parents(node))
            first = start if node.op == "input" else 0
            before = max((length[each] for each in inputs), default=first)
            part = parts.get(flow.path(node)) if node.op == "module" else None
            length[node] = (
                before + _expands(seen.rule(_applied(flow, node)))
                if part is None
                else follow(part, before)
            )
            if function_name(node) == "batch_norm" and length[node] >= least:
                scale, eps = scale_of(node), eps_of(node)
                # A norm of scale 0 passes no gradient on that it could multiply.
                if eps and not (scale is not None and seen.is_zero(flow.parameter(scale))):
                    affected[flow.layer(node)] = eps, seen.name(flow, scale)
        results = [each for each in flow.nodes if flow.is_result(each)]
        return max((length[each] for each in results or flow.nodes), default=0)

    for flow in flows:
        follow(flow, 0)
    return affected


def _applied(flow: DataFlow, node: Node) -> object:
    """The weight of a layer, or the table that it looks up."""
    weight = argument(node, 1, "weight") if function_name(node) in LOOKUPS else flow.weight(node)
    return flow.map_behind(weight) if isinstance(weight, Node) else None


def _expands(rule: Rule | None) -> bool:
    """Whether a rule holds a Sylvester-Hadamard block."""
    if rule is None or isinstance(rule, Norms):
        return False
    return isinstance(rule, Hadamard) or any(map(_expands, rule.children()))


def twins(seen: Seen) -> Iterator[PlanWarning]:
    """Expansions with repeated rows: these units stay equal until later layers tell them apart."""
    found = [
        (tensor.info.name, f"{tensor.info.name} ({rows:,} rows, {distinct:,} distinct)")
        for tensor in seen.plan.tensors
        if tensor.tied_to is None and len(tensor.info.shape) > 1  # a vector has no rows
        for rows, distinct in repeating(tensor.rule, tensor.info.shape)
    ]
    if found:
        yield PlanWarning(
            kind="equal-rows",
            text=f"{counted(len(found), 'expansion repeats', 'expansions repeat')} rows, and such "
            f"units stay equal until later layers tell them apart: "
            f"{listed([each for _, each in found])}",
            hint="--policy default has more distinct rows",
            tensors=seen.in_order(name for name, _ in found),
        )


def repeating(rule: Rule, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Rows and distinct rows of each Sylvester block that repeats some."""
    if isinstance(rule, Hadamard):
        distinct = 1 << (shape[1] - 1).bit_length() if shape[1] else 0
        if 0 < distinct < shape[0]:
            yield shape[0], distinct
    for child, its_shape in dict.fromkeys(rule.laid_out(shape)):
        yield from repeating(child, its_shape)


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
            tensors=seen.in_order(affected),
        )


def _has_holes(rule: Rule, stride: Sequence[int]) -> bool:
    ranges = rule.tap_ranges()
    return ranges is not None and any(
        last - first < step for (first, last), step in zip(ranges, stride, strict=True)
    )

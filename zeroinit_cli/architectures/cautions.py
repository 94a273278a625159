"""What a plan warns about: starts that were measured not to train, or to train badly.

Each caution is computed from the plan's rules and the graph, never from a model's name.
"""

from collections.abc import Iterator, Sequence

from torch import nn

from zeroinit_cli.architectures.classes import (
    TRANSPOSED_CONVOLUTION,
    is_batch_norm,
    is_norm,
    is_weight_layer,
)
from zeroinit_cli.architectures.dataflow import DataFlow, Node
from zeroinit_cli.architectures.residual import find_adds
from zeroinit_cli.architectures.structure import Structure
from zeroinit_cli.options import Options
from zeroinit_cli.plans import (
    Caution,
    Groups,
    Hadamard,
    Plan,
    Rule,
    Split,
    Taps,
    Transposed,
    Viewed,
    ZeroRow,
    Zeros,
)

_CHAIN = 3  # Sylvester expansions in a row; two (a stem and a first projection) did no harm
_SHOWN = 4
_PALEY = "--expansion paley keeps all rows distinct and breaks the cancellation"


def find_cautions(
    plan: Plan, module: nn.Module, structure: Structure, options: Options
) -> tuple[Caution, ...]:
    """Everything to know before training from a plan, in a fixed order."""
    rules = {tensor.info.name: tensor.rule for tensor in plan.tensors}
    return (
        *_untraced(structure),
        *_open_branches(structure, options),
        *_chains(structure, rules),
        *_zero_before_norm(structure, rules),
        *_double_zeros(structure, rules),
        *_twins(plan),
        *_zero_heads(structure, rules, module),
        *_holes(plan, module),
    )


def _untraced(structure: Structure) -> Iterator[Caution]:
    if structure.untraced:
        names = [f"{each.path or 'the model'} ({each.module_type})" for each in structure.untraced]
        yield Caution(
            kind="untraced",
            text=f"the forward of {_listed(names)} could not be traced: "
            "what is added there is not known, and is treated as not residual",
        )


def _open_branches(structure: Structure, options: Options) -> Iterator[Caution]:
    if options.residual == "none" and structure.branches:
        closed = len(structure.closed_attention)
        yield Caution(
            kind="residual-none",
            text=f"{len(structure.branches) - closed} residual branches are left open: "
            "activations double in each, and overflow near 128 of them",
            hint="--residual end closes them",
        )
        return
    reasons: dict[str, list[str]] = {}
    for branch in structure.branches:
        if branch.ending is None:
            reason = (branch.obstacle or "").replace(f"{branch.place}.", "")
            reasons.setdefault(reason, []).append(branch.place)
    for reason, places in sorted(reasons.items()):
        yield Caution(
            kind="open-branch",
            text=f"residual branches left open in {_listed(places)}: {reason}",
        )


def _chains(structure: Structure, rules: dict[str, Rule]) -> Iterator[Caution]:
    """Batch norms behind two or more Sylvester expansions without a skip between."""
    affected: list[str] = []
    for flow in structure.flows:
        adds = {add.node for add in find_adds(flow) if add.kind.is_residual}
        length: dict[Node, int] = {}
        for node in flow.nodes:
            before = max((length[each] for each in flow.parents(node)), default=0)
            expands = flow.is_weight_layer(node) and _expands(
                rules.get(f"{flow.module_path(node)}.weight")
            )
            length[node] = 0 if node in adds else before + expands
            called = flow.module(node)
            if called is not None and is_batch_norm(called) and length[node] >= _CHAIN:
                affected.append(flow.module_path(node))
    if affected:
        yield Caution(
            kind="batch-norm-chain",
            text=f"{len(affected)} batch norms stand behind {_CHAIN} or more Sylvester expansions "
            f"without a skip ({_listed(affected)}): whole channels cancel exactly, and their norm "
            "multiplies gradients by up to 316 each",
            hint=_PALEY,
        )


def _expands(rule: Rule | None) -> bool:
    """Whether a rule holds a Sylvester-Hadamard block."""
    match rule:
        case Hadamard():
            return True
        case Taps(of=of) | Groups(of=of) | Transposed(of=of) | Viewed(of=of) | ZeroRow(of=of):
            return _expands(of)
        case Split(parts=parts):
            return any(_expands(of) for _, of in parts)
    return False


def _zero_before_norm(structure: Structure, rules: dict[str, Rule]) -> Iterator[Caution]:
    affected = [
        flow.module_path(before)
        for flow in structure.flows
        for node in flow.nodes
        if (called := flow.module(node)) is not None and is_batch_norm(called)
        for before in flow.parents(node)
        if flow.is_weight_layer(before) and _is_zero(rules, flow.module_path(before))
    ]
    if affected:
        yield Caution(
            kind="zero-before-norm",
            text=f"{len(affected)} layers of weight 0 stand directly before a batch norm "
            f"({_listed(affected)}), which then sees no variance and multiplies gradients by 316",
            hint="--residual end zeroes the norm's scale instead",
        )


def _is_zero(rules: dict[str, Rule], path: str) -> bool:
    return isinstance(rules.get(f"{path}.weight"), Zeros)


def _double_zeros(structure: Structure, rules: dict[str, Rule]) -> Iterator[Caution]:
    """Branches with a second zero above the one that closes them: nothing in them gets gradient."""
    affected: list[str] = []
    for flow in structure.flows:
        for add in find_adds(flow):
            if add.branch is None:
                continue
            one, other = flow.parents(add.node)
            fork = flow.fork(one, other)
            inside = flow.between(fork, add.branch) if fork is not None else set()
            zeros = [node for node in inside if _zeroes(flow, node, rules)]
            if any(flow.is_ancestor(a, b) for a in zeros for b in zeros):
                affected.append(add.place)
    if affected:
        yield Caution(
            kind="double-zero",
            text=f"two zeros follow each other in residual branches of {_listed(affected)}: "
            "neither ever gets a gradient",
            hint="remove an --override, or use --residual end",
        )


def _zeroes(flow: DataFlow, node: Node, rules: dict[str, Rule]) -> bool:
    called = flow.module(node)
    if called is None or not (is_weight_layer(called) or is_norm(called)):
        return False
    return _is_zero(rules, flow.module_path(node))


def _twins(plan: Plan) -> Iterator[Caution]:
    """Expansions with repeated rows: these units stay equal until later layers tell them apart."""
    found: list[str] = []
    for tensor in plan.tensors:
        if tensor.tied_to is None:
            found += [
                f"{tensor.info.name} ({rows} rows, {distinct} distinct)"
                for rows, distinct in _repeating(tensor.rule, tensor.info.shape)
            ]
    if found:
        yield Caution(
            kind="equal-rows",
            text=f"{len(found)} expansions repeat rows: {_listed(found)}",
            hint="--expansion paley makes all rows distinct",
        )


def _repeating(rule: Rule, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Rows and distinct rows of each Sylvester block that repeats some."""
    match rule:
        case Hadamard():
            distinct = 1 << (shape[1] - 1).bit_length()
            if shape[1] and shape[0] > distinct:
                yield shape[0], distinct
        case Taps(of=of):
            yield from _repeating(of, shape[:2])
        case Groups(count=count, of=of):
            yield from _repeating(of, (shape[0] // count, *shape[1:]))
        case Transposed(of=of):
            yield from _repeating(of, (shape[1], shape[0], *shape[2:]))
        case Viewed(rows=rows, of=of):
            numel = 1
            for size in shape:
                numel *= size
            yield from _repeating(of, (rows, numel // max(rows, 1)))
        case ZeroRow(of=of):
            yield from _repeating(of, shape)


def _zero_heads(
    structure: Structure, rules: dict[str, Rule], module: nn.Module
) -> Iterator[Caution]:
    """A last layer of weight 0 in a net without norms, which stalls deep ones."""
    if any(is_norm(each) for each in module.modules()):
        return
    for flow in structure.flows:
        heads = [node for node in flow.nodes if flow.is_weight_layer(node)][-1:]
        closing = {branch.ending.path for branch in structure.branches if branch.ending}
        for node in heads:
            path = flow.module_path(node)
            if _is_zero(rules, path) and path not in closing:
                yield Caution(
                    kind="zero-head",
                    text=f"the last layer {path} is 0 and no layer normalizes: deep nets stall",
                )


def _holes(plan: Plan, module: nn.Module) -> Iterator[Caution]:
    """Transposed convolutions whose taps do not reach every output position."""
    owners = dict(module.named_modules())
    affected = []
    for tensor in plan.tensors:
        owner = owners.get(tensor.info.name.removesuffix(".weight"))
        if isinstance(owner, TRANSPOSED_CONVOLUTION) and _has_holes(tensor.rule, owner.stride):
            affected.append(tensor.info.name)
    if affected:
        yield Caution(
            kind="holes",
            text=f"{_listed(affected)} leave outputs at 0: stride is larger than what is left of "
            "the kernel",
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


def _listed(names: Sequence[str]) -> str:
    """Some names and how many more, each once, in order."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

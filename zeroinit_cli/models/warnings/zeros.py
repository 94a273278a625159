"""Zeros that keep others from learning, or that a norm would magnify."""

from collections.abc import Iterator

from zeroinit_cli.models.classes import is_norm
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.heads import heads
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import eps_of
from zeroinit_cli.models.warnings.seen import Seen, gain, listed
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Kept, Zeros
from zeroinit_cli.text import counted

_NOT_BY_HAND = "leave out the --override that makes them 0"
_EPS = 1e-5  # of most norms


def zeros_before_norms(seen: Seen) -> Iterator[PlanWarning]:
    """Layers of weight 0 directly before a norm."""
    affected: dict[str, float] = {}
    tensors: list[str | None] = []
    for flow, _ in seen.structure.flows:
        for node in flow.nodes:
            eps, given = eps_of(node), flow.data(node)
            before = flow.origin(given) if given is not None else None
            weight = flow.weight(before) if before is not None else None
            if eps and before and weight and seen.is_zero(flow.parameter(weight)):
                affected[flow.layer(before)] = eps
                tensors.append(seen.name(flow, weight))
    if affected:
        number = counted(len(affected), "layer of weight 0 stands", "layers of weight 0 stand")
        by_option = seen.options.policy.residual == "layer"
        yield PlanWarning(
            kind="zero-before-norm",
            text=f"{number} directly before a norm, which then sees no variance and multiplies "
            f"gradients by up to {gain(list(affected.values()))}: {listed(list(affected))}",
            hint="--policy default damps the norm instead" if by_option else _NOT_BY_HAND,
            tensors=seen.in_order(filter(None, tensors)),
        )


def zero_tokens(seen: Seen) -> Iterator[PlanWarning]:
    """Tokens of 0 that a norm sees with nothing added."""
    zeros = [name for name in seen.structure.normed_alone if _begins_as_zero(seen, name)]
    if zeros:
        names = seen.in_order(zeros)
        number = counted(len(names), "token of 0 is", "tokens of 0 are")
        yield PlanWarning(
            kind="zero-before-norm",
            text=f"{number} all that a norm sees in a place, which then has no variance and "
            f"multiplies gradients by up to {gain([_EPS])}: {listed(names)}",
            hint=_NOT_BY_HAND,
            tensors=names,
        )


def _begins_as_zero(seen: Seen, name: str) -> bool:
    rule = seen.rules.get(name)
    kept = isinstance(rule, Kept) and not any(seen.plan.kept[rule.sha256])
    return kept or isinstance(rule, Zeros)


def double_zeros(seen: Seen) -> Iterator[PlanWarning]:
    """A zero that is given nothing but another: neither gets a gradient, and both stay 0."""
    affected: list[str] = []
    tensors: list[str] = []
    for flow, _ in seen.structure.flows:
        sources = {node for node in flow.nodes if seen.zeroes(flow, node)}
        zeros = seen.zeros(flow)
        for node in (each for each in flow.nodes if each in sources):
            dead = [node] if _is_dead(seen, node, sources) else []
            affected += [flow.layer(each) for each in dead]
            for before in _causes(flow, node, sources, zeros):
                if not flow.goes_elsewhere(before, node):
                    affected.append(f"{flow.layer(before)} before {flow.layer(node)}")
                    dead += [before, node]
            tensors += [name for each in dead for name in _zero_names(seen, flow, each)]
    if affected:
        yield PlanWarning(
            kind="double-zero",
            text=f"two zeros follow each other, so that neither ever gets a gradient: "
            f"{listed(affected)}",
            hint=_NOT_BY_HAND,
            tensors=seen.in_order(tensors),
        )


def frozen_zeros(seen: Seen) -> Iterator[PlanWarning]:
    """Zeros that close branches and are not trained, in a module that is trained elsewhere."""
    learned = {name: each.requires_grad for name, each in seen.module.named_parameters()}
    closing = [branch.ending.tensor for branch in seen.structure.branches if branch.ending]
    frozen = seen.in_order(
        name
        for name in closing
        if not learned.get(name, True) and isinstance(seen.rules.get(name), Zeros)
    )
    if frozen and any(learned.values()):
        number = counted(len(frozen), "residual branch begins", "residual branches begin")
        yield PlanWarning(
            kind="frozen-zero",
            text=f"{number} as 0 by what is not trained, so that nothing inside ever learns: "
            f"{listed(frozen)}",
            hint=f"--override '{frozen[0]}=algorithm-1' opens its branch",
            tensors=frozen,
        )


def _zero_names(seen: Seen, flow: DataFlow, node: Node) -> Iterator[str]:
    """The parameters that make what a node gives 0, of attention its values."""
    attention = seen.structure.attentions.get(node)
    if attention is None:
        zeros = [each for each in seen.factors(flow, node) if seen.is_zero(each)]
    else:
        value = [attention.value.weight] if attention.value is not None else []
        zeros = [
            *value,
            *(each for each in [attention.output] if each is not None and seen.is_zero(each)),
        ]
    yield from (seen.names[id(each)] for each in zeros if id(each) in seen.names)


def _causes(flow: DataFlow, node: Node, sources: set[Node], zeros: set[Node]) -> Iterator[Node]:
    """The nearest zeros that make all that a node is given 0."""
    waiting = [each for each in flow.parents(node) if flow.depends_on_input(each)]
    if not zeros.issuperset(waiting):
        return
    known = set(waiting)
    while waiting:
        each = waiting.pop()
        if each in sources:
            yield each
        else:
            further = [above for above in flow.parents(each) if above in zeros - known]
            known.update(further)
            waiting += further


def _is_dead(seen: Seen, node: Node, sources: set[Node]) -> bool:
    """Whether torch's own attention, which projects its output itself, does so by zeros, too."""
    attention = seen.structure.attentions.get(node)
    return node in sources and attention is not None and seen.is_zero(attention.output)


def zero_heads(seen: Seen) -> Iterator[PlanWarning]:
    """A last layer of weight 0 in a net without norms, which stalls deep ones."""
    if any(is_norm(each) for each in seen.module.modules()):
        return
    closing = {branch.ending.tensor for branch in seen.structure.branches if branch.ending}
    names = dict.fromkeys(
        seen.name(flow, flow.weight(node))
        for flow, adds in seen.structure.flows
        for node in heads(flow, adds)
    )
    zeros = [
        name
        for name in names
        if name and isinstance(seen.rules.get(name), Zeros) and name not in closing
    ]
    if zeros:
        number = counted(len(zeros), "last layer begins", "last layers begin")
        yield PlanWarning(
            kind="zero-head",
            text=f"{number} as 0 in a net without norms, where deep nets then stall: "
            f"{listed(zeros)}",
            hint=_NOT_BY_HAND,
            tensors=seen.in_order(zeros),
        )

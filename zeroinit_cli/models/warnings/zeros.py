"""Zeros that keep others from learning, or that a norm would magnify."""

from collections.abc import Iterator

from torch import nn

from zeroinit_cli.models.attention import attention_of
from zeroinit_cli.models.classes import is_norm, is_weight_layer, own_parameter
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import NORM_FUNCTIONS, PRODUCTS, function_name
from zeroinit_cli.models.warnings.seen import Seen, gain, listed
from zeroinit_cli.models.zeros import zero_values
from zeroinit_cli.plans.layouts import Split, Transposed
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Rule, Zeros
from zeroinit_cli.text import counted

_NOT_BY_HAND = "leave out the --override that makes them 0"


def zeros_before_norms(seen: Seen) -> Iterator[PlanWarning]:
    """Layers of weight 0 directly before a norm."""
    affected: dict[str, nn.Module] = {}
    for flow, _ in seen.structure.flows:
        for node in flow.nodes:
            norm, parents = flow.module(node), flow.parents(node)
            if norm is None or not is_norm(norm) or not hasattr(norm, "eps") or not parents:
                continue
            before = flow.origin(parents[0])
            layer = flow.module(before)
            if layer is not None and is_weight_layer(layer) and seen.is_zero(layer.weight):
                affected[flow.path(before)] = norm
    if affected:
        number = counted(len(affected), "layer of weight 0 stands", "layers of weight 0 stand")
        by_option = seen.options.residual == "layer"
        yield PlanWarning(
            kind="zero-before-norm",
            text=f"{number} directly before a norm, which then sees no variance and multiplies "
            f"gradients by up to {gain(list(affected.values()))}: {listed(list(affected))}",
            hint="--residual end zeroes the norm's scale instead" if by_option else _NOT_BY_HAND,
        )


def double_zeros(seen: Seen) -> Iterator[PlanWarning]:
    """A zero that is given nothing but another: neither gets a gradient, and both stay 0."""
    affected = [
        path or "the model" for path, layer in seen.module.named_modules() if _is_dead(seen, layer)
    ]
    for flow, _ in seen.structure.flows:
        sources = {node for node in flow.nodes if _zeroes(seen, flow, node)}
        zeros = zero_values(flow, sources)
        for node in flow.nodes:
            if node in sources:
                affected += [
                    f"{_called(flow, before)} before {_called(flow, node)}"
                    for before in _causes(flow, node, sources, zeros)
                    if not flow.goes_elsewhere(before, node)
                ]
    if affected:
        yield PlanWarning(
            kind="double-zero",
            text=f"two zeros follow each other, so that neither ever gets a gradient: "
            f"{listed(affected)}",
            hint=_NOT_BY_HAND,
        )


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


def _called(flow: DataFlow, node: Node) -> str:
    """What to call a node that applies a parameter."""
    return flow.path(node) if flow.module(node) is not None else function_name(node)


def _zeroes(seen: Seen, flow: DataFlow, node: Node) -> bool:
    """Whether a node gives 0 because of a parameter of its own."""
    called = flow.module(node)
    if called is not None:
        if attention_of(called) is not None:
            return _is_closed(seen, called)
        return (is_weight_layer(called) or is_norm(called)) and seen.is_zero(called.weight)
    name = function_name(node)
    applies = name in PRODUCTS or name in NORM_FUNCTIONS or flow.weight(node) is not None
    return applies and any(seen.is_zero(flow.parameter(each)) for each in flow.parents(node))


def _is_dead(seen: Seen, module: nn.Module) -> bool:
    """Whether a block holds two zeros that its graph, being one node, does not show."""
    block = attention_of(module)
    if block is not None:
        output = module.get_submodule(block.output)
        return seen.is_zero(output.weight) and _is_closed(seen, module)
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        return seen.is_zero(module.linear1.weight) and seen.is_zero(module.linear2.weight)
    return False


def _is_closed(seen: Seen, attention: nn.Module) -> bool:
    """Whether the values of a block of attention are 0."""
    rule: Rule | None = seen.rule(_values_weight(attention))
    if isinstance(rule, Transposed):
        rule = rule.of
    last = rule.parts[-1][1] if isinstance(rule, Split) else rule
    return isinstance(last, Zeros)


def _values_weight(attention: nn.Module) -> object:
    """The weight that projects values, alone or behind those of queries and keys."""
    if getattr(attention, "v_proj_weight", None) is not None:  # MultiheadAttention of kdim or vdim
        return attention.v_proj_weight
    block = attention_of(attention)
    if block is None:
        return None
    owner = getattr(attention, block.separate[2] if block.separate else str(block.fused))
    return owner.weight if isinstance(owner, nn.Module) else owner


def zero_heads(seen: Seen) -> Iterator[PlanWarning]:
    """A last layer of weight 0 in a net without norms, which stalls deep ones."""
    if any(is_norm(each) for each in seen.module.modules()):
        return
    closing = {branch.ending.tensor for branch in seen.structure.branches if branch.ending}
    heads = [
        name
        for flow, _ in seen.structure.flows
        for node in _heads(flow)
        for name in [seen.names.get(id(own_parameter(flow.module(node), "weight")), "")]
        if isinstance(seen.rules.get(name), Zeros) and name not in closing
    ]
    if heads:
        number = counted(len(heads), "last layer begins", "last layers begin")
        yield PlanWarning(
            kind="zero-head",
            text=f"{number} as 0 in a net without norms, where deep nets then stall: "
            f"{listed(heads)}",
            hint=_NOT_BY_HAND,
        )


def _heads(flow: DataFlow) -> list[Node]:
    """Weight layers behind which there is no other, in order."""
    heads: list[Node] = []
    followed: set[Node] = set()
    for node in reversed(flow.nodes):
        if flow.layers(node) and node not in followed:
            heads.append(node)
        if flow.layers(node) or node in followed:
            followed.update(flow.parents(node))
    return heads[::-1]

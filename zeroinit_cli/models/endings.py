"""What would close a residual branch, as the residual option says, or why nothing.

It is what comes last. Where a branch is joined of parts, each is closed by what comes last in it.
Where nothing else can be 0, a learned factor is that damps nothing as it is constructed.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from torch import nn

from zeroinit_cli.models.arithmetic import is_norm
from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.branches import ways_of
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import Step, StepKind

NONE_CLOSED = "the policy closes none"
"""The obstacle of every branch under `Policy(residual="none")`."""

_AT_THE_END = ("damp", "end")
"""The ways in which a norm that ends a branch is what is set: to little, or to 0."""

BY_HAND = "--override 'NAME=zeros' closes {which} by its last weight"
EVERYWHERE = "--override 'NAME=zeros' sets it to 0 all the same"
"""Both name the weight that would close the branch, as warnings find it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a branch, or a part of it, ends before it is known who else uses what closes it.

    Attributes:
        place: the module in whose forward the add stands.
        add: that add.
        value: what the branch adds.
        kind: a norm, a weight layer, attention, or a learned factor.
        closing: the parameter that is to be 0, of attention the one that gives its values; None
            for a layer scale that is small as constructed, which is left as it is, and where
            nothing closes the branch.
        rows: of the closing weight the first that is to be 0 and the one after the last, if
            others go elsewhere; None for all.
        attention: that is closed by its values.
        biases: what is added behind the zero, on the way to the add.
        name: what to call it in a sentence.
        size: of a layer scale that is left as it is, its largest entry.
        is_damped: it is a weight that need not be 0, but only small.
        zero: the value that is 0 by it, or small.
        is_whole: it closes all parts of the branch.
        feeds_parts: it is a part that layers of other parts read.
        instead: what closes the branch if this goes elsewhere too.
        obstacle: why nothing closes the branch.
        hint: what would.
    """

    place: str
    add: Node
    value: Node
    kind: StepKind | None = None
    closing: nn.Parameter | None = None
    rows: tuple[int, int] | None = None
    attention: Attention | None = None
    biases: tuple[nn.Parameter, ...] = ()
    name: str = ""
    size: float | None = None
    is_damped: bool = False
    zero: Node | None = None
    is_whole: bool = False
    feeds_parts: bool = False
    instead: "End | None" = None
    obstacle: str | None = None
    hint: str | None = None


def ends_of(
    flow: DataFlow, add: Add, branch: Node, residual: str, attentions: Mapping[Node, Attention]
) -> list[End]:
    """The end of each part of a branch, of most branches of the only one."""
    ways = list(ways_of(flow, add, branch))
    shared = {step.node for step in ways[0] if all(step in way for way in ways)}
    ends = [_end(flow, add, branch, way, shared, residual, attentions) for way in ways]
    if len(ways) == 1:
        return ends
    unchanged = open_end(add, branch, "a part of it is what it leaves, as it is")
    return [
        replace(end, feeds_parts=_feeds(flow, end)) if way else unchanged
        for way, end in zip(ways, ends, strict=True)
    ]


def _feeds(flow: DataFlow, end: End) -> bool:
    """Whether a layer of the branch reads what the end makes 0."""
    return end.zero is not None and flow.weight_layers(end.zero, end.add) > 0


def open_end(add: Add, branch: Node, obstacle: str, hint: str | None = None) -> End:
    """A branch that nothing closes, and why."""
    return End(place=add.place, add=add.node, value=branch, obstacle=obstacle, hint=hint)


def _end(
    flow: DataFlow,
    add: Add,
    branch: Node,
    steps: list[Step],
    shared: Set[Node],
    residual: str,
    attentions: Mapping[Node, Attention],
) -> End:
    """The closing attention of a branch, or its last norm, weight or scale, as the option says."""
    zero = next((step for step in steps if step.kind is StepKind.SCALE and step.size == 0), None)
    if zero is not None:  # as ReZero constructs it; a second zero behind it would be for ever
        return _kept(add, branch, zero)
    found = _closable_attention(flow, steps, attentions)
    if found is not None:
        return _closed_attention(flow, add, branch, *found)
    if residual == "none":
        return open_end(add, branch, NONE_CLOSED)
    factor: End | None = None
    dead: Step | None = None
    for step in (_projected(flow, step, attentions) for step in steps):
        if step.kind is StepKind.DEAD and residual == "damp":
            dead = dead or step  # which a norm before it does not feed 0
            continue
        is_alive = dead is None or (step.kind is StepKind.NORM and step.parameter is not None)
        obstacle, hint = _obstacle(step if is_alive or dead is None else dead, residual)
        if obstacle:
            return factor or open_end(add, branch, obstacle, hint)
        if _closes(step, residual):
            if step.kind is StepKind.SCALE:
                return _kept(add, branch, step)
            is_damped = residual in _AT_THE_END and _is_normed_weight(flow, add, step)
            return replace(_closed(flow, add, branch, step), is_damped=is_damped, instead=factor)
        if step.kind is StepKind.SCALE and step.parameter is not None and factor is None:
            factor = _closed(flow, add, branch, step)
            factor = replace(factor, is_whole=step.node in shared)
    return open_end(add, branch, "it has no weight layer")


def _obstacle(step: Step, residual: str) -> tuple[str, str | None]:
    """Why a branch can be closed neither here nor further up, and what would help."""
    if step.kind is StepKind.DEAD:
        return f"{step.name} stands before the add and is dead at 0", None
    if step.kind is StepKind.UNKNOWN:
        return f"it ends in {step.name}", BY_HAND
    if step.kind is StepKind.WEIGHT and step.parameter is None:
        return f"the weight of {step.name} is computed from others", BY_HAND
    # A norm's scale is what `end` would set; under `layer`, one without a scale hinders nothing.
    if residual in _AT_THE_END and step.kind is StepKind.NORM and step.parameter is None:
        return step.lack or f"{step.name} ends it and has no scale", None
    if residual in _AT_THE_END and step.kind is StepKind.SCALE and step.size is None:
        return f"it ends in {step.name}, a scale whose value at the start is not known", BY_HAND
    return "", None


def _closes(step: Step, residual: str) -> bool:
    """Whether a step is what closes the branch.

    A layer scale keeps what it was constructed as, and damps the branch if that is small. One of 1
    or more damps nothing: the branch is closed by what comes before it, as in Fixup.
    """
    if step.kind is StepKind.SCALE:
        return residual in _AT_THE_END and step.size is not None and step.size < 1
    return step.kind is not StepKind.NORM or residual in _AT_THE_END


def _is_normed_weight(flow: DataFlow, add: Add, step: Step) -> bool:
    """Whether a step is a weight that a norm stands before on every way from the branch's start.

    Then what it gives is as large in the last block as in the first, and a small share of it does
    no harm. Where nothing bounds it, each block would enlarge what the next one reads. The norm may
    be what the branch starts from. What comes from elsewhere does not grow from block to block.
    """
    weight = flow.weight(step.node) if step.kind is StepKind.WEIGHT else None
    if weight is None or step.parameter is None or flow.parameter(weight) is not step.parameter:
        return False
    if add.start is None:
        return False
    if is_norm(flow, flow.origin(add.start)):
        return True
    left = set(flow.between(add.start, step.node))  # nothing, of what goes into several adds
    waiting = [step.node]
    while waiting:
        before = flow.parents(waiting.pop())
        if add.start in before:
            return False
        waiting += [each for each in before if each in left and not is_norm(flow, each)]
        left.difference_update(before)
    return True


def _kept(add: Add, branch: Node, scale: Step) -> End:
    """A branch that a layer scale damps as it is constructed."""
    return End(
        place=add.place,
        add=add.node,
        value=branch,
        kind=scale.kind,
        name=scale.name,
        size=scale.size,
    )


def _closed(flow: DataFlow, add: Add, branch: Node, step: Step) -> End:
    """A branch that a step closes."""
    bias = flow.bias(step.node) if step.kind is StepKind.WEIGHT else None
    return End(
        place=add.place,
        add=add.node,
        value=branch,
        kind=step.kind,
        closing=step.parameter,
        biases=_known(bias),
        name=step.name,
        zero=step.node,
    )


def _closed_attention(
    flow: DataFlow, add: Add, branch: Node, step: Step, attention: Attention
) -> End:
    """A branch of attention that v = 0 closes."""
    before = flow.data(step.node) if step.kind is StepKind.WEIGHT else step.node
    if attention.value is None or before is None:
        return open_end(add, branch, f"what {step.name} gives is not known to be its values' alone")
    return End(
        place=add.place,
        add=add.node,
        value=branch,
        kind=StepKind.ATTENTION,
        closing=attention.value.weight,
        attention=attention,
        biases=_known(attention.value.bias, attention.output_bias, flow.bias(step.node)),
        name=step.name,
        zero=before,
    )


def _known(*biases: nn.Parameter | None) -> tuple[nn.Parameter, ...]:
    return tuple(bias for bias in biases if bias is not None)


def _closable_attention(
    flow: DataFlow, steps: list[Step], attentions: Mapping[Node, Attention]
) -> tuple[Step, Attention] | None:
    """Attention that v = 0 closes: nothing but its output and a layer scale before the add."""
    for step in steps:
        if step.kind is not StepKind.SCALE:
            attention = _attention_behind(flow, step, attentions)
            return (step, attention) if attention and attention.is_closable else None
    return None


def _attention_behind(
    flow: DataFlow, step: Step, attentions: Mapping[Node, Attention]
) -> Attention | None:
    """The attention that a step is, or whose output it projects."""
    if step.kind is StepKind.WEIGHT:
        given = flow.data(step.node)
        return None if given is None else attentions.get(flow.origin(given))
    if step.kind in (StepKind.ATTENTION, StepKind.UNKNOWN):
        return attentions.get(flow.origin(step.node))
    return None


def _projected(flow: DataFlow, step: Step, attentions: Mapping[Node, Attention]) -> Step:
    """Torch's own attention, where it is not closed, ends in its output projection."""
    attention = attentions.get(flow.origin(step.node))
    if step.kind is not StepKind.ATTENTION or attention is None:
        return step
    return replace(step, kind=StepKind.WEIGHT, parameter=attention.output)

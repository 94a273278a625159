"""What would close each residual branch of an add, as the residual option says, or why nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.branches import steps_of
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import Step, StepKind

NONE_CLOSED = "the policy closes none"
"""The obstacle of every branch under `Policy(residual="none")`."""

BY_HAND = "--override 'NAME=zeros' closes {which} by its last weight"
EVERYWHERE = "--override 'NAME=zeros' sets it to 0 all the same"
"""Both name the weight that would close the branch, as warnings find it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a branch ends, before it is known who else uses what closes it.

    Attributes:
        place: the module in whose forward its add stands.
        add: that add.
        value: what the branch adds.
        kind: a norm, a weight layer, attention, or a layer scale that is small as constructed.
        closing: the parameter that is to be 0, of attention the one that gives its values; None
            for a layer scale, which is left as it is, and where nothing closes the branch.
        attention: that is closed by its values.
        biases: what is added behind the zero, on the way to the add.
        name: what to call it in a sentence.
        size: of a layer scale, its largest entry.
        obstacle: why nothing closes the branch.
        hint: what would.
    """

    place: str
    add: Node
    kind: StepKind | None = None
    closing: nn.Parameter | None = None
    attention: Attention | None = None
    biases: tuple[nn.Parameter, ...] = ()
    name: str = ""
    size: float | None = None
    obstacle: str | None = None
    hint: str | None = None
    value: Node | None = None


def ends_of(
    flow: DataFlow, add: Add, residual: str, attentions: Mapping[Node, Attention]
) -> list[End]:
    """The ends of an add's branches; none where it is not residual."""
    trunk = _open(add, "its end is where another branch begins")
    return [replace(trunk, value=each) for each in add.trunks] + [
        replace(_end(flow, add, steps_of(flow, add, branch), residual, attentions), value=branch)
        for branch in add.branches
    ]


def _open(add: Add, obstacle: str, hint: str | None = None) -> End:
    return End(place=add.place, add=add.node, obstacle=obstacle, hint=hint)


def _end(
    flow: DataFlow,
    add: Add,
    steps: list[Step],
    residual: str,
    attentions: Mapping[Node, Attention],
) -> End:
    """The closing attention of a branch, or its last norm, weight or scale, as the option says."""
    zero = next((step for step in steps if step.kind is StepKind.SCALE and step.size == 0), None)
    if zero is not None:  # as ReZero constructs it; a second zero behind it would be for ever
        return _closed(flow, add, zero)
    found = _closable_attention(flow, steps, attentions)
    if found is not None:
        return _closed_attention(flow, add, *found)
    if residual == "none":
        return _open(add, NONE_CLOSED)
    for step in (_projected(flow, step, attentions) for step in steps):
        obstacle, hint = _obstacle(step, residual)
        if obstacle:
            return _open(add, obstacle, hint)
        if _closes(step, residual):
            return _closed(flow, add, step)
    return _open(add, "it has no weight layer")


def _obstacle(step: Step, residual: str) -> tuple[str, str | None]:
    """Why a branch can be closed neither here nor further up, and what would help."""
    if step.kind is StepKind.DEAD:
        return f"{step.name} stands before the add and is dead at 0", None
    if step.kind is StepKind.UNKNOWN:
        return f"it ends in {step.name}", BY_HAND
    if step.kind is StepKind.WEIGHT and step.parameter is None:
        return f"the weight of {step.name} is computed from others", BY_HAND
    # A norm's scale is what `end` would set; under `layer`, one without a scale hinders nothing.
    if residual == "end" and step.kind is StepKind.NORM and step.parameter is None:
        return step.lack or f"{step.name} ends it and has no scale", None
    if residual == "end" and step.kind is StepKind.SCALE and step.size is None:
        return f"it ends in {step.name}, a scale whose value at the start is not known", BY_HAND
    return "", None


def _closes(step: Step, residual: str) -> bool:
    """Whether a step is what closes the branch.

    A layer scale keeps what it was constructed as, and damps the branch if that is small. One of 1
    or more damps nothing: the branch is closed by what comes before it, as in Fixup.
    """
    if step.kind is StepKind.SCALE:
        return residual == "end" and step.size is not None and step.size < 1
    return step.kind is not StepKind.NORM or residual == "end"


def _closed(flow: DataFlow, add: Add, step: Step) -> End:
    """A branch that a step closes, if what the step gives is for the add alone."""
    end = End(place=add.place, add=add.node, kind=step.kind, name=step.name)
    if step.kind is StepKind.SCALE:
        return replace(end, size=step.size)
    if flow.goes_elsewhere(step.node, add.node):
        return _open(add, f"what {step.name} gives is used elsewhere too", EVERYWHERE)
    bias = flow.bias(step.node) if step.kind is StepKind.WEIGHT else None
    return replace(end, closing=step.parameter, biases=_known(bias))


def _closed_attention(flow: DataFlow, add: Add, step: Step, attention: Attention) -> End:
    """A branch of attention that v = 0 closes, if what it gives is for the add alone."""
    before = flow.data(step.node) if step.kind is StepKind.WEIGHT else step.node
    if attention.value is None or before is None or flow.goes_elsewhere(before, add.node):
        return _open(add, f"what {step.name} gives is used elsewhere too", EVERYWHERE)
    return End(
        place=add.place,
        add=add.node,
        kind=StepKind.ATTENTION,
        closing=attention.value.weight,
        attention=attention,
        biases=_known(attention.value.bias, attention.output_bias, flow.bias(step.node)),
        name=step.name,
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

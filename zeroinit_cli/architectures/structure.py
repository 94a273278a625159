"""What the graph says of a module: which tensors close a residual branch, and what stays open."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn

from zeroinit_cli.architectures.attention import attention_of, composite_of
from zeroinit_cli.architectures.dataflow import DataFlow
from zeroinit_cli.architectures.residual import (
    Add,
    AddClass,
    Step,
    StepKind,
    branch_steps,
    find_adds,
)
from zeroinit_cli.architectures.tracing import Untraced, trace


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAdd:
    """An add and what it is, for the reader of a plan."""

    place: str
    name: str
    kind: AddClass


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A residual branch and how it ends.

    Attributes:
        place: the module in whose forward its add stands.
        ending: the step that closes it; None where nothing can.
        obstacle: why nothing closes it.
    """

    place: str
    ending: Step | None
    obstacle: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """Everything that the policy asks of the graph.

    Attributes:
        adds: every add of two values.
        branches: every residual branch.
        zero_scales: norms whose scale is 0, by path: the place of the branch that they close.
        zero_weights: layers whose weight is 0, likewise.
        closed_attention: blocks of attention with v = 0, likewise.
        position_embeddings: embeddings that are looked up by position, not by the input.
        untraced: modules whose own forward is not known.
        flows: the graphs themselves.
    """

    adds: tuple[FoundAdd, ...]
    branches: tuple[Branch, ...]
    zero_scales: dict[str, str]
    zero_weights: dict[str, str]
    closed_attention: dict[str, str]
    position_embeddings: frozenset[str]
    untraced: tuple[Untraced, ...]
    flows: tuple[DataFlow, ...] = field(default=(), compare=False)


def find_structure(module: nn.Module, residual: str) -> Structure:
    """The structure of a module.

    Args:
        module: built; its values do not matter.
        residual: how branches are to end: `end`, `layer` or `none`.
    """
    traced = trace(module)
    flows = tuple(DataFlow(part) for part in traced.parts)
    adds = [(flow, add) for flow in flows for add in find_adds(flow)]
    endings = [
        _branch(module, add, branch_steps(flow, add), residual)
        for flow, add in adds
        if add.kind.is_residual
    ]
    endings += _composite_branches(module, residual)
    endings = _unshared(endings, _calls(flows))
    return Structure(
        adds=tuple(FoundAdd(place=add.place, name=add.node.name, kind=add.kind) for _, add in adds),
        branches=tuple(endings),
        zero_scales=_places(endings, StepKind.NORM),
        zero_weights=_places(endings, StepKind.WEIGHT),
        closed_attention=_places(endings, StepKind.ATTENTION),
        position_embeddings=_position_embeddings(flows),
        untraced=traced.untraced,
        flows=flows,
    )


def _position_embeddings(flows: Iterable[DataFlow]) -> frozenset[str]:
    return frozenset(
        flow.module_path(node)
        for flow in flows
        for node in flow.nodes
        if isinstance(flow.module(node), nn.Embedding) and not flow.depends_on_input(node)
    )


def _branch(module: nn.Module, add: Add, steps: list[Step], residual: str) -> Branch:
    """What closes a branch: attention, or its last norm, weight or scale, as the option says."""
    attention = _closing_attention(module, steps)
    if attention is not None:
        return Branch(place=add.place, ending=attention)
    if residual == "none":
        return _open(add, "--residual none")
    for step in steps:
        if step.kind is StepKind.DEAD:
            return _open(add, f"{step.name} stands before the add and is dead at 0")
        if step.kind is StepKind.UNKNOWN:
            return _open(add, f"it ends in {step.name}")
        if step.kind is StepKind.ATTENTION:
            return Branch(place=add.place, ending=_output_of(module, step))
        if step.kind is StepKind.WEIGHT:
            return Branch(place=add.place, ending=step)
        if residual == "layer":
            continue
        lack = _lacks_scale(module, step) if step.kind is StepKind.NORM else None
        return Branch(place=add.place, ending=step) if lack is None else _open(add, lack)
    return _open(add, "it has no weight layer")


def _open(add: Add, obstacle: str) -> Branch:
    return Branch(place=add.place, ending=None, obstacle=obstacle)


def _closing_attention(module: nn.Module, steps: list[Step]) -> Step | None:
    """A block of attention that v = 0 closes: nothing but a layer scale between it and the add."""
    for step in steps:
        if step.kind is StepKind.ATTENTION:
            block = attention_of(module.get_submodule(step.path))
            return step if block is not None and block.closable else None
        if step.kind is not StepKind.SCALE:
            return None
    return None


def _output_of(module: nn.Module, step: Step) -> Step:
    """The output projection of a block of attention, as a weight layer."""
    block = attention_of(module.get_submodule(step.path))
    if block is None:  # a step is attention because it has an entry
        raise TypeError(step.path)
    path = f"{step.path}.{block.output}"
    return Step(kind=StepKind.WEIGHT, path=path, name=path)


def _lacks_scale(module: nn.Module, step: Step) -> str | None:
    scale = getattr(module.get_submodule(step.path), "weight", None)
    if scale is None:
        return f"{step.name} ends it and has no scale"
    return None if isinstance(scale, nn.Parameter) else f"the scale of {step.name} is a buffer"


def _composite_branches(module: nn.Module, residual: str) -> list[Branch]:
    """The branches inside layers that are one node of the graph."""
    branches: list[Branch] = []
    for path, layer in module.named_modules():
        composite = composite_of(layer)
        if composite is None:
            continue
        for kind, names in (
            (StepKind.ATTENTION, composite.attentions),
            (StepKind.WEIGHT, composite.weights if residual != "none" else ()),
        ):
            for name in names:
                inner = f"{path}.{name}" if path else name
                ending = Step(kind=kind, path=inner, name=inner)
                branches.append(Branch(place=path or "the model", ending=ending))
    return branches


def _calls(flows: Iterable[DataFlow]) -> Counter[str]:
    return Counter(
        flow.module_path(node) for flow in flows for node in flow.nodes if node.op == "call_module"
    )


def _unshared(branches: list[Branch], calls: Counter[str]) -> list[Branch]:
    """Leave a branch open whose last layer also serves elsewhere, where 0 was not meant."""
    endings = Counter(branch.ending.path for branch in branches if branch.ending is not None)
    result = []
    for branch in branches:
        ending = branch.ending
        if ending is not None and calls[ending.path] > endings[ending.path]:
            obstacle = f"{ending.name} ends it and is used elsewhere too"
            result.append(Branch(place=branch.place, ending=None, obstacle=obstacle))
        else:
            result.append(branch)
    return result


def _places(branches: list[Branch], kind: StepKind) -> dict[str, str]:
    return {
        branch.ending.path: branch.place
        for branch in branches
        if branch.ending is not None and branch.ending.kind is kind
    }

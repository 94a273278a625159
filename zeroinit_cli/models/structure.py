"""What a run says of a module: which tensors close a residual branch, and what stays open."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from zeroinit_cli.models.attention import composite_of
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.endings import EVERYWHERE, NONE_CLOSED, End, ends_of
from zeroinit_cli.models.forward import Untraced, run
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add, AddClass, find_adds
from zeroinit_cli.models.sharing import Uses
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.tables import find_tables


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
        ending: what closes it; None where nothing can.
        obstacle: why nothing closes it.
        hint: what would.
        add: its add, where a graph shows that.
    """

    place: str
    ending: "Ending | None"
    obstacle: str | None = None
    hint: str | None = None
    add: Node | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What closes a branch.

    Attributes:
        kind: a norm, a weight layer, attention, or a layer scale that is small as constructed.
        tensor: name of the scale or weight that is 0; of attention, the path of its block.
        size: of a layer scale, its largest entry.
    """

    kind: StepKind
    tensor: str
    size: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """Everything that the policy asks of the run.

    Attributes:
        adds: every add of two values.
        branches: every residual branch.
        zero_scales: scales of norms that are 0, by name: the place of the branch that they close.
        zero_weights: weights that are 0, likewise.
        closed_attention: blocks of attention with v = 0, by path, likewise.
        tables: embeddings that are looked up by position, by path: what kind of table they are.
        untraced: modules whose own forward is not known to its end.
        flows: the graphs themselves, each with its adds.
    """

    adds: tuple[FoundAdd, ...]
    branches: tuple[Branch, ...]
    zero_scales: Mapping[str, str]
    zero_weights: Mapping[str, str]
    closed_attention: Mapping[str, str]
    tables: Mapping[str, str]
    untraced: tuple[Untraced, ...]
    flows: tuple[tuple[DataFlow, tuple[Add, ...]], ...] = field(default=(), compare=False)


def find_structure(
    module: nn.Module, residual: str, examples: Iterable[Example] | None = None
) -> Structure:
    """The structure of a module.

    Args:
        module: built; of its values only those of layer scales matter.
        residual: how branches are to end: `end`, `layer` or `none`.
        examples: of its arguments, tried in order; guessed if not given.
    """
    forward = run(module, examples)
    flows = tuple((flow, tuple(find_adds(flow))) for flow in map(DataFlow, forward.parts))
    ends = [end for flow, adds in flows for add in adds for end in ends_of(flow, add, residual)]
    paths = {id(each): path for path, each in module.named_modules()}
    names = paths | {id(each): name for name, each in module.named_parameters()}
    branches = _branches(ends, Uses(module, (flow for flow, _ in flows)), names)
    branches += _composite_branches(module, residual)
    return Structure(
        adds=tuple(
            FoundAdd(place=add.place, name=add.node.label, kind=add.kind)
            for _, adds in flows
            for add in adds
        ),
        branches=tuple(branches),
        zero_scales=_places(branches, StepKind.NORM),
        zero_weights=_places(branches, StepKind.WEIGHT),
        closed_attention=_places(branches, StepKind.ATTENTION),
        tables=find_tables(flows, paths),
        untraced=forward.untraced,
        flows=flows,
    )


def _branches(ends: Iterable[End], uses: Uses, names: Mapping[int, str]) -> list[Branch]:
    """The branches; open are those whose end also serves elsewhere, where 0 was not meant."""
    ends = list(ends)
    meant = Counter(id(end.closing) for end in ends if end.closing is not None)
    branches = []
    for end in ends:
        ending, obstacle, hint = None, end.obstacle, end.hint
        if end.closing is None:
            if end.kind is not None:
                ending = Ending(kind=end.kind, tensor=end.name, size=end.size)
        elif id(end.closing) not in names:
            obstacle, hint = f"{end.name} ends it and is registered nowhere", None
        elif uses.of(end.closing) > meant[id(end.closing)]:
            obstacle, hint = f"{end.name} ends it and is used elsewhere too", EVERYWHERE
        elif end.kind is not None:
            ending = Ending(kind=end.kind, tensor=names[id(end.closing)])
        branches.append(
            Branch(place=end.place, ending=ending, obstacle=obstacle, hint=hint, add=end.add)
        )
    return branches


def _composite_branches(module: nn.Module, residual: str) -> list[Branch]:
    """The branches inside layers that are one node of the graph."""
    branches: list[Branch] = []
    for path, layer in module.named_modules():
        composite = composite_of(layer)
        if composite is None:
            continue
        attentions = [(StepKind.ATTENTION, name) for name in composite.attentions]
        weights = [(StepKind.WEIGHT, f"{name}.weight") for name in composite.weights]
        for kind, name in attentions + weights:
            ending = Ending(kind=kind, tensor=f"{path}.{name}".removeprefix("."))
            left = residual == "none" and kind is StepKind.WEIGHT
            branches.append(
                Branch(
                    place=path or "the model",
                    ending=None if left else ending,
                    obstacle=NONE_CLOSED if left else None,
                )
            )
    return branches


def _places(branches: Iterable[Branch], kind: StepKind) -> dict[str, str]:
    return {
        branch.ending.tensor: branch.place
        for branch in branches
        if branch.ending is not None and branch.ending.kind is kind
    }

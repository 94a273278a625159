"""What a run says of a module: which tensors close a residual branch, and what stays open."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from torch import nn

from zeroinit_cli.models.attention import Attention, find_attention
from zeroinit_cli.models.chains import find_chains
from zeroinit_cli.models.closings import find_ends
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.endings import EVERYWHERE, End
from zeroinit_cli.models.forward import Guess, Untraced, run
from zeroinit_cli.models.heads import head_weights
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.lengths import find_lengths
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.parameters import find_uses
from zeroinit_cli.models.residual import Add, AddClass, find_adds
from zeroinit_cli.models.rows import Rows
from zeroinit_cli.models.sharing import Uses
from zeroinit_cli.models.stems import find_stems
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.tables import find_tables, tied_tables
from zeroinit_cli.models.tokens import normed_alone
from zeroinit_cli.models.uses import Use, UseKind


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
        value: what it adds, likewise.
    """

    place: str
    ending: "Ending | None"
    obstacle: str | None = None
    hint: str | None = None
    add: Node | None = None
    value: Node | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What closes a branch.

    Attributes:
        kind: a norm, a weight layer, attention, or a learned factor.
        tensor: name of the scale or weight that is 0; of attention, of the weight that gives its
            values; of a layer scale that is small as constructed, of that.
        rows: of a weight the first that is 0 and the one after the last; None for all.
        biases: names of what is added behind it, on the way to the add.
        size: of a layer scale that is left as it is, its largest entry.
        is_damped: the weight need not be 0, but only small.
    """

    kind: StepKind
    tensor: str
    rows: tuple[int, int] | None = None
    biases: tuple[str, ...] = ()
    size: float | None = None
    is_damped: bool = False


@dataclass(kw_only=True, slots=True)
class Projections:
    """What one weight gives to attention.

    Attributes:
        rows: of its outputs, by the letter q, k or v; None for all.
        closed: the place of the branch that v = 0 closes, if one is closed.
    """

    rows: dict[str, Rows | None] = field(default_factory=dict)
    closed: str | None = None

    def add(self, letter: str, rows: Rows | None, closed: str | None) -> None:
        """Note what an attention takes of it."""
        known = self.rows.get(letter, rows)
        self.rows[letter] = None if known is None or rows is None else known | rows
        self.closed = self.closed or closed


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """Everything that the policy asks of the run.

    Attributes:
        adds: every add of two values.
        branches: every residual branch.
        end_scales: scales of norms that end a branch, by name: the place of that branch.
        zero_weights: weights that are 0, likewise.
        damped_weights: weights behind a norm that are small, likewise.
        zero_factors: learned factors that are 0 where nothing else can be, likewise.
        zero_rows: weights that are 0 in some rows alone, likewise, with the first of these and the
            one after the last.
        closed_attention: weights that give the values of closed attention, likewise.
        projections: what gives queries, keys and values, by name: the rows of each letter.
        tables: embeddings that are looked up by position, by name: what kind of table they are.
        tied_tables: shapes of the token tables that are a head as well, by name.
        stems: kernels that read the net's input.
        chains: maps in chains of kernels without norms, by name: whether another map follows.
        uses: what the forward does with each parameter, by name.
        lengths: of weights under weight norm, by name: the name of their directions, and the
            dimension of their slices.
        uses_of_siblings: the same by the type of its owner and the name in it, for those that the
            run did not reach.
        closing_biases: what is added behind a zero that closes a branch, likewise.
        heads: weights of last layers that give an output by themselves.
        read: names of all parameters that the run read.
        normed_alone: tokens that a norm sees with nothing added.
        untraced: modules whose own forward is not known to its end.
        guess: what the module was run on, if that was guessed.
        flows: the graphs themselves, each with its adds.
        attentions: every attention in them, by the product of its values.
    """

    adds: tuple[FoundAdd, ...]
    branches: tuple[Branch, ...]
    end_scales: Mapping[str, str]
    zero_weights: Mapping[str, str]
    damped_weights: Mapping[str, str]
    zero_factors: Mapping[str, str]
    zero_rows: Mapping[str, tuple[str, int, int]]
    closed_attention: Mapping[str, str]
    projections: Mapping[str, "Projections"]
    tables: Mapping[str, UseKind]
    tied_tables: Mapping[str, tuple[int, ...]]
    stems: frozenset[str]
    chains: Mapping[str, bool]
    uses: Mapping[str, Use]
    lengths: Mapping[str, tuple[str, int]]
    uses_of_siblings: Mapping[tuple[type[nn.Module], str], Use]
    closing_biases: Mapping[str, str]
    heads: frozenset[str]
    read: frozenset[str]
    normed_alone: frozenset[str]
    untraced: tuple[Untraced, ...]
    guess: Guess | None = None
    flows: tuple[tuple[DataFlow, tuple[Add, ...]], ...] = field(default=(), compare=False)
    attentions: Mapping[Node, Attention] = field(default_factory=dict, compare=False)


def find_structure(
    module: nn.Module, residual: str, examples: Iterable[Example] | Example | None = None
) -> Structure:
    """The structure of a module.

    Args:
        module: built; of its values only those of layer scales matter.
        residual: how branches are to end: `damp`, `end`, `layer` or `none`, as a policy says.
        examples: of its arguments, tried in order; guessed if not given. A single one is a
            caller's, and has to be right.

    Raises:
        PlanError: the forward fails on a caller's example.
    """
    forward = run(module, examples)
    graphs = [DataFlow(part) for part in forward.parts]
    attentions = [find_attention(flow) for flow in graphs]
    flows = tuple(
        (flow, tuple(find_adds(flow, found.values())))
        for flow, found in zip(graphs, attentions, strict=True)
    )
    again = {node for part in forward.parts if part.is_again for node in part.nodes}
    ends = [
        end
        for (flow, adds), found in zip(flows, attentions, strict=True)
        for end in find_ends(flow, adds, residual, found)
    ]
    names = {id(each): name for name, each in module.named_parameters()}
    uses = find_uses((flow for flow, _ in flows), names)
    branches = _branches(ends, Uses(module, (flow for flow, _ in flows)), names)
    zero_weights = _places(branches, StepKind.WEIGHT)
    zero_factors = _places(branches, StepKind.SCALE)
    return Structure(
        adds=tuple(_found_adds(flows, again)),
        branches=tuple(_without_repetitions(branches, again)),
        end_scales=_places(branches, StepKind.NORM),
        zero_weights=zero_weights,
        damped_weights=_places(branches, StepKind.WEIGHT, is_damped=True),
        zero_factors=zero_factors,
        zero_rows={
            branch.ending.tensor: (branch.place, *branch.ending.rows)
            for branch in branches
            if branch.ending is not None and branch.ending.rows is not None
        },
        closed_attention=_places(branches, StepKind.ATTENTION),
        projections=_projections(attentions, ends, branches, names),
        tables=find_tables(flows, names),
        tied_tables=tied_tables(module, (flow for flow, _ in flows), names),
        stems=find_stems((flow for flow, _ in flows), names),
        chains=find_chains(graphs, names, {*zero_weights, *zero_factors, *_kept_zeros(branches)}),
        uses=uses,
        lengths=find_lengths(module, graphs, names),
        uses_of_siblings=_of_siblings(module, uses),
        closing_biases={
            name: branch.place
            for branch in branches
            if branch.ending is not None
            for name in branch.ending.biases
        },
        heads=frozenset(names[id(each)] for each in head_weights(flows) if id(each) in names),
        normed_alone=normed_alone(
            flows, uses, names, {each.add for each in branches if each.ending is None and each.add}
        ),
        read=_read((flow for flow, _ in flows), names),
        untraced=forward.untraced,
        guess=forward.guess,
        flows=flows,
        attentions={node: each for found in attentions for node, each in found.items()},
    )


def _found_adds(
    flows: Iterable[tuple[DataFlow, tuple[Add, ...]]], again: Set[Node]
) -> Iterator[FoundAdd]:
    """Every add; of those that were run again, those in places where none was seen before."""
    places: set[str] = set()
    for _, adds in flows:
        new = [add for add in adds if add.node not in again or add.place not in places]
        places.update(add.place for add in adds)
        yield from (FoundAdd(place=add.place, name=add.node.label, kind=add.kind) for add in new)


def _without_repetitions(branches: Iterable[Branch], again: Set[Node]) -> Iterator[Branch]:
    """The branches; of those that were run again, those that were not seen before."""
    seen: list[Branch] = []
    for branch in branches:
        plain = replace(branch, add=None, value=None)
        if branch.add not in again or plain not in seen:
            yield branch
        seen.append(plain)


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
            biases = tuple(names[id(bias)] for bias in end.biases if id(bias) in names)
            ending = Ending(
                kind=end.kind,
                tensor=names[id(end.closing)],
                rows=end.rows,
                biases=biases,
                is_damped=end.is_damped,
            )
        branches.append(
            Branch(
                place=end.place,
                ending=ending,
                obstacle=obstacle,
                hint=hint,
                add=end.add,
                value=end.value,
            )
        )
    return branches


def _kept_zeros(branches: Iterable[Branch]) -> Iterator[str]:
    """Learned factors that the constructor sets to 0, as in ReZero."""
    endings = (branch.ending for branch in branches)
    return (each.tensor for each in endings if each is not None and each.size == 0)


def _read(flows: Iterable[DataFlow], names: Mapping[int, str]) -> frozenset[str]:
    reads = (flow.tensor(node) for flow in flows for node in flow.nodes if node.op == "read")
    return frozenset(names[id(tensor)] for tensor in reads if id(tensor) in names)


def _of_siblings(
    module: nn.Module, uses: Mapping[str, Use]
) -> dict[tuple[type[nn.Module], str], Use]:
    """What a parameter of a type of module is used for elsewhere."""
    found: dict[tuple[type[nn.Module], str], Use] = {}
    for path, owner in module.named_modules():
        for name in owner._parameters:
            use = uses.get(f"{path}.{name}".removeprefix("."))
            if use is not None:
                found.setdefault((type(owner), name), use)
    return found


def _projections(
    attentions: Iterable[Mapping[Node, Attention]],
    ends: Iterable[End],
    branches: Iterable[Branch],
    names: Mapping[int, str],
) -> dict[str, Projections]:
    """The rows of each weight that give queries, keys and values, and where they are closed."""
    places = {
        id(end.attention): branch.place
        for end, branch in zip(ends, branches, strict=True)
        if end.attention is not None and branch.ending is not None
    }
    found: dict[str, Projections] = {}
    for attention in (each for flow in attentions for each in flow.values()):
        for letter, projection in attention.projections:
            name = names.get(id(projection.weight))
            if name is not None:
                rows = found.setdefault(name, Projections())
                rows.add(letter, projection.rows, places.get(id(attention)))
    return found


def _places(
    branches: Iterable[Branch], kind: StepKind, *, is_damped: bool = False
) -> dict[str, str]:
    """The branches that something of a kind closes or damps, by the name of what does."""
    return {
        branch.ending.tensor: branch.place
        for branch in branches
        if branch.ending is not None
        and branch.ending.kind is kind
        and branch.ending.size is None
        and branch.ending.rows is None
        and branch.ending.is_damped is is_damped
    }

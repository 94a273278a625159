"""Which adds are residual, and which of their operands are the branches.

An add is residual if one operand is a data ancestor of the other, or if both leave one fork, each
through layers of its own, and their counts of weight layers differ: the longer is the branch, and
a shortcut has at most one. Not residual are sums of products (a GRU's gates), of equal paths, of
values from different forks (token and position embeddings, two fields of one input), and of paths
of which the longer alone is enlarged on the way (a feature pyramid, LRASPP: two maps of different
depth, not a block).

A sum may be of several terms, and have several branches: see `sums.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Required, TypedDict

from zeroinit_cli.models.arithmetic import normalizes
from zeroinit_cli.models.attention import Attention
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    DISGUISED_ADDS,
    ENLARGING,
    LOOKUPS,
    MATRIX_PRODUCTS,
    PICKS,
    PRODUCTS,
    SPLITS,
    function_name,
)
from zeroinit_cli.models.scores import are_scores, is_for_scores, is_query
from zeroinit_cli.models.sums import operands, terms_of


class AddClass(StrEnum):
    """What an add is, in words."""

    IDENTITY = "residual: one operand goes into the other"
    FORK = "residual: both leave one fork, one by a longer way"
    PART = "part of a sum that goes on: see its last add"
    NO_LAYER = "not residual: no layer stands between the operands"
    PARAMETER = "not residual: adds what does not depend on the input"
    PRODUCTS = "not residual: adds products"
    FORKS = "not residual: the operands come from different forks"
    RESIZED = "not residual: the longer way alone is enlarged before it is added"
    QUERIES = "not residual: adds to what queries or keys are made of, and to nothing else"
    QUERY = "not residual: adds queries to what their attention gives"
    SCORES = "not residual: adds to the scores of attention"
    EQUAL = "not residual: both ways have as many weight layers"
    TWO_BRANCHES = "not residual: each way has several weight layers"
    DISGUISED = "not known: no plain add, but of a value and what comes from it"
    SCALED = "not known: adds a value and what comes from it, each scaled by a parameter"

    @property
    def is_residual(self) -> bool:
        """Whether the add closes a residual branch."""
        return self in (AddClass.IDENTITY, AddClass.FORK)

    @property
    def is_doubtful(self) -> bool:
        """Whether it may be residual, which only a person can tell."""
        return self in (AddClass.DISGUISED, AddClass.SCALED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Add:
    """An add of two values, or a sum of more.

    Attributes:
        place: the module in whose forward it stands.
        node: its last add in the graph.
        kind: what it is.
        start: the value that the branches leave, if it is residual.
        branches: the terms that are branches.
        trunks: terms that come from the start, but are themselves the start of another term.
    """

    place: str
    node: Node
    kind: AddClass
    start: Node | None = None
    branches: tuple[Node, ...] = ()
    trunks: tuple[Node, ...] = ()


def find_adds(flow: DataFlow, attentions: Iterable[Attention] = ()) -> list[Add]:
    """Every add in a graph, classified, in the order of the graph.

    Args:
        flow: the graph.
        attentions: in it.
    """
    attentions = list(attentions)
    found: dict[Node, Add] = {}
    for node in reversed(flow.nodes):
        if node in found:
            continue
        place = flow.place(node)
        if len(operands(flow, node)) > 1:
            terms, parts = terms_of(flow, node)
            of_terms = _classify(flow, terms)
            if of_terms["kind"].is_residual and are_scores(flow, node):
                of_terms = _Found(kind=AddClass.SCORES)
            if of_terms["kind"].is_residual and is_for_scores(flow, node, attentions):
                of_terms = _Found(kind=AddClass.QUERIES)
            if "start" in of_terms and is_query(flow, of_terms["start"]):
                of_terms = _Found(kind=AddClass.QUERY)
            found[node] = Add(place=place, node=node, **of_terms)
            for each in parts:
                found[each] = Add(place=flow.place(each), node=each, kind=AddClass.PART)
        elif _is_disguised(flow, node):
            found[node] = Add(place=place, node=node, kind=AddClass.DISGUISED)
    return [found[node] for node in flow.nodes if node in found]


class _Found(TypedDict, total=False):
    """The fields of an add that its terms decide."""

    kind: Required[AddClass]
    start: Node
    branches: tuple[Node, ...]
    trunks: tuple[Node, ...]


def _classify(flow: DataFlow, terms: Sequence[Node]) -> _Found:
    live = [term for term in terms if flow.depends_on_input(term)]
    if len(live) < 2:
        return _with_parameters(flow, terms, live)
    if not all(_is_product(flow, term) for term in live):
        return _relate(flow, live)
    scaled = [_scaled(flow, term) for term in live]
    values = [each for each in scaled if each is not None]
    if len(values) == len(live) and _relate(flow, values)["kind"].is_residual:
        return _Found(kind=AddClass.SCALED)
    return _Found(kind=AddClass.PRODUCTS)


def _relate(flow: DataFlow, terms: Sequence[Node]) -> _Found:
    """What values that all depend on the input are to each other."""
    above = {term: flow.ancestors_among(terms, term) for term in terms}
    if any(above.values()):
        return _by_ancestors(flow, terms, above)
    sources: dict[Node, list[Node]] = {}
    for term in terms:
        sources.setdefault(flow.source(term), []).append(term)
    found = [_by_fork(flow, each) for each in sources.values() if len(each) > 1]
    found.sort(key=lambda each: not each["kind"].is_residual)
    if found:
        return found[0]
    return _by_shortcut(flow, terms) or _Found(kind=AddClass.FORKS)


def _by_shortcut(flow: DataFlow, terms: Sequence[Node]) -> _Found | None:
    """Two terms of which one joins something else on its way, as a diffusion model its time step.

    The shortcut comes from the fork alone, through one layer at most, and the branch goes on from
    there by more.
    """
    if len(terms) != 2:
        return None
    for shortcut, branch in (terms, terms[::-1]):
        fork: Node | None = flow.dominator(shortcut)
        while fork is not None and flow.weight_layers(fork, shortcut) <= 1:
            if flow.is_ancestor(fork, branch):
                found = _by_fork_at(flow, fork, terms)
                is_it = found["kind"].is_residual and branch in found.get("branches", ())
                return found if is_it and flow.weight_layers(fork, branch) > 1 else None
            fork = flow.dominator(fork)
    return None


def _with_parameters(flow: DataFlow, terms: Sequence[Node], live: Sequence[Node]) -> _Found:
    """What is added to a parameter: residual only if the branch begins with that parameter.

    So it is with the queries that a decoder learns; a table of positions is only ever added.
    """
    for start in terms:
        for branch in live:
            if start is not branch and _begins(flow, start, branch):
                return _Found(kind=AddClass.IDENTITY, start=start, branches=(branch,))
    return _Found(kind=AddClass.PARAMETER)


def _begins(flow: DataFlow, start: Node, branch: Node) -> bool:
    """Whether a value goes into another through anything but an add."""
    inside = set(flow.between(start, branch))
    waiting = [start]
    while waiting:
        each = waiting.pop()
        for user in flow.users(each):
            if user in inside and flow.passed_on(user) is each:
                waiting.append(user)
            elif user in inside and not operands(flow, user):
                return True
    return False


def _by_ancestors(
    flow: DataFlow, live: Sequence[Node], above: Mapping[Node, Sequence[Node]]
) -> _Found:
    """Terms of which some come from others; another may still be longer than the start."""
    starts = {each for ancestors in above.values() for each in ancestors}
    start = next(term for term in live if term in starts and not above[term])
    branches = [
        term
        for term in live
        if term not in starts
        and (
            any(_has_layer(flow, each, term) for each in above[term])
            or term in _by_fork(flow, [start, term]).get("branches", ())
        )
    ]
    trunks = tuple(term for term in live if above[term] and term in starts)
    if not branches and not trunks:
        return _Found(kind=AddClass.NO_LAYER)
    return _Found(kind=AddClass.IDENTITY, start=start, branches=tuple(branches), trunks=trunks)


def _has_layer(flow: DataFlow, start: Node, term: Node) -> bool:
    """Whether anything on the way has a parameter; an activation written out has none."""
    return any(_has_parameter(flow, node) for node in flow.between(start, term))


def _has_parameter(flow: DataFlow, node: Node) -> bool:
    if node.op == "module":
        return flow.layers(node) > 0
    return any(flow.parameter(each) is not None for each in flow.parents(node))


def _by_fork(flow: DataFlow, terms: Sequence[Node]) -> _Found:
    """Terms of which none comes from another: do they leave one fork, some by a longer way?"""
    fork: Node | None = terms[0]
    for term in terms[1:]:
        fork = None if fork is None else flow.fork(fork, term)
    return _Found(kind=AddClass.FORKS) if fork is None else _by_fork_at(flow, fork, terms)


def _by_fork_at(flow: DataFlow, fork: Node, terms: Sequence[Node]) -> _Found:
    """What terms are to each other that all leave a value."""
    if _is_looked_up(flow, fork) or _are_parts(flow, fork, terms):
        return _Found(kind=AddClass.FORKS)
    counts = {term: flow.weight_layers(fork, term) for term in terms}
    shortest = min(terms, key=counts.__getitem__)
    longer = [term for term in terms if counts[term] > counts[shortest]]
    if not longer:
        return _Found(kind=AddClass.EQUAL)
    if counts[shortest] > 1:
        return _Found(kind=AddClass.TWO_BRANCHES)
    if not _is_enlarged(flow, fork, shortest):
        longer = [term for term in longer if not _is_enlarged(flow, fork, term)]
    kind = AddClass.FORK if longer else AddClass.RESIZED
    return _Found(kind=kind, start=fork, branches=tuple(longer))


def _is_looked_up(flow: DataFlow, fork: Node) -> bool:
    """Whether a value is an index into a table, which no shortcut can carry."""
    return any(function_name(each) in LOOKUPS for each in flow.users(fork))


def _are_parts(flow: DataFlow, fork: Node, terms: Sequence[Node]) -> bool:
    """Whether each term begins with fields, items or steps of its own of what seems a fork.

    Halves do not count as such: additive coupling adds one to what becomes of the other.
    """
    if function_name(fork) in SPLITS:
        return False
    picked: list[str] = []
    for term in terms:
        ways = [each for each in flow.between(fork, term) if fork in flow.parents(each)]
        if not all(_picks_one(each) for each in ways):
            return False
        picked += {repr(each.args[1:]) for each in ways}
    return len(picked) == len(set(picked))


def _picks_one(node: Node) -> bool:
    """Whether a node takes one item of a value: a field, an element of a tuple, a time step."""
    if function_name(node) not in PICKS:
        return False
    keys = node.args[1] if len(node.args) > 1 else None
    return any(isinstance(key, int | str) for key in (keys if isinstance(keys, tuple) else [keys]))


def _is_enlarged(flow: DataFlow, fork: Node, term: Node) -> bool:
    return any(function_name(node) in ENLARGING for node in flow.between(fork, term))


def _is_product(flow: DataFlow, term: Node) -> bool:
    """Whether a term is a product of two values, or of one with a parameter that scales it.

    What only passes it on does not matter; nor do constants, or the scale of a norm written out.
    """
    term = flow.origin(term)
    while function_name(term) in PRODUCTS and len(flow.parents(term)) == 1:
        term = flow.origin(flow.parents(term)[0])
    factors = flow.parents(term)
    if function_name(term) in MATRIX_PRODUCTS:
        return sum(map(flow.depends_on_input, flow.factors(term))) > 1
    if function_name(term) not in PRODUCTS or len(factors) < 2:
        return False
    live = [each for each in factors if flow.depends_on_input(each)]
    if len(live) != 1:
        return True
    fixed = next(each for each in factors if each is not live[0])
    is_learned = next(flow.parameters_in(fixed), None) is not None
    return is_learned and not normalizes(flow, flow.origin(live[0]))


def _scaled(flow: DataFlow, term: Node) -> Node | None:
    """The value that a product scales by a parameter; None if both factors are values."""
    factors = [each for each in flow.parents(flow.origin(term)) if flow.depends_on_input(each)]
    return flow.itself(factors[0]) if len(factors) == 1 else None


def _is_disguised(flow: DataFlow, node: Node) -> bool:
    """Whether a node may add what comes from a value to that value, but is no plain add."""
    if function_name(node) not in DISGUISED_ADDS:
        return False
    parents = [each for each in flow.parents(node) if flow.depends_on_input(each)]
    return any(
        flow.weight_layers(one, other) > 0
        for one in parents
        for other in parents
        if flow.is_ancestor(one, other)
    )

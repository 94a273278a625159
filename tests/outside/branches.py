"""The residual branches of a run, and what each adds to its start: measured, not derived.

A sum has branches if one of its terms is their start: they come from it by layers of weights, or
all leave one fork, it by the shortest way. Not counted are sums that become scores of attention
(scores.py), sums of products of two values, as of gates, and paths of which the longer is enlarged.
A branch is closed if what it adds is 0 in this run, or lost by rounding. Where the start is 0
itself that says nothing, for a branch gives 0 for 0: the run is repeated with noise added there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.outside.calls import (
    ENLARGED,
    PARTS,
    TIMES,
    VIEWS,
    is_layer,
    of_number,
    through_views,
)
from tests.outside.flow import ADDS, Step, Term
from tests.outside.scores import is_for_scores_alone, is_query_or_key, reaches_scores

_SMALL = 0.1  # of its start: what a layer scale lets through
_MOST_LAYERS_OF_A_SHORTCUT = 1


class State(StrEnum):
    """What a branch adds to its start in this run."""

    CLOSED = "closed"  # nothing
    SMALL = "small"
    OPEN = "open"
    DEAD = "dead"  # the start is 0 itself, and stays so
    BROKEN = "not finite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One residual branch.

    Attributes:
        place: the module in whose forward it is added.
        state: what it adds.
        ratio: its norm beside its start's.
        direct: its start goes on as it is; else by a shortcut of its own layers.
        origins: the steps that gave its start, and the fork that both leave.
        nudged: its start is 0, and its state that of another run with noise at its origins.
    """

    place: str
    state: State
    ratio: float
    direct: bool
    origins: tuple[int, ...] = ()
    nudged: bool = False


def branches(
    steps: Sequence[Step], again: Callable[[set[int]], Sequence[Step]] | None = None
) -> list[Branch]:
    """The branches of a run, in the order in which they are added.

    Args:
        steps: of the run.
        again: repeats the run with noise added at some steps.
    """
    found = _seen(steps)
    dead = {origin for each in found if each.state is State.DEAD for origin in each.origins}
    if not dead or again is None:
        return found
    repeated = _seen(again(dead))
    return [
        replace(other, nudged=True) if each.state is State.DEAD else each
        for each, other in zip(found, repeated, strict=True)
    ]


def _seen(steps: Sequence[Step]) -> list[Branch]:
    return [branch for each in _sums(steps) for branch in _branches_of(steps, each)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sum:
    """Adds that only feed the next add: the last of them, and what they sum up."""

    step: int
    terms: tuple[Term, ...]


def _sums(steps: Sequence[Step]) -> Iterator[_Sum]:
    """Adds of two values that both come from the input, but for those of attention's scores."""
    adds = {
        number
        for number, step in enumerate(steps)
        if step.terms and all(steps[term.step].fed for term in step.terms)
    }
    inner = {number for number in adds if _feeds_an_add(steps, number, adds)}
    for number in sorted(adds - inner):
        if not (reaches_scores(steps, number) or is_for_scores_alone(steps, number)):
            yield _Sum(step=number, terms=tuple(_terms(steps, number, inner)))


def _feeds_an_add(steps: Sequence[Step], number: int, adds: set[int]) -> bool:
    """Whether a sum goes, through views alone, into one further add and nowhere else."""
    while True:
        children = set(steps[number].children)
        if len(children) != 1:
            return False
        (number,) = children
        if number in adds:
            return True
        if steps[number].name not in VIEWS:
            return False


def _terms(steps: Sequence[Step], number: int, inner: set[int]) -> Iterator[Term]:
    for term in steps[number].terms:
        below = through_views(steps, term.step)
        if below in inner:
            yield from _terms(steps, below, inner)
        else:
            yield term


def _branches_of(steps: Sequence[Step], added: _Sum) -> Iterator[Branch]:
    place = steps[added.step].place
    direct, fork = _direct(steps, added.terms), None
    start = direct
    if direct is None:
        start, fork = _shortcut(steps, added.terms)
    if start is None or not _spans(start, added.terms) or is_query_or_key(steps, start.step):
        return
    origins = [start.step] if fork is None else [start.step, fork]
    for term in added.terms:
        if term is start or (direct and not _layers_beside(steps, start, term)):
            continue
        yield Branch(
            place=place,
            state=_state(steps, added.step, start, term),
            ratio=term.norm / start.norm if start.norm else math.inf,
            direct=direct is not None,
            origins=tuple(through_views(steps, each) for each in origins),
        )


def _state(steps: Sequence[Step], number: int, start: Term, term: Term) -> State:
    if not (math.isfinite(term.norm) and math.isfinite(start.norm)):
        return State.BROKEN
    if start.zero:
        return State.DEAD
    if term.zero or steps[number].swallowed == start.step:
        return State.CLOSED
    return State.SMALL if term.norm < _SMALL * start.norm else State.OPEN


def _spans(start: Term, terms: Sequence[Term]) -> bool:
    """Whether it is as large as the sum: what is spread over another is no stream that goes on."""
    return start.numel == max(term.numel for term in terms)


def _direct(steps: Sequence[Step], terms: Sequence[Term]) -> Term | None:
    """The term that the others come from, by way of weights."""
    for start in (term for term in terms if _spans(term, terms)):
        others = [term for term in terms if term is not start]
        if any(_layers_beside(steps, start, term) for term in others):
            return start
    return None


def _origin(steps: Sequence[Step], number: int) -> int:
    """What a value is a view, or a fixed multiple, of; a part is not the whole."""
    while True:
        step = steps[number]
        fed = [parent for parent in step.parents if steps[parent].fed]
        multiple = step.name in TIMES and len(fed) == 1
        if multiple and any(steps[each].learned for each in step.parents if each not in fed):
            return number
        if not fed or not (multiple or of_number(steps, number) or step.name in VIEWS - PARTS):
            return number
        number = fed[0]


def _layers_beside(steps: Sequence[Step], start: Term, term: Term) -> bool:
    """Whether a term comes from the start, and from layers of weights that the start does not."""
    origin = _origin(steps, start.step)
    if origin == _origin(steps, term.step) or not _holds(steps[term.step].past, origin):
        return False
    own = steps[term.step].past & ~steps[origin].past
    return any(is_layer(steps, number) for number in _numbers(own))


def _shortcut(steps: Sequence[Step], terms: Sequence[Term]) -> tuple[Term, int] | tuple[None, None]:
    """The term by fewest layers, where all leave one fork, and the fork."""
    past = [steps[term.step].past for term in terms]
    common = past[0]
    for each in past[1:]:
        common &= each
    forks = [each for each in _numbers(common) if steps[each].fed and steps[each].fractions]
    if not forks or all(_is_gated(steps, term.step) for term in terms):
        return None, None
    fork = forks[-1]
    leads_back = all(_leads_back(steps, term.step, fork) for term in terms)
    if not leads_back or _of_other_parts(steps, past, fork):
        return None, None
    lengths = [_length(steps, list(_numbers(each & ~steps[fork].past)), fork) for each in past]
    fewest = min(lengths)
    short = [index for index, length in enumerate(lengths) if length == fewest]
    if len(short) > 1 or fewest > _MOST_LAYERS_OF_A_SHORTCUT:
        return None, None
    shortcut = terms[short[0]]
    if not _enlarged(steps, shortcut, fork) and any(
        _enlarged(steps, term, fork) for term in terms if term is not shortcut
    ):
        return None, None
    return shortcut, fork


def _is_gated(steps: Sequence[Step], number: int) -> bool:
    step = steps[through_views(steps, number)]
    return step.name in TIMES and sum(steps[each].fed for each in step.parents) > 1


def _of_other_parts(steps: Sequence[Step], past: Sequence[int], fork: int) -> bool:
    """Whether they all come from parts of the fork, and no two from the same."""
    ways = [{each for each in steps[fork].children if _holds(own, each)} for own in past]
    parts = {each for way in ways for each in way}
    apart = sum(map(len, ways)) == len(parts)
    return apart and all(way and steps[each].name in PARTS for way in ways for each in way)


def _leads_back(steps: Sequence[Step], number: int, fork: int) -> bool:
    """Whether a value is what became of the fork; what else joins it on the way does not matter.

    Of a sum either operand may be it, of anything else the first that comes from the input.
    """
    waiting, seen = [number], {number}
    while waiting:
        number = waiting.pop()
        if number == fork:
            return True
        fed = [each for each in steps[number].parents if steps[each].fed]
        onward = set(fed if steps[number].name in ADDS else fed[:1]) - seen
        waiting += onward
        seen |= onward
    return False


def _length(steps: Sequence[Step], own: Sequence[int], fork: int) -> int:
    """Most layers on a way from the fork."""
    length = {fork: 0}
    for number in own:
        before = [length[each] for each in steps[number].parents if each in length]
        if before:
            length[number] = max(before) + is_layer(steps, number)
    return length[own[-1]] if own else 0


def _enlarged(steps: Sequence[Step], term: Term, fork: int) -> bool:
    own = steps[term.step].past & ~steps[fork].past
    return any(steps[number].name in ENLARGED for number in _numbers(own))


def _holds(past: int, number: int) -> bool:
    return bool(past >> number & 1)


def _numbers(bits: int) -> Iterator[int]:
    """Which bits are set, from the lowest."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest

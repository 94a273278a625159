"""The residual branches of a run, and what each adds to its start: measured, not derived."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.outside.flow import ADDS, PART, Step, Term

_PARTS = {PART, "__getitem__", "select", "narrow"}
_VIEWS = _PARTS | {
    "view", "reshape", "permute", "transpose", "contiguous", "to", "type", "float", "half",
    "bfloat16", "double", "unsqueeze", "squeeze", "flatten", "unflatten", "expand", "expand_as",
    "type_as", "clone", "detach", "t", "__get__", "swapaxes", "movedim", "moveaxis", "chunk",
    "split", "unbind", "view_as", "reshape_as", "roll", "pad",
    "dropout", "dropout_", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout",
}  # fmt: skip
_PRODUCTS = {
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "addmm", "baddbmm", "addbmm", "bmm", "matmul", "__matmul__", "__rmatmul__",
    "einsum", "mm", "mv", "bilinear", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh",
    "rnn_relu", "_grouped_mm", "grouped_mm",
}  # fmt: skip
_TIMES = {"mul", "mul_", "__mul__", "__rmul__", "__imul__", "div", "div_", "__truediv__"}
_TO_SCORES = _VIEWS | _TIMES | ADDS | {
    "__sub__", "sub", "masked_fill", "masked_fill_", "where", "tanh", "clamp", "minimum", "maximum",
    "cat", "nan_to_num",
}  # fmt: skip
_ENLARGED = {"interpolate", "upsample", "pixel_shuffle", "grid_sample", "max_unpool2d"} | {
    f"conv_transpose{rank}d" for rank in (1, 2, 3)
}
_SMALL = 0.1  # of its start: what a layer scale lets through
_MOST_STEPS_TO_SCORES = 12
_MOST_LAYERS_OF_A_SHORTCUT = 1


class State(StrEnum):
    """What a branch adds to its start in this run."""

    CLOSED = "closed"  # nothing
    SMALL = "small"
    OPEN = "open"
    DEAD = "dead"  # the start is 0 itself, and so says nothing
    BROKEN = "not finite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One residual branch.

    Attributes:
        place: the module in whose forward it is added.
        state: what it adds.
        ratio: its norm beside its start's.
        direct: its start goes on as it is; else by a shortcut of its own layers.
    """

    place: str
    state: State
    ratio: float
    direct: bool


def branches(steps: Sequence[Step]) -> list[Branch]:
    """The branches of a run, in the order in which they are added."""
    return [branch for step in _sums(steps) for branch in _branches_of(steps, step)]


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
        if not _reaches_scores(steps, number):
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
        if steps[number].name not in _VIEWS:
            return False


def _terms(steps: Sequence[Step], number: int, inner: set[int]) -> Iterator[Term]:
    for term in steps[number].terms:
        below = _through_views(steps, term.step)
        if below in inner:
            yield from _terms(steps, below, inner)
        else:
            yield term


def _through_views(steps: Sequence[Step], number: int) -> int:
    while steps[number].name in _VIEWS and steps[number].parents:
        number = steps[number].parents[0]
    return number


def _reaches_scores(steps: Sequence[Step], number: int) -> bool:
    """Whether a sum is made weights of attention."""
    reached, seen = {number}, {number}
    for _ in range(_MOST_STEPS_TO_SCORES):
        onward = {(each, child) for each in reached for child in steps[each].children}
        if any(_makes_weights(steps[child], each) for each, child in onward):
            return True
        reached = {child for _, child in onward if steps[child].name in _TO_SCORES} - seen
        seen |= reached
    return False


def _makes_weights(step: Step, scores: int) -> bool:
    if step.name == "scaled_dot_product_attention":
        return scores in step.parents[3:]  # its mask
    return step.name in ("softmax", "_softmax", "log_softmax")


def _branches_of(steps: Sequence[Step], added: _Sum) -> Iterator[Branch]:
    place = steps[added.step].place
    direct = _direct(steps, added.terms)
    start = direct if direct is not None else _shortcut(steps, added.terms)
    if start is None or not _spans(start, added.terms):
        return
    for term in added.terms:
        if term is start or (direct and not _layers_beside(steps, start, term)):
            continue
        yield Branch(
            place=place,
            state=_state(steps, added.step, start, term),
            ratio=term.norm / start.norm if start.norm else math.inf,
            direct=direct is not None,
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
        multiple = step.name in _TIMES and len(fed) == 1
        if multiple and any(steps[each].learned for each in step.parents if each not in fed):
            return number
        alone = step.name in ADDS and len(step.parents) == 1  # with a number
        if not fed or not (multiple or alone or step.name in _VIEWS - _PARTS):
            return number
        number = fed[0]


def _layers_beside(steps: Sequence[Step], start: Term, term: Term) -> bool:
    """Whether a term comes from the start, and from layers of weights that the start does not."""
    origin = _origin(steps, start.step)
    if origin == _origin(steps, term.step) or not _holds(steps[term.step].past, origin):
        return False
    own = steps[term.step].past & ~steps[origin].past
    return any(_is_layer(steps, number) for number in _numbers(own))


def _is_layer(steps: Sequence[Step], number: int) -> bool:
    step = steps[number]
    return (
        step.name in _PRODUCTS
        and any(steps[each].fed for each in step.parents)
        and any(steps[each].learned and not steps[each].fed for each in step.parents)
    )


def _shortcut(steps: Sequence[Step], terms: Sequence[Term]) -> Term | None:
    """The term by fewest layers, where all leave one fork."""
    past = [steps[term.step].past for term in terms]
    common = past[0]
    for each in past[1:]:
        common &= each
    forks = [each for each in _numbers(common) if steps[each].fed and steps[each].fractions]
    if not forks or all(_is_gated(steps, term.step) for term in terms):
        return None
    fork = forks[-1]
    leads_back = all(_leads_back(steps, term.step, fork) for term in terms)
    if not leads_back or _of_other_parts(steps, past, fork):
        return None
    lengths = [_length(steps, list(_numbers(each & ~steps[fork].past)), fork) for each in past]
    fewest = min(lengths)
    short = [index for index, length in enumerate(lengths) if length == fewest]
    if len(short) > 1 or fewest > _MOST_LAYERS_OF_A_SHORTCUT:
        return None
    shortcut = terms[short[0]]
    if not _enlarged(steps, shortcut, fork) and any(
        _enlarged(steps, term, fork) for term in terms if term is not shortcut
    ):
        return None
    return shortcut


def _is_gated(steps: Sequence[Step], number: int) -> bool:
    step = steps[_through_views(steps, number)]
    return step.name in _TIMES and sum(steps[each].fed for each in step.parents) > 1


def _of_other_parts(steps: Sequence[Step], past: Sequence[int], fork: int) -> bool:
    """Whether they all come from parts of the fork, and no two from the same."""
    ways = [{each for each in steps[fork].children if _holds(own, each)} for own in past]
    parts = {each for way in ways for each in way}
    apart = sum(map(len, ways)) == len(parts)
    return apart and all(way and steps[each].name in _PARTS for way in ways for each in way)


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
            length[number] = max(before) + _is_layer(steps, number)
    return length[own[-1]] if own else 0


def _enlarged(steps: Sequence[Step], term: Term, fork: int) -> bool:
    own = steps[term.step].past & ~steps[fork].past
    return any(steps[number].name in _ENLARGED for number in _numbers(own))


def _holds(past: int, number: int) -> bool:
    return bool(past >> number & 1)


def _numbers(bits: int) -> Iterator[int]:
    """Which bits are set, from the lowest."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest

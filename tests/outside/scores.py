"""Whether what a run adds becomes scores of attention, and not a value that goes on.

Scores say how much of each value is taken; a sum on the way to them is no stream with a branch.
There are three kinds, told by where values go:

- what reaches a softmax by no layer: relative positions and masks, added to the scores themselves;
- what nothing but scores is made of, by whatever layers: positions that are added to queries and
  keys anew in each block (SAM, DETR), or two ways of pooling what is to be the query;
- queries or keys as they are, added to what attention gives (MViT's residual pooling): they weigh
  other values in that very sum, and nothing was made of them.
"""

from collections.abc import Sequence

from tests.outside.calls import PARTS, PRODUCTS, TIMES, VIEWS, is_layer
from tests.outside.flow import ADDS, PART, Step

_SOFTMAX = {"softmax", "_softmax"}
_ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_VALUE = 2  # among what these are given: query, key, value, mask
_ON_THE_WAY = VIEWS | TIMES | ADDS | {
    "__sub__", "sub", "masked_fill", "masked_fill_", "where", "tanh", "clamp", "minimum", "maximum",
    "cat", "nan_to_num", "__setitem__",
}  # fmt: skip
_MOST_STEPS = 12


def reaches_scores(steps: Sequence[Step], number: int) -> bool:
    """Whether a sum is made weights of attention, by no layer."""
    reached, seen = {number}, {number}
    for _ in range(_MOST_STEPS):
        onward = {(each, child) for each in reached for child in steps[each].children}
        if any(_is_weighed_by(steps[child], each) for each, child in onward):
            return True
        reached = {child for _, child in onward if steps[child].name in _ON_THE_WAY} - seen
        seen |= reached
    return False


def _is_weighed_by(step: Step, scores: int) -> bool:
    if step.name == "scaled_dot_product_attention":
        return scores in step.parents[_VALUE + 1 :]  # its mask
    return step.name in (*_SOFTMAX, "log_softmax")


def is_for_scores_alone(steps: Sequence[Step], number: int) -> bool:
    """Whether every way on from a value ends in scores of attention."""
    waiting, seen = [number], {number}
    while waiting:
        value = waiting.pop()
        if not steps[value].children:
            return False  # it is given back
        for child in set(steps[value].children) - seen:
            if not _takes_scores(steps, child, value):
                waiting.append(child)
                seen.add(child)
    return True


def _takes_scores(steps: Sequence[Step], number: int, value: int) -> bool:
    """Whether a step makes weights of a value, and passes nothing of it on."""
    step = steps[number]
    if step.name in _ATTENTION:
        others = (*step.parents[:_VALUE], *step.parents[_VALUE + 1 :])
        return value in others and step.parents[_VALUE] != value
    return step.name in _SOFTMAX and _weighs(steps, number)


def _weighs(steps: Sequence[Step], softmax: int) -> bool:
    """Whether a softmax is a factor of a product of matrices: no probabilities, but weights."""
    waiting, seen = [softmax], {softmax}
    while waiting:
        value = waiting.pop()
        for child in set(steps[value].children) - seen:
            factors = [each for each in steps[child].parents if steps[each].fed]
            if steps[child].name in PRODUCTS and len(factors) > 1:
                return True
            if steps[child].name in _ON_THE_WAY:
                waiting.append(child)
                seen.add(child)
    return False


def is_query_or_key(steps: Sequence[Step], number: int) -> bool:
    """Whether a value is multiplied by another to give scores, as it is or as it is a view of."""
    waiting = [(each, False) for each in _and_what_it_is_part_of(steps, number)]
    seen = set(waiting)
    while waiting:
        value, is_score = waiting.pop()
        for child in steps[value].children:
            name = steps[child].name
            if name == "scaled_dot_product_attention" and not is_score:
                if _takes_scores(steps, child, value):
                    return True
            elif name in _SOFTMAX and is_score:
                if _weighs(steps, child):
                    return True
            elif _is_score(steps, child) or name in (_ON_THE_WAY if is_score else VIEWS | TIMES):
                further = (child, is_score or _is_score(steps, child))
                waiting += [] if further in seen else [further]
                seen.add(further)
    return False


def _and_what_it_is_part_of(steps: Sequence[Step], number: int) -> list[int]:
    """A value, and what it is a view or a slice of; one of several tensors is no such."""
    found = [number]
    while steps[number].name in VIEWS - {PART} and steps[number].parents:
        (above, *_) = steps[number].parents
        if steps[number].name in PARTS and steps[above].rank != steps[number].rank:
            break
        number = above
        found.append(number)
    return found


def _is_score(steps: Sequence[Step], number: int) -> bool:
    """Whether a step multiplies two values as matrices."""
    return steps[number].name in PRODUCTS and not is_layer(steps, number)

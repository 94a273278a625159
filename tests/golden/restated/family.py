"""A family of models: which tensors close its branches, and which are out of the ordinary."""

import re
from dataclasses import dataclass

from torch import Tensor

from tests.golden.restated.entries import Choice, Rule, damped, damped_weight, one, weight, zero


@dataclass(frozen=True, slots=True)
class Branch:
    """The tensors that end a kind of residual branch: by default, and by the paper."""

    default: tuple[str, Rule] | None
    paper: tuple[str, Rule] | None


def norm(scale: str, layer: str | None) -> Branch:
    """A branch whose last member is a norm: that is damped, or the layer before it is 0."""
    return Branch((scale, damped), (layer, zero) if layer else None)


def layer(name: str) -> Branch:
    """A branch whose last member is a layer, with a norm before it: that is damped, or 0."""
    return Branch((name, damped_weight), (name, zero))


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns match the end of a tensor's name, from the beginning of one of its parts."""

    branches: tuple[Branch, ...] = ()
    special: tuple[tuple[str, Rule], ...] = ()


ORDINARY: tuple[tuple[str, Rule], ...] = (
    ("num_batches_tracked|running_mean", zero),
    ("running_var", one),
    ("bias", zero),
    ("weight", weight),
)


def rules(family: Family, choice: Choice) -> tuple[tuple[str, Rule], ...]:
    """The first rule whose pattern matches is a tensor's rule."""
    ends = (getattr(branch, choice.policy) for branch in family.branches)
    return (*filter(None, ends), *family.special, *ORDINARY)


def matches(pattern: str, name: str) -> bool:
    return re.search(rf"(^|\.)({pattern})$", name) is not None


def apply(
    family: Family, state: dict[str, Tensor], choice: Choice
) -> tuple[dict[str, Tensor], dict[str, Rule]]:
    """Our tensors, and the rule that each of them was given.

    Raises:
        LookupError: a tensor without a rule, or a pattern of the family without a tensor.
    """
    table = rules(family, choice)
    chosen: dict[str, Rule] = {}
    used: set[str] = set()
    for name in state:
        pattern, rule = next((row for row in table if matches(row[0], name)), ("", None))
        if rule is None:
            raise LookupError(f"no rule for {name}")
        chosen[name] = rule
        used.add(pattern)
    idle = [row[0] for row in table[: -len(ORDINARY)] if row[0] not in used]
    if idle:
        raise LookupError(f"no tensor for {idle}")
    return {name: chosen[name](tensor, choice) for name, tensor in state.items()}, chosen

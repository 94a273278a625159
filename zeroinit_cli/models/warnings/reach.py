"""What no run of the forward reached, and what the forward was run on where that was guessed."""

from collections.abc import Iterator

from zeroinit_cli.models.layer_types import use_by_type
from zeroinit_cli.models.warnings.seen import Seen, listed
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.text import counted

_HINT = "example_inputs=... says what it takes"


def guessed_inputs(seen: Seen) -> Iterator[PlanWarning]:
    """Guessed inputs that did not show all, so that others might show more.

    A run that went through and reached everything is no matter of what it was run on.
    """
    guess = seen.structure.guess
    if guess is None or (guess.is_whole and len(guess.examples) == 1 and not unreached(seen)):
        return
    forms = [str(example) for example in guess.examples]
    found = "" if guess.is_whole else ", which its forward does not run through on"
    yield PlanWarning(
        kind="guessed-inputs",
        text=f"what the model takes was guessed: {'; then '.join(forms) or 'nothing'}{found}",
        hint=_HINT,
    )


def not_reached(seen: Seen) -> Iterator[PlanWarning]:
    """Parameters that no run of the forward read, and what their rules go by instead."""
    names = unreached(seen)
    if names:
        sources = dict.fromkeys(_source(seen, name) for name in names)
        number = counted(len(names), "tensor was", "tensors were")
        yield PlanWarning(
            kind="not-reached",
            text=f"{number} not reached by the forward: {listed(names)}; their rules go by "
            f"{', '.join(sources)}",
            hint=None if seen.structure.guess is None else "example_inputs=... that lead to them",
            tensors=seen.in_order(names),
        )


def unreached(seen: Seen) -> list[str]:
    """The parameters that no run read and no override rules."""
    return [
        name
        for name in seen.names.values()
        if name in seen.rules
        and name not in seen.structure.read
        and not any(override.matches(name) for override in seen.options.overrides)
    ]


def _source(seen: Seen, name: str) -> str:
    path, _, attribute = name.rpartition(".")
    owner = seen.module.get_submodule(path)
    if isinstance(seen.rules[name], Kept):
        return "what their constructors set"
    if (type(owner), attribute) in seen.structure.uses_of_siblings:
        return "the use of others of their class"
    if use_by_type(owner, attribute) is not None:
        return "the types of their layers"
    return "no use at all: 0"

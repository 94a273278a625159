"""What a fuzzer needs to know of a reader."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zeroinit_cli.errors import ZeroinitError

Mutate = Callable[[bytes, Sequence[bytes], random.Random], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A reader under attack.

    Attributes:
        name: what it is called on the command line.
        suffix: of files that hold findings.
        seeds: what mutants come from.
        mutate: a mutant of some bytes, with others to borrow from.
        examine: says in a word what became of one mutant; whatever it raises is a finding.
        most_seconds: of processor time that one mutant may take.
        most_megabytes: that the process may ever hold.
    """

    name: str
    suffix: str
    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    examine: Callable[[bytes], str]
    most_seconds: float = 2.0
    most_megabytes: int = 500


def check_message(error: ZeroinitError, most: int = 20_000) -> None:
    """Hold a refusal against the shape that all messages have.

    Raises:
        TypeError: it has another one, or would do something to a terminal.
    """
    text = str(error)
    lines = text.split("\n")
    if not (lines[0].startswith("error: ") and len(text) <= most):
        raise TypeError("a message of another shape") from error
    if not all(line.isprintable() for line in lines):
        raise TypeError("a message that a terminal would obey") from error

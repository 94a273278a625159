"""How long work tells whoever watches how far it is."""

from collections.abc import Callable

Advance = Callable[[int], None]
"""Told how many more bytes are done."""
Progress = Callable[[str, int], Advance]
"""Given a label and a number of bytes, gives what is told of each part done."""


def no_advance(nbytes: int) -> None:
    """Nobody watches this task."""


def no_progress(label: str, nbytes: int) -> Advance:
    """Nobody watches any task."""
    return no_advance

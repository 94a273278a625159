"""Callbacks by which long work reports its progress.

A module of its own: the command line needs it at every start, and must then import nothing more.
"""

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called with the number of bytes that were done since the last call."""
Progress = Callable[[str, int], Advance]
"""Called with a label and a number of bytes before a task; gives the task's `Advance`."""


def no_advance(nbytes: int) -> None:
    """Report nothing of a task."""


def no_progress(label: str, nbytes: int) -> Advance:
    """Report nothing of any task."""
    return no_advance

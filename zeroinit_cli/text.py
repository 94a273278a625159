"""Numbers and lists of things, as a person writes them."""

from collections.abc import Iterable


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Write a number of things: `1 tensor`, `2 tensors`, `1,000 branches are`.

    Args:
        number: of them.
        thing: the word for one.
        things: the word for another number of them; with an s by default.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def listed(names: Iterable[str], most: int) -> str:
    """Name the first few of many things: `a, b and 7 more`.

    Args:
        names: all of them, in the order in which they are named.
        most: how many are named; the others are counted.
    """
    every = list(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")

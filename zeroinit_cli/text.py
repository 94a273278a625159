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


def shortened(text: str, most: int, start: float = 1 / 3) -> str:
    """Shorten a name in its middle: `model.l…q_proj.weight`.

    Args:
        text: the name.
        most: characters that may be left.
        start: the share of them that is left of its start; its end most often tells more.
    """
    if len(text) <= most:
        return text
    first = int((most - 1) * start)
    return f"{text[:first]}…{text[len(text) - (most - 1 - first) :]}"


def abridged(text: str, most: int) -> str:
    """Cut a long text, and tell how long it is: `AAAA... (200,000 characters)`."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"

"""Numbers of things, as a person writes them."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A number of things: `1 tensor`, `2 tensors`, `1,000 branches are`.

    Args:
        number: of them.
        thing: the word for one.
        things: the word for another number of them; with an s by default.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"

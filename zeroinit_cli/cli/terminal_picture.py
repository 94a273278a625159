"""A picture in the terminal: colours in half blocks, or characters where there are none."""

import os
import shutil
import sys
from collections.abc import Callable

from zeroinit_cli.cli.console import coloured
from zeroinit_cli.commands.tensor_picture import LEVELS, NOT_A_NUMBER, Colour, Picture, colour_of

_DARK, _WARM, _COLD = (28, 28, 28), (255, 110, 70), (70, 150, 255)
_POSITIVE, _NEGATIVE = "+*#", "-=%"  # from weak to strong
_PLAIN_SIZE = (32, 64)  # cells where output is no terminal


def in_colour() -> bool:
    """Tell whether standard output is a terminal that shows colours and half blocks."""
    return coloured(sys.stdout) and (sys.stdout.encoding or "").lower().startswith("utf")


def most_cells() -> tuple[int, int]:
    """Return the number of rows and columns of cells that fit."""
    if not sys.stdout.isatty():
        return _PLAIN_SIZE
    columns, lines = shutil.get_terminal_size()
    rows = max(min(lines - 6, 48), 8)
    return rows * (2 if in_colour() else 1), max(min(columns, 160), 8)


def render(picture: Picture) -> str:
    """Draw the picture as lines of text."""
    return _in_blocks(picture) if in_colour() else _in_characters(picture)


def legend() -> str:
    """Explain the characters or colours of a picture."""
    if in_colour():
        return "red is above 0, blue below, dark is 0, green no number"
    return f"{_POSITIVE} above 0, {_NEGATIVE} below, from weak to strong; . is 0, ? no number"


def _in_characters(picture: Picture) -> str:
    return "\n".join("".join(map(_character, row)) for row in picture.levels.tolist())


def _character(level: int) -> str:
    if level == NOT_A_NUMBER:
        return "?"
    if level == 0:
        return "."
    strength = (abs(level) - 1) * 3 // LEVELS
    return (_POSITIVE if level > 0 else _NEGATIVE)[strength]


def _in_blocks(picture: Picture) -> str:
    """Draw two rows of cells in a line: the upper in the text's colour, the lower as background."""
    exact = os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    code = _exact_code if exact else _nearest_code
    rows = picture.levels.tolist()
    pairs = zip(rows[::2], [*rows[1::2], None], strict=False)
    return "\n".join(_line(upper, lower, code) for upper, lower in pairs)


def _line(upper: list[int], lower: list[int] | None, code: Callable[[Colour], str]) -> str:
    parts, last = [], None
    for place, level in enumerate(upper):
        style = f"38;{code(_shade(level))}"
        if lower is not None:
            style += f";48;{code(_shade(lower[place]))}"
        parts.append("▀" if style == last else f"\x1b[{style}m▀")
        last = style
    return "".join(parts) + "\x1b[0m"


def _shade(level: int) -> Colour:
    return colour_of(level, zero=_DARK, positive=_WARM, negative=_COLD)


def _exact_code(colour: Colour) -> str:
    return "2;{};{};{}".format(*colour)


def _nearest_code(colour: Colour) -> str:
    """Return the nearest of the 6 x 6 x 6 colours that terminals have had since xterm's 256."""
    red, green, blue = (round(part / 255 * 5) for part in colour)
    return f"5;{16 + 36 * red + 6 * green + blue}"

"""Tables: no wider than the terminal and without a cut number; elsewhere each row is one line."""

import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from shutil import get_terminal_size

from zeroinit_cli.cli.console import out, painted
from zeroinit_cli.text import shortened

_GAP = "  "
_NARROWEST = {"NAME": 20, "TEXT": 8}  # characters, in any window
_STARTS = (1 / 3, 1 / 2, 2 / 3, 4 / 5)  # shares of a short name that its start may have
_MOST_CELL = 300  # characters, whatever a stranger calls a tensor; --json has all of them
_ASCII = str.maketrans({"─": "-", "…": "~"})
"""Instead of what is no letter of a terminal without UTF-8."""


class Kind(Enum):
    """What may be done to a column's cells where there is no room for them."""

    NUMBER = 0
    """Nothing; they stand to the right."""
    WORD = 1
    """Nothing."""
    NAME = 32
    """They are shortened in the middle, to so many characters at the least."""
    TEXT = 16
    """They are broken between words, to so many characters at the least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column.

    Attributes:
        heading: its first line.
        kind: of its cells.
        spare: the column with the largest is left out first where there is no room; 0 for one
            that never is.
    """

    heading: str
    kind: Kind = Kind.TEXT
    spare: int = 0

    @property
    def fixed(self) -> bool:
        """Whether it has one width."""
        return self.kind in (Kind.NUMBER, Kind.WORD)


Row = Sequence[str]


def print_table(columns: Sequence[Column], rows: Sequence[Row], *, every: bool = False) -> None:
    """Print rows under headings, and which columns had to be left out.

    Args:
        columns: from the left.
        rows: printable texts, one for each column.
        every: leave nothing out and shorten nothing, however wide the lines get.
    """
    narrow = sys.stdout.isatty() and not every
    room = get_terminal_size().columns if narrow else None
    cells = [list(map(_bounded, row, columns)) for row in rows]
    natural = [
        max(map(_width, (column.heading, *(row[at] for row in cells))))
        for at, column in enumerate(columns)
    ]
    shown = _that_fit(columns, natural, room)
    kept, widths = [columns[at] for at in shown], _widths(columns, natural, shown, room)
    heading = _line([column.heading for column in kept], kept, widths)
    rule = "─" * (sum(widths) + len(_GAP) * (len(shown) - 1))
    lines = [painted(heading, "bold", sys.stdout), rule]
    for at, width in zip(shown, widths, strict=True):
        if columns[at].kind is Kind.NAME and natural[at] > width:
            for row, name in zip(
                cells, _short_names([row[at] for row in cells], width), strict=True
            ):
                row[at] = name
    for row in cells:
        lines += _row_lines([row[at] for at in shown], kept, widths)
    lines += _note(columns, natural, dict(zip(shown, widths, strict=True)))
    text = "\n".join(lines)
    if not (sys.stdout.encoding or "utf-8").lower().startswith("utf"):
        text = text.translate(_ASCII)
    out(text)


def _note(
    columns: Sequence[Column], natural: Sequence[int], widths: Mapping[int, int]
) -> Iterator[str]:
    """Say what a table does not show for want of room."""
    missing = [column.heading for at, column in enumerate(columns) if at not in widths]
    said = [f"without {', '.join(missing)}"] if missing else []
    if any(columns[at].kind is Kind.NAME and natural[at] > widths[at] for at in widths):
        said.append("names shortened")
    if said:
        yield f"({'; '.join(said)}; see --all)"


def _bounded(cell: str, column: Column) -> str:
    """Shorten what a stranger made endless: a name in its middle, a text between words."""
    if len(cell) <= _MOST_CELL:
        return cell
    end = cell.rfind(" ", 0, _MOST_CELL)
    if column.kind is Kind.NAME or end < 0:
        return shortened(cell, _MOST_CELL)
    return f"{cell[:end]} …"


def _that_fit(columns: Sequence[Column], natural: Sequence[int], room: int | None) -> list[int]:
    """Choose the columns that can be shown; those that are most to spare go first."""
    shown = list(range(len(columns)))
    while room is not None:
        least = sum(_least(columns[at], natural[at]) for at in shown)
        spare = max(shown, key=lambda at: columns[at].spare)
        if least + len(_GAP) * (len(shown) - 1) <= room or not columns[spare].spare:
            break
        shown.remove(spare)
    return shown


def _least(column: Column, natural: int) -> int:
    return natural if column.fixed else min(natural, column.kind.value)


def _widths(
    columns: Sequence[Column], natural: Sequence[int], shown: Sequence[int], room: int | None
) -> list[int]:
    """Share the room that the least widths leave among the columns that want more."""
    if room is None:
        return [natural[at] for at in shown]
    widths = {at: _least(columns[at], natural[at]) for at in shown}
    left = room - sum(widths.values()) - len(_GAP) * (len(shown) - 1)
    if left < 0:  # a narrow window: all that can give way do
        flexible = [at for at in shown if not columns[at].fixed]
        left += sum(widths[at] for at in flexible)
        widths |= {at: min(natural[at], _NARROWEST[columns[at].kind.name]) for at in flexible}
        left -= sum(widths[at] for at in flexible)
    wanting = sorted((at for at in shown if widths[at] < natural[at]), key=lambda at: natural[at])
    for number, at in enumerate(wanting):
        more = min(natural[at] - widths[at], max(left, 0) // (len(wanting) - number))
        widths[at] += more
        left -= more
    return [widths[at] for at in shown]


def _row_lines(row: Row, columns: Sequence[Column], widths: Sequence[int]) -> Iterator[str]:
    """Yield a row's line; several, where a text is broken."""
    if all(_width(cell) <= width for cell, width in zip(row, widths, strict=True)):
        yield _line(row, columns, widths)
        return
    broken = [
        _broken(cell, column, width)
        for cell, column, width in zip(row, columns, widths, strict=True)
    ]
    for number in range(max(map(len, broken))):
        parts = [lines[number] if number < len(lines) else "" for lines in broken]
        yield _line(parts, columns, widths)


def _line(cells: Row, columns: Sequence[Column], widths: Sequence[int]) -> str:
    return _GAP.join(
        _padded(cell, width, right=column.kind is Kind.NUMBER)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ).rstrip()


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _broken(cell: str, column: Column, width: int) -> list[str]:
    """Make lines of a cell that are no wider than its column."""
    if _width(cell) <= width or column.fixed:
        return [cell]
    lines, line = [], ""
    for word in cell.split(" "):
        longer = f"{line} {word}" if line else word
        if line and _width(longer) > width:
            lines.append(line)
            longer = word
        while _width(longer) > width:
            end = _last_joint(longer, width)
            lines.append(longer[:end])
            longer = longer[end:]
        line = longer
    return [*lines, line]


def _last_joint(word: str, width: int) -> int:
    """Find where a word that is too wide is best parted: behind a dot or the like."""
    most = width
    while _width(word[:most]) > width:
        most -= 1
    joint = max(word.rfind(mark, 1, most) for mark in "._/-")
    return joint + 1 if joint > 0 else most


def _short_names(names: Sequence[str], width: int) -> list[str]:
    """Shorten names to a width in the way that keeps the most of them apart."""
    ways = ([_short_name(name, width, start) for name in names] for start in _STARTS)
    best = next(ways)
    for way in ways:
        if len(set(best)) == len(set(names)):
            break
        best = max(best, way, key=lambda each: len(set(each)))
    return best


def _short_name(name: str, width: int, start: float) -> str:
    """Shorten a name to a width, which letters of two columns fill sooner than others."""
    short, most = name, width
    while _width(short) > width:
        short = shortened(name, most, start)
        most -= 1
    return short


def _width(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )

"""Tables of text: as wide as the terminal, or a row a line where nobody looks."""

import sys
from collections.abc import Sequence

from zeroinit_cli.cli.console import out

_WIDTH = 10_000  # off a terminal: a row is a line, which grep finds whole


def print_table(
    rows: Sequence[Sequence[str]], *, numbers: frozenset[str], whole: frozenset[str]
) -> None:
    """Print rows, the first of them headings.

    Args:
        rows: printable texts.
        numbers: headings whose columns are aligned to the right and never wrapped.
        whole: headings whose columns are never wrapped.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for heading in rows[0]:
        table.add_column(
            heading,
            justify="right" if heading in numbers else "left",
            no_wrap=heading in numbers | whole,
            overflow="fold",
        )
    for row in rows[1:]:
        table.add_row(*row)
    console = Console(
        highlight=False, markup=False, emoji=False, width=None if terminal else _WIDTH
    )
    with console.capture() as capture:
        console.print(table)
    # what no person sees, blanks at the ends of lines and blank lines around, is left out
    lines = [line.rstrip() for line in capture.get().split("\n")]
    out("\n".join(lines).strip("\n"))

"""The results as a table for the terminal, and as Markdown in the README."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.figures import ModelResult
from benchmarks.machine import Machine
from benchmarks.rows import ROWS, Row, cells

_MARKED = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- /table -->)", re.DOTALL)


def terminal_table(results: Sequence[ModelResult]) -> Table:
    """One column a model, a rule under each part."""
    table = Table(title="median (least - most)")
    table.add_column()
    for result in results:
        table.add_column(_heading(result), justify="right")
    for row in ROWS:
        style = "bold" if row.figure is None else None
        table.add_row(row.label, *cells(row, results), style=style)
    return table


def machine_lines(machine: Machine) -> list[str]:
    """What the numbers belong to, in three lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [
        f"Machine: {machine.cores} cores of {machine.cpu}, "
        f"{machine.memory_bytes / 1e9:.0f} GB of memory, {machine.system}.",
        f"Load average before the run: {machine.load:.1f}.",
        f"Versions: {versions}.",
    ]


def update_readme(path: Path, machine: Machine, results: Sequence[ModelResult]) -> None:
    """Put the table between the file's two markers.

    Raises:
        ValueError: the markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    if not _MARKED.search(text):
        raise ValueError(f"{path.name} has no <!-- table --> and <!-- /table -->")
    lines = [*_markdown(results), "", *machine_lines(machine)]
    table = "\n".join(lines) + "\n"
    path.write_text(_MARKED.sub(lambda _: table, text), encoding="utf-8")


def _heading(result: ModelResult) -> str:
    return f"{result.name}, {len(result.rounds)} rounds"


def _markdown(results: Sequence[ModelResult]) -> Iterator[str]:
    yield _line(["", *map(_heading, results)])
    yield _line(["---", *("---:" for _ in results)])
    for row in ROWS:
        yield _line([_markdown_label(row), *cells(row, results)])


def _markdown_label(row: Row) -> str:
    return f"**{row.label}**" if row.figure is None else row.label


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"

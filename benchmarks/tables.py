"""Parts as tables for the terminal, and as Markdown in the README."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.samples import Part, Row, Sample, Series, Spread, spread
from benchmarks.targets import Target

_MARKED = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- /table -->)", re.DOTALL)


def terminal_tables(parts: Sequence[Part]) -> Iterator[Table]:
    """One table a part, one column a subject."""
    for part in parts:
        table = Table(title=f"{part.title}: median (least - most)", caption="\n".join(part.notes))
        table.add_column()
        for series in part.series:
            table.add_column(_heading(series), justify="right")
        for row in part.rows:
            style = "bold" if row.figure is None else None
            table.add_row(row.label, *_cells(row, part.series), style=style)
        yield table


def target_table(targets: Sequence[Target]) -> Table:
    """What was promised, and what was measured."""
    table = Table(title="Targets")
    for heading in ("what", "target", "measured", "met"):
        table.add_column(heading)
    for target in targets:
        table.add_row(target.what, target.bound_text, target.found_text, target.verdict)
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


def update_readme(
    path: Path, machine: Machine, targets: Sequence[Target], parts: Sequence[Part]
) -> None:
    """Put the tables between the file's two markers.

    Raises:
        ValueError: the markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    if not _MARKED.search(text):
        raise ValueError(f"{path.name} has no <!-- table --> and <!-- /table -->")
    tables = "\n".join([*machine_lines(machine), "", *_targets(targets), *_parts(parts)]) + "\n"
    path.write_text(_MARKED.sub(lambda _: tables, text), encoding="utf-8")


def _targets(targets: Sequence[Target]) -> Iterator[str]:
    yield "### Targets"
    yield ""
    yield _line(["what", "target", "measured", "met"])
    yield _line(["---", "---:", "---:", "---"])
    for target in targets:
        yield _line([target.what, target.bound_text, target.found_text, target.verdict])
    yield ""


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        yield f"### {part.title}"
        yield ""
        yield _line(["", *map(_heading, part.series)])
        yield _line(["---", *("---:" for _ in part.series)])
        for row in part.rows:
            label = f"**{row.label}**" if row.figure is None else row.label
            yield _line([label, *_cells(row, part.series)])
        for note in part.notes:
            yield ""
            yield f"{note}."
        yield ""


def _heading(series: Series) -> str:
    count = len(series.samples)
    return f"{series.name}, {'once' if count == 1 else f'{count} rounds'}"


def _cells(row: Row, series: Sequence[Series]) -> list[str]:
    """The row's text for every subject; a heading's are empty."""
    return [_cell(row, one.samples) for one in series]


def _cell(row: Row, samples: Sequence[Sample]) -> str:
    if row.figure is None:
        return ""
    found = spread(samples, row.figure)
    return "n/a" if found is None else _text(found, row) + _fewer(found, samples)


def _text(found: Spread, row: Row) -> str:
    middle, least, most = (row.form(value) for value in (found.median, found.least, found.most))
    return middle if least == most else f"{middle} ({least} - {most})"


def _fewer(found: Spread, samples: Sequence[Sample]) -> str:
    """Said only where a figure was measured in fewer rounds than the column has."""
    if found.count == len(samples):
        return ""
    return ", once" if found.count == 1 else f", {found.count} rounds"


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"

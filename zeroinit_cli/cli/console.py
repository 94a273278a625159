"""Printing: data to standard output, messages to standard error, progress to a terminal only."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zeroinit_cli.errors import OutputError, printable, reason_of
from zeroinit_cli.progress import Advance, Progress, no_progress

_PATIENCE = 1.0  # seconds before a bar appears
_WIDTH = 10_000  # of a table where output is no terminal: each row is one line, for grep


def out(text: str) -> None:
    """Print a line of data to standard output.

    Raises:
        OutputError: it cannot be written.
        ClosedPipeError: whoever read it has gone.
    """
    _write(sys.stdout, text)


def say(text: str) -> None:
    """Print a message to standard error."""
    _write(sys.stderr, text)


def out_json(data: Any) -> None:
    """Print data as JSON, keys sorted, so that the same answer is the same text."""
    out(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False))


def append(path: Path, text: str) -> None:
    """Append text to a file; make the file if it is missing.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise OutputError("cannot write", where=str(path), found=reason_of(error)) from error


def _write(stream: Any, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def print_table(
    rows: Sequence[Sequence[str]], *, numbers: frozenset[str], whole: frozenset[str]
) -> None:
    """Print rows as a table; the first row holds the headings.

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
    # without blanks at the ends of lines and blank lines around the table
    lines = [line.rstrip() for line in capture.get().split("\n")]
    out("\n".join(lines).strip("\n"))


@contextmanager
def shown_progress(*, quiet: bool, unit: str = "bytes") -> Iterator[Progress]:
    """Show a bar for work that takes longer than a second, if standard error is a terminal.

    Args:
        quiet: nobody wants one.
        unit: of what is counted.
    """
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    bars = _Bars(unit)
    try:
        yield bars.start
    finally:
        bars.stop()


class _Bars:
    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._progress: Any = None

    def start(self, label: str, nbytes: int) -> Advance:
        """Start a task; its bar appears when the task turns out to be long."""
        began, done, task = time.monotonic(), 0, None
        label = printable(label)  # it may end in a stranger's name for a file

        def advance(more: int) -> None:
            nonlocal done, task
            done += more
            if task is None and time.monotonic() - began > _PATIENCE:
                task = self._display().add_task(label, total=nbytes)
            if task is not None:
                self._progress.update(task, completed=done)

        return advance

    def _display(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            counts = (
                (DownloadColumn(), TransferSpeedColumn())
                if self._unit == "bytes"
                else (MofNCompleteColumn(), TextColumn(self._unit))
            )
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                *counts,
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
        return self._progress

    def stop(self) -> None:
        """Remove the bars."""
        if self._progress is not None:
            self._progress.stop()

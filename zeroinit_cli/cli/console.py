"""Printing: data to standard output, messages to standard error, progress to a terminal only."""

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zeroinit_cli.errors import OutputError, one_line, printable, reason_of
from zeroinit_cli.progress import Advance, Progress, no_progress

_PATIENCE = 1.0  # seconds before a bar appears
_PAINTS = {"bold": "1", "red": "1;31", "yellow": "1;33", "green": "1;32"}
_LABELS = {"error": "red", "warning": "yellow", "hint": "bold"}
_NO_TERMINAL = "dumb" if sys.platform == "win32" and "WT_SESSION" not in os.environ else ""
"""What TERM is taken for where it is not set: Windows' old console shows no colours."""


def out(text: str) -> None:
    """Print a line of data to standard output.

    Raises:
        OutputError: it cannot be written.
        ClosedPipeError: whoever read it has gone.
    """
    _write(sys.stdout, text)


def say(text: str) -> None:
    """Print a message to standard error; on a terminal the word that says its kind in colour."""
    if coloured(sys.stderr):
        # strangers' names cannot begin a line: `errors` makes each one line, and indents others
        text = re.sub(rf"^({'|'.join(_LABELS)}):", _label_painted, text, flags=re.MULTILINE)
    _write(sys.stderr, text)


def warn(warnings: Iterable[str]) -> None:
    """Print what a person should know of strangers' files to standard error."""
    for warning in warnings:
        say(f"warning: {one_line(warning)}")


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


def coloured(stream: Any) -> bool:
    """Tell whether a stream is a terminal that shows colours, and nobody has asked for none."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", _NO_TERMINAL) == "dumb"
    return bool(stream.isatty()) and not plain


def painted(text: str, paint: str, stream: Any) -> str:
    """Write a text of ours in colour or bold, where the stream shows that."""
    return f"\x1b[{_PAINTS[paint]}m{text}\x1b[0m" if text and coloured(stream) else text


def _label_painted(label: re.Match[str]) -> str:
    return painted(label[0], _LABELS[label[1]], sys.stderr)


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

"""Workflow commands, which GitHub Actions turns into annotations.

The syntax and its escapes are those of GitHub's page "Workflow commands for GitHub Actions" and of
its own toolkit: `::error file=...,line=...,title=...::message`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from zeroinit_cli.cli.console import out
from zeroinit_cli.errors import MistakeError, SpecError, ZeroinitError, printable

MOST_LINES = 20
"""Of one annotation: GitHub cuts messages of more than 64 KB, and nobody reads so many."""
_MOST_LINE = 1000
_OLD_PREFIX = "##["  # the runner's first syntax of commands, which it obeys anywhere in a line


class Level(StrEnum):
    """The level of an annotation, which decides how it is shown."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


def annotate(
    level: Level,
    title: str,
    lines: Iterable[str],
    *,
    file: Path | None = None,
    line: int | None = None,
    column: int | None = None,
) -> None:
    """Print one annotation.

    Args:
        level: how it is shown.
        title: its first line.
        lines: the message, cut where it is long.
        file: that it is about, as a path of this process.
        line: in the file, from 1.
        column: likewise.
    """
    properties = {
        "file": None if file is None else _in_workspace(file),
        "line": line,
        "col": column,
        "title": printable(title),
    }
    given = ",".join(
        f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None
    )
    out(f"::{level} {given}::{_data(cut(lines))}")


def plain(text: str) -> None:
    """Print a line that GitHub does not take for a command, whatever names are in it."""
    line = printable(text).replace(_OLD_PREFIX, "## [")
    out(f" {line}" if line.startswith("::") else line)


def cut(lines: Iterable[str], most: int = MOST_LINES) -> str:
    """Join lines into one printable text; long lines and long lists are cut."""
    shown = [printable(line) for line in lines]
    more = len(shown) - most
    if more > 0:
        shown[most:] = [f"and {more} more"]
    return "\n".join(
        text if len(text) <= _MOST_LINE else f"{text[:_MOST_LINE]}..." for text in shown
    )


@contextmanager
def annotated(title: str, wanted: bool) -> Iterator[None]:
    """Print an annotation for the error that ends the command; the error is raised again.

    A file that is not what its name says is named for what it is first.

    Args:
        title: of the annotation.
        wanted: whether the answer is printed in this format; if not, nothing is done.
    """
    try:
        yield
    except ZeroinitError as error:
        from zeroinit_cli.commands.foreign_files import named

        better = named(error)
        if wanted:
            _annotate_error(title, better)
        if better is error:
            raise
        raise better from error


def _annotate_error(title: str, error: ZeroinitError) -> None:
    if isinstance(error, SpecError):
        for fault in error.faults[: SpecError.most_shown]:
            _annotate_mistake(title, fault)
    else:
        file, line = _place_of(error)
        annotate(Level.ERROR, title, str(error).splitlines(), file=file, line=line)


def _place_of(error: ZeroinitError) -> tuple[Path | None, int | None]:
    """Return the file that an error is in, and its line, if they are known."""
    path, _, number = (error.where or "").partition(": line ")
    with suppress(OSError, ValueError):  # no path at all
        if Path(path).is_file():
            return Path(path), int(number) if number.isdecimal() else None
    return None, None


def _annotate_mistake(title: str, fault: MistakeError) -> None:
    lines = str(fault).splitlines()
    file = Path(fault.file)
    annotate(Level.ERROR, title, lines, file=file, line=fault.line, column=fault.column)


def _in_workspace(file: Path) -> str:
    """Return a path relative to the repository's top, as GitHub needs it."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace:
        place = Path(os.path.realpath(file.parent), file.name)
        with suppress(ValueError):  # it lies outside
            return place.relative_to(os.path.realpath(workspace)).as_posix()
    return file.as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

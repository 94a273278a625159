"""The output of `verify`: one line for a checkpoint that holds, all details for one that fails."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from zeroinit_cli.cli import github
from zeroinit_cli.cli.console import out, painted, say
from zeroinit_cli.commands.findings import Cause, Finding, Unanswered, Verified
from zeroinit_cli.errors import one_line, printable

Results = Sequence[Verified | Unanswered]

_MOST_LINES = 20  # of a finding; --json has them all


def status(result: Verified | Unanswered) -> str:
    """Return one word, or one for each finding; "ok" only where something was checked and held."""
    if isinstance(result, Unanswered):
        return "unanswered"
    if result.findings:
        return ", ".join(finding.outcome.value for finding in result.findings)
    return "ok" if result.checked else "skipped"


def print_human(results: Results) -> None:
    """Print a line for each checkpoint, and the findings and guesses of those that fail."""
    for result in results:
        word, colon, rest = headline(result).partition(":")
        out(painted(f"{word}{colon}", _paint(result), sys.stdout) + rest)
        if isinstance(result, Unanswered):
            say(str(result.error))
            continue
        for finding in result.findings:
            for line in _cut(finding.lines):
                out(f"  {finding.outcome.value}: {one_line(line)}")
        for line in cause_lines(result.causes):
            out(f"  {one_line(line)}")


def _paint(result: Verified | Unanswered) -> str:
    if isinstance(result, Unanswered) or not (result.findings or result.checked):
        return "yellow"
    return "red" if result.findings else "green"


def headline(result: Verified | Unanswered) -> str:
    """Write the line that tells a checkpoint's status."""
    said = ""
    if isinstance(result, Verified) and result.checked and not result.findings:
        said = f" ({', '.join(result.checked)})"
    return f"{status(result)}: {printable(str(result.path))}{said}"


def cause_lines(causes: Sequence[Cause]) -> Iterator[str]:
    """Yield a line for each guess, marked as a guess."""
    for cause in causes:
        yield f"probably: {cause.text}"
        if cause.hint is not None:
            yield f"  hint: {cause.hint}"


def print_github(results: Results, *, quiet: bool) -> None:
    """Print an annotation at the lock's entry for each checkpoint that fails."""
    for result in results:
        if isinstance(result, Unanswered):
            lines = str(result.error).splitlines()
        elif result.findings:
            lines = [
                *(f"{finding.outcome.value}: {line}" for finding, line in _numbered(result)),
                *cause_lines(result.causes),
            ]
        else:
            if not quiet:
                github.plain(headline(result))
            continue
        title = f"{status(result)}: {result.path}"
        github.annotate(
            github.Level.ERROR, title, lines, file=result.lock or result.path, line=result.line
        )


def _numbered(result: Verified) -> Iterator[tuple[Finding, str]]:
    for finding in result.findings:
        for line in _cut(finding.lines, github.MOST_LINES // 2):
            yield finding, line


def to_json(results: Results) -> dict[str, Any]:
    """Return the document that docs/output.md describes."""
    return {"checkpoints": [_checkpoint_json(result) for result in results]}


def _checkpoint_json(result: Verified | Unanswered) -> dict[str, Any]:
    document: dict[str, Any] = {
        "causes": [],
        "checked": [],
        "error": None,
        "findings": [],
        "line": result.line,
        "lock": None if result.lock is None else str(result.lock),
        "path": str(result.path),
        "status": status(result),
    }
    if isinstance(result, Unanswered):
        return {**document, "error": str(result.error)}
    return {
        **document,
        "causes": [_cause_json(cause) for cause in result.causes],
        "checked": list(result.checked),
        "findings": [_finding_json(finding) for finding in result.findings],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "differing": [
            {
                "count": tensor.count,
                "expected": tensor.expected,
                "found": tensor.found,
                "index": list(tensor.index),
                "name": tensor.info.name,
                "numel": tensor.info.numel,
            }
            for tensor in finding.differences
        ],
        "lines": list(finding.lines),
        "outcome": finding.outcome.value,
    }


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {"hint": cause.hint, "kind": cause.kind, "text": cause.text}


def _cut(lines: Sequence[str], most: int = _MOST_LINES) -> Sequence[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"and {len(lines) - most + 1} more; --json tells them all"]

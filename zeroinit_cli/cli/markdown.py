"""The results of `verify` as Markdown, for the summary of a CI run or a comment."""

import re
from collections.abc import Iterator

from zeroinit_cli.cli.github import cut
from zeroinit_cli.cli.reports.verification import Results, cause_lines, status
from zeroinit_cli.commands.findings import Unanswered, Verified
from zeroinit_cli.errors import ZeroinitError, printable

_MOST_LINES = 50


def summary(results: Results) -> str:
    """Write a heading with counts, a table of all checkpoints, and the details of failures."""
    rows = (
        f"| {_code(str(result.path))} | {status(result)} | {_what(result)} |" for result in results
    )
    table = ["| checkpoint | status | |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [f"### zeroinit verify: {_heading(results)}", "", *table, *_details(results), ""]
    )


def no_answer(error: ZeroinitError) -> str:
    """Write the report of a run in which nothing could be checked."""
    body = cut(str(error).splitlines(), _MOST_LINES)
    return "\n".join(["### zeroinit verify: no answer", "", *_block(body), ""])


def _heading(results: Results) -> str:
    words = [status(result) for result in results]
    counts = {word: words.count(word) for word in ("ok", "skipped", "unanswered")}
    counts["failed"] = len(words) - sum(counts.values())
    order = ("failed", "unanswered", "ok", "skipped")
    return ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


def _what(result: Verified | Unanswered) -> str:
    if isinstance(result, Unanswered):
        return _markdown_text(result.error.problem)
    cause = f"probably {result.causes[0].text}" if result.causes else ""
    return _markdown_text(cause or ", ".join(result.checked))


def _details(results: Results) -> Iterator[str]:
    for result in results:
        if isinstance(result, Unanswered):
            lines = str(result.error).splitlines()
        elif result.findings:
            lines = [
                f"{finding.outcome.value}: {line}"
                for finding in result.findings
                for line in finding.lines
            ]
            lines += cause_lines(result.causes)
        else:
            continue
        yield from (
            "",
            f"**{_markdown_text(str(result.path))}**",
            "",
            *_block(cut(lines, _MOST_LINES)),
        )


def _block(body: str) -> tuple[str, str, str]:
    fence = _fence(body)
    return f"{fence}text", body, fence


def _fence(body: str) -> str:
    """Return a fence longer than any run of backticks in the text, so that none ends the block."""
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    return "`" * max(3, longest + 1)


def _code(text: str) -> str:
    """Write a code span for one cell of a table."""
    shown = printable(text).replace("|", "\\|")
    if "`" in shown:
        return _markdown_text(text)
    return f"`{shown}`"


def _markdown_text(text: str) -> str:
    """Escape a text so that Markdown and HTML show it as it is."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~@-])", r"\\\1", printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""A spec's bytes -> its text: UTF-8, no tabs that indent, and places in it."""

import re

from zeroinit_cli.errors import MistakeError, SpecError

MOST_BYTES = 100_000
"""A spec larger than this is none; the parser reads as much in half a second."""


def decode(data: bytes, file: str) -> str:
    """The text of a spec: UTF-8, with or without a byte order mark.

    Raises:
        SpecError: too long, or not UTF-8.
    """
    if len(data) > MOST_BYTES:
        found = f"{len(data)} bytes"
        expected = f"at most {MOST_BYTES} bytes"
        raise single_fault("too large for a spec", file, 1, 1, expected=expected, found=found)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the codec counts behind the mark that it has taken off
        offset = error.start + 3 * data.startswith(b"\xef\xbb\xbf")
        before = data[:offset].decode("utf-8-sig", errors="replace")
        line, column = position_of(before, len(before))
        raise single_fault(
            "not UTF-8",
            file,
            line,
            column,
            found=f"byte 0x{data[offset]:02x}",
            hint="save it as UTF-8",
        ) from error


def position_of(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of a character; CR, LF and both together end a line."""
    before = text[:index].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def refuse_tabs(text: str, file: str) -> None:
    """Tabs that indent, all of them: YAML's own message for one is hard to understand."""
    faults = [
        MistakeError(
            "a tab in the indentation",
            file=file,
            line=number,
            column=len(match[1]) + 1,
            expected="spaces",
        )
        for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1)
        if (match := re.match(r"( *)\t\s*[^\s#]", line))
    ]
    if faults:
        raise SpecError(faults)


def single_fault(
    problem: str,
    file: str,
    line: int,
    column: int,
    *,
    expected: str | None = None,
    found: str | None = None,
    hint: str | None = None,
) -> SpecError:
    """The error of a file of which nothing else can be said."""
    fault = MistakeError(
        problem, file=file, line=line, column=column, expected=expected, found=found, hint=hint
    )
    return SpecError([fault])

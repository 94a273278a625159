"""The text of a spec: UTF-8, lines and columns, tabs, and what plain words mean."""

import re

from zeroinit_cli.errors import MistakeError, SpecError

MOST_SPEC_BYTES = 100_000
"""The size of the largest spec, which the parser reads in half a second."""

YamlScalar = None | bool | int | float | str

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, YamlScalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        f"{sign}{word}": float(f"{sign}inf")
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
}


def decode(data: bytes, file: str) -> str:
    """Decode a spec: UTF-8, with or without a byte order mark.

    Raises:
        SpecError: too long, or not UTF-8.
    """
    if len(data) > MOST_SPEC_BYTES:
        found = f"{len(data)} bytes"
        expected = f"at most {MOST_SPEC_BYTES} bytes"
        raise single_fault("too large for a spec", file, 1, 1, expected=expected, found=found)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the codec counts from behind the byte order mark
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
    """Return a character's line and column, from 1; CR, LF and both together end a line."""
    before = text[:index].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def refuse_tabs(text: str, file: str) -> None:
    """Refuse tabs that indent; YAML's own message for a tab is hard to understand.

    Raises:
        SpecError: there are some.
    """
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
    """Make the error of a file that has no other mistake to report."""
    fault = MistakeError(
        problem, file=file, line=line, column=column, expected=expected, found=found, hint=hint
    )
    return SpecError([fault])


def resolve(text: str) -> YamlScalar:
    """Return the value of a plain scalar, by YAML 1.2's core schema.

    Source:
        https://yaml.org/spec/1.2.2/#1032-tag-resolution
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > 40:  # far beyond 64 bits; int() refuses a few thousand digits
            return 2**64
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text

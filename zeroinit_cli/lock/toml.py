"""TOML that anybody may have written, read with the standard library within bounds.

The library's time and memory grow with the square of the parts of a dotted key, so that a few
kilobytes could take minutes and gigabytes. Keys are therefore measured before it sees them, and
values counted after: whoever validates them may find a fault in each.
"""

import re
import tomllib
from typing import Any

MOST_PARTS = 4
"""Parts of a dotted key; a lock's longest has three."""
MOST_VALUES = 150_000
"""Values of a document, a table counted as ten; a lock of the largest size has two thirds of it."""
_TABLE = 10

# What holds no structure: strings of the four kinds, and comments. One without its end reaches to
# where the library will give up, which reads nothing behind it. All repetitions are possessive:
# what they have taken they keep, so the time is linear.
_OPAQUE = re.compile(
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?'''
    r"""|'''(?:[^']++|'(?!''))*+(?:'{3,5})?"""
    r"""|"(?:[^"\\\n]++|\\[^\n])*+"?"""
    r"""|'[^'\n]*+'?"""
    r"""|\#[^\n]*+""",
    re.DOTALL,
)
_PIECES = re.compile(r"[^\n=,{}\[\]]++")


def parse_toml(data: bytes) -> dict[str, Any]:
    """A TOML document as plain values.

    Raises:
        ValueError: it is no TOML, or nested more deeply than anything that is meant to be read;
            the message is one line.
    """
    text = _text(data)
    pieces = _PIECES.finditer(_OPAQUE.sub("s", text))
    if any(piece[0].count(".") >= MOST_PARTS for piece in pieces):
        raise ValueError(f"a key of more than {MOST_PARTS} parts")
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _count(document) > MOST_VALUES:
        raise ValueError("more values than a lock can hold")
    return document


def table_lines(data: bytes, name: str) -> tuple[int, ...]:
    """Where each `[[name]]` stands in a document that was parsed: its line, counted from 1.

    Tables that are written inline have no header of their own, and none is returned for them.
    """
    text = _text(data)
    pairs = zip(_lines(text), _lines(_without_opaque(text)), strict=True)
    return tuple(
        number
        for number, (line, bare) in enumerate(pairs, 1)
        if bare.lstrip(" \t").startswith("[[") and _parsed(line) == {name: [{}]}
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig")  # some editors begin every file with this mark


def _lines(text: str) -> list[str]:
    return text.split("\n")  # as TOML counts them; str.splitlines knows more ends than it does


def _without_opaque(text: str) -> str:
    """The same lines without what strings and comments hold."""
    return _OPAQUE.sub(lambda found: "s" + "\n" * found[0].count("\n"), text)


def _parsed(line: str) -> dict[str, Any] | None:
    """A line by itself, however its key is quoted and whatever comment ends it."""
    try:
        return tomllib.loads(line.removesuffix("\r"))
    except tomllib.TOMLDecodeError:
        return None


def _count(document: dict[str, Any]) -> int:
    count, values = 0, list[Any]([document])
    while values:
        value = values.pop()
        if isinstance(value, dict):
            count += _TABLE
            values += value.values()
        else:
            count += 1
            values += value if isinstance(value, list) else ()
    return count

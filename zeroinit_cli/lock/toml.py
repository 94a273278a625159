"""TOML that anybody may have written, read with the standard library within bounds.

The library's time and memory grow with the square of the number of parts of a dotted key: a few
kilobytes could take minutes and gigabytes. Keys are therefore measured before the library sees
them. Values are counted afterwards, because validation may report a fault for each.
"""

import re
import tomllib
from typing import Any

MOST_PARTS = 4
"""Parts of a dotted key; a lock's longest has three."""
MOST_VALUES = 150_000
"""Values of a document, a table counted as ten; a lock of the largest size has two thirds of it."""
_TABLE = 10

# Strings of the four kinds, and comments: they hold no structure. Where one does not end, the
# library stops, too. All repetitions are possessive: they never backtrack, so the time is linear.
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
    """Parse a TOML document into plain values.

    Raises:
        ValueError: it is no TOML, or nested more deeply than anything that is meant to be read;
            the message is one line.
    """
    text = _decoded(data)
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
    """Find each `[[name]]` in a document that was parsed: its line, counted from 1.

    Tables that are written inline have no header, and no line is returned for them.
    """
    text = _decoded(data)
    pairs = zip(_lines(text), _lines(_without_opaque(text)), strict=True)
    return tuple(
        number
        for number, (line, bare) in enumerate(pairs, 1)
        if bare.lstrip(" \t").startswith("[[") and _parsed(line) == {name: [{}]}
    )


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig")  # some editors begin every file with this mark


def _lines(text: str) -> list[str]:
    return text.split("\n")  # as in TOML; str.splitlines knows more line ends


def _without_opaque(text: str) -> str:
    """Return the same lines without the content of strings and comments."""
    return _OPAQUE.sub(lambda found: "s" + "\n" * found[0].count("\n"), text)


def _parsed(line: str) -> dict[str, Any] | None:
    """Parse a line by itself, however its key is quoted and whatever comment ends it."""
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

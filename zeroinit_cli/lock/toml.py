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
    text = data.decode("utf-8-sig")  # some editors begin every file with this mark
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

"""Sizes as people type them: `5GB`, `1.5 MB`, or plain bytes; the units are decimal."""

import re
from fractions import Fraction

from zeroinit_cli.errors import UsageError, shown

UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "KB": 10**3}
_MOST = 2**63 - 1
_NUMBER = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)", re.ASCII)


def parse_size(text: str, where: str) -> int:
    """Bytes, from a number and a unit of 1000 bytes and its powers; without a unit, bytes.

    Raises:
        UsageError: it is no such size, no whole number of bytes, or none at all.
    """
    match = _NUMBER.fullmatch(text.strip())
    factor = UNITS.get(match[2].upper(), 0 if match[2] else 1) if match else 0
    size = Fraction(match[1]) * factor if match else Fraction(0)
    if size.denominator == 1 and 1 <= size <= _MOST:
        return int(size)
    binary = match is not None and re.fullmatch("[KMGT]iB", match[2], re.IGNORECASE)
    raise UsageError(
        "not a size",
        where=where,
        expected=f"a whole number of bytes, at least 1, or of {', '.join(reversed(UNITS))}, "
        "such as 5GB",
        found=shown(text),
        hint="the units are powers of 1000; for those of 1024 give bytes" if binary else None,
    )


def size_words(nbytes: int) -> str:
    """The shortest form in the largest unit that divides it; `parse_size` reads it back."""
    for unit, factor in UNITS.items():
        if nbytes % factor == 0:
            return f"{nbytes // factor}{unit}"
    return str(nbytes)

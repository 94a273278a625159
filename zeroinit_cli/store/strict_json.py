"""JSON that a stranger wrote, read more strictly than Python does and no less than safetensors."""

import json
from itertools import pairwise
from typing import Any, NoReturn

from zeroinit_cli.errors import reason_of_unreadable


def parse_json(text: bytes) -> Any:
    """One JSON value: UTF-8, no key twice, no constants that JSON lacks, no lone surrogates.

    Raises:
        ValueError: it is none; the message is one line.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_int=_number,
        )
        if b"\\ud" in text.lower():  # nothing else can bring a surrogate in
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(reason_of_unreadable(error)) from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _number(digits: str) -> float:
    """An integer; -0 is none, since the library reads a float there, and takes none for a size."""
    return -0.0 if digits == "-0" else int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(first for first, second in pairwise(names) if first == second)
        raise ValueError(f"{twice!r} occurs twice")
    return table

"""JSON as strict as it is written: no key twice, no constants of JavaScript, no half characters."""

import json
from itertools import pairwise
from typing import Any, NoReturn

from zeroinit_cli.errors import reason_of_unreadable


def parse_json(text: bytes) -> Any:
    """Parse one JSON value: UTF-8, no key twice, no constants that JSON lacks, no lone surrogates.

    It is stricter than Python's parser, and at least as strict as that of safetensors.

    Raises:
        ValueError: it is none; the message is one line.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
        if b"\\ud" in text.lower():  # only such an escape can give a surrogate
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(reason_of_unreadable(error)) from error
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> float:
    """Read an integer; `-0` gives a float, as in safetensors, which refuses it as a size."""
    return -0.0 if digits == "-0" else int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(first for first, second in pairwise(names) if first == second)
        raise ValueError(f"{twice!r} occurs twice")
    return table

"""What `--set` and `--input` give: the arguments of a builder, and examples of a forward's."""

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from zeroinit_cli.errors import ArgumentError, UsageError, near, shown

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]
"""What `--set` can pass to a builder."""

INPUT_TYPES = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)
"""The types of an input, by torch's names."""
_INT64 = range(-(2**63), 2**63)
_INPUT = re.compile(r"(?:([A-Za-z_]\w*)=)?([a-z]+[0-9]*)\[([0-9, ]*)\]", re.ASCII)
_MOST_RANK, _MOST_SIZE, _MOST_ELEMENTS = 8, 10**9, 10**8
MOST_INPUTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenInput:
    """One argument of a forward, without values.

    Attributes:
        dtype: of `INPUT_TYPES`.
        shape: with the batch.
        name: of the argument; empty where its place says which it is.
    """

    dtype: str
    shape: tuple[int, ...]
    name: str = ""

    def __str__(self) -> str:
        """Write it as on the command line: `input_ids=int64[2,16]`."""
        sizes = ",".join(map(str, self.shape))
        return (f"{self.name}=" if self.name else "") + f"{self.dtype}[{sizes}]"


def is_input(text: str) -> bool:
    """Tell whether a text has the form of an example input, rather than of a file's name."""
    return _INPUT.fullmatch(text) is not None


def parse_inputs(texts: Iterable[str]) -> tuple[GivenInput, ...]:
    """Parse `[NAME=]TYPE[SIZES]` each.

    Raises:
        UsageError: one is malformed, too large, or given twice, or one without a name comes after
            one that has one.
    """
    found = tuple(map(_parse_input, texts))
    names = [each.name for each in found if each.name]
    if len(found) > MOST_INPUTS:
        raise UsageError("too many inputs", where="--input", expected=f"at most {MOST_INPUTS}")
    if len(set(names)) < len(names):
        raise UsageError("an input is given twice", where="--input", found=", ".join(names))
    if any(first.name and not second.name for first, second in pairwise(found)):
        raise UsageError("an input without a name comes after one with a name", where="--input")
    return found


def _parse_input(text: str) -> GivenInput:
    match = _INPUT.fullmatch(text)
    if match is None:
        raise UsageError(
            "malformed input",
            where="--input",
            expected="[NAME=]TYPE[SIZES], such as float32[2,3,224,224] or input_ids=int64[2,16]",
            found=shown(text),
        )
    name, dtype, sizes = match.groups()
    if dtype not in INPUT_TYPES:
        raise UsageError(
            "unknown type",
            where="--input",
            expected=", ".join(INPUT_TYPES),
            found=repr(dtype),
            hint=near(dtype, INPUT_TYPES),
        )
    words = [each.strip() for each in sizes.split(",")] if sizes.strip() else []
    if not all(each.isdigit() and len(each) < 20 for each in words):
        raise UsageError("malformed input", where="--input", expected="sizes", found=shown(text))
    shape = tuple(map(int, words))
    elements = prod(shape)
    # numbers that stand for themselves take memory; fractions are only shapes
    most = _MOST_SIZE**2 if dtype.startswith(("float", "bfloat")) else _MOST_ELEMENTS
    if len(shape) > _MOST_RANK or any(not 1 <= size <= _MOST_SIZE for size in shape):
        expected = f"at most {_MOST_RANK} sizes of 1 to {_MOST_SIZE}"
        raise UsageError("out of range", where="--input", expected=expected, found=text)
    if elements > most:
        expected = f"at most {most} elements"
        raise UsageError("out of range", where="--input", expected=expected, found=text)
    return GivenInput(dtype=dtype, shape=shape, name=name or "")


def parse_settings(settings: Iterable[str]) -> dict[str, Value]:
    """Parse `KEY=VALUE` settings into arguments, sorted by key.

    Raises:
        ArgumentError: one is malformed, or given twice.
    """
    arguments: dict[str, Value] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.isidentifier():
            raise ArgumentError(
                "malformed setting",
                where="--set",
                expected="KEY=VALUE, such as num_classes=10",
                found=repr(setting),
            )
        if key in arguments:
            raise ArgumentError(f"{key} is given twice", where="--set")
        arguments[key] = _parse_value(key, text)
    return dict(sorted(arguments.items()))


def _parse_value(key: str, text: str) -> Value:
    """Parse a value as people type it: 10, 0.5, true, (1, 2), 'text' or plain text."""
    if text in ("true", "false"):
        return text == "true"
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    if isinstance(value, list):
        value = tuple(value)
    return check_value(key, value)


def check_value(key: str, value: object) -> Value:
    """Check that a value can be a builder's argument, and return it.

    Raises:
        ArgumentError: the value is of another type, not finite, or beyond 64 bits.
    """
    parts = value if isinstance(value, tuple) else (value,)
    for part in parts:
        if not isinstance(part, int | float | str):  # bool is an int
            _refuse_value(key, value, "an int, float, bool or str, or a tuple of them")
        if isinstance(part, float) and not math.isfinite(part):
            _refuse_value(key, value, "a finite number")
        if isinstance(part, int) and part not in _INT64:
            _refuse_value(key, value, "an integer of at most 64 bits")
    return value  # type: ignore[return-value]  # just checked, part by part


def _refuse_value(key: str, value: object, expected: str) -> None:
    raise ArgumentError(
        "unusable value", where=f"--set {key}", expected=expected, found=shown(value)
    )

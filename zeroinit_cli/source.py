"""SOURCE: what a user names as the architecture, and the arguments of its builder.

resnet18    torchvision:resnet18    resnet18 --set num_classes=10
"""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zeroinit_cli.errors import ArgumentError, SourceError, near, shown

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]
"""What `--set` can pass to a builder."""

_SCHEME = "torchvision"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A torchvision model name and what its builder is called with.

    Attributes:
        name: the model's name, `resnet18`.
        arguments: what `--set` gave, by key.
    """

    name: str
    arguments: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """The form that the lock records, `torchvision:resnet18`."""
        return f"{_SCHEME}:{self.name}"


def parse_source(text: str, settings: Iterable[str] = ()) -> Source:
    """SOURCE and its `--set KEY=VALUE` settings, read but not yet looked up.

    Raises:
        SourceError: the text is no model name.
        ArgumentError: a setting is malformed or given twice.
    """
    prefix, colon, rest = text.partition(":")
    name = rest if colon else text
    if colon and prefix != _SCHEME:
        raise SourceError(
            f"unknown prefix {prefix!r}",
            where="SOURCE",
            expected=f"a model name, alone or after {_SCHEME!r} and a colon",
            found=repr(text),
            hint=near(prefix, [_SCHEME]),
        )
    if not _NAME.fullmatch(name):
        raise SourceError(
            "not a model name",
            where="SOURCE",
            expected="letters, digits and underscores, such as resnet18",
            found=repr(text),
            hint="zeroinit models lists the names",
        )
    return Source(name=name, arguments=_parse_settings(settings))


def _parse_settings(settings: Iterable[str]) -> dict[str, Value]:
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
    """A value as people type it: 10, 0.5, true, (1, 2), 'text' or plain text."""
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
    """A builder's argument, or the reason why it cannot be one.

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

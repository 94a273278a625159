"""SOURCE: what a user names as the architecture, and the arguments of its builder.

resnet18    torchvision:resnet18    resnet18 --set num_classes=10    nets/small.yaml
"""

import ast
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.errors import ArgumentError, SourceError, UsageError, near, shown
from zeroinit_cli.options import Options

if TYPE_CHECKING:
    from zeroinit_cli.spec.check import Spec

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]
"""What `--set` can pass to a builder."""

_SCHEME = "torchvision"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_INT64 = range(-(2**63), 2**63)


_SPEC_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A torchvision model name and what its builder is called with, or a YAML spec.

    Attributes:
        name: the model's name, `resnet18`; for a spec its path as it was given.
        arguments: what `--set` gave, by key; a spec takes none.
        spec: the spec as it was read, if the source is one.
    """

    name: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    spec: "Spec | None" = None

    def __str__(self) -> str:
        """Write it as people do: `torchvision:resnet18`, or the spec's path."""
        return self.name if self.spec is not None else f"{_SCHEME}:{self.name}"

    def recorded_in(self, folder: Path) -> str:
        """Return the form that a lock in a folder records; a spec's path is relative to it.

        Raises:
            UsageError: a lock cannot hold the spec's path.
        """
        if self.spec is None:
            return str(self)
        try:
            # resolved folders: a lock may be reached through a link, where `..` leads elsewhere
            spec = Path(self.name)
            relative = os.path.relpath(spec.parent.resolve() / spec.name, folder.resolve())
            relative = Path(relative).as_posix()
        except ValueError:  # another drive, on Windows
            relative = ""
        if not relative.isprintable() or "\\" in relative or not relative:
            raise UsageError(
                "a spec whose path a lock cannot hold",
                where="SOURCE",
                expected="printable characters without a backslash, on the lock's drive",
                found=repr(self.name),
                hint="rename it, or --no-lock",
            )
        return relative


def is_spec_path(text: str) -> bool:
    """Tell whether SOURCE is the path of a spec, not a name."""
    return text.lower().endswith(_SPEC_SUFFIXES)


def parse_source(text: str, settings: Iterable[str] = (), folder: Path | None = None) -> Source:
    """Parse SOURCE and its `--set KEY=VALUE` settings; a spec is read, a name not yet looked up.

    Args:
        text: SOURCE.
        settings: `KEY=VALUE` each.
        folder: what a spec's relative path is relative to; the current one by default.

    Raises:
        SourceError: the text is no model name.
        ArgumentError: a setting is malformed or given twice, or given to a spec.
        SpecError: the spec has mistakes.
        InputError: the spec cannot be read.
    """
    arguments = _parse_settings(settings)
    if is_spec_path(text):
        return _read_spec(text, arguments, folder)
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
            expected="letters, digits and underscores, such as resnet18, or a path to a .yaml file",
            found=repr(text),
            hint="zeroinit models lists the names",
        )
    return Source(name=name, arguments=arguments)


def _read_spec(text: str, arguments: Mapping[str, Value], folder: Path | None) -> Source:
    if arguments:
        raise ArgumentError(
            "a spec takes no settings",
            where="--set",
            found=", ".join(arguments),
            hint=f"write them into {text}",
        )
    from zeroinit_cli.spec.check import read_spec

    path = Path(text) if folder is None else folder / text
    return Source(name=path.as_posix(), spec=read_spec(path))


def requested_options(
    source: Source,
    words: Mapping[str, str | None],
    *,
    overrides: Iterable[str] = (),
) -> Options:
    """Return a source's options: given ones win over a spec's `init`.

    Raises:
        UsageError: a word is not one of its choices.
    """
    if source.spec is None:
        return Options.from_words(words, overrides=overrides)
    return Options.from_words(
        words,
        overrides=(*source.spec.init_overrides(), *overrides),  # the last that matches wins
        defaults=source.spec.init_words(),
    )


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

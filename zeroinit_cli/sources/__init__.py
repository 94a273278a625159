"""SOURCE: any model that people have, one module a kind.

resnet18    net.yaml    timm:vit_tiny_patch16_224    transformers:DIR    python:package.net:build

Each kind is a `Source`: how its text is parsed, what builds it, what it is fed, which libraries it
comes from, and what a lock records of it. Torch and the libraries are imported when they are used.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from zeroinit_cli.arguments import parse_inputs, parse_settings
from zeroinit_cli.errors import SourceError, UsageError, near
from zeroinit_cli.source import Asked, Source
from zeroinit_cli.sources.configuration import meant_by
from zeroinit_cli.sources.python import Python
from zeroinit_cli.sources.spec import YamlSpec, is_spec_path
from zeroinit_cli.sources.timm import Timm
from zeroinit_cli.sources.torchvision import Torchvision
from zeroinit_cli.sources.transformers import Transformers

Kind = type[Torchvision] | type[YamlSpec] | type[Timm] | type[Transformers] | type[Python]
_NAMED: tuple[Kind, ...] = (Torchvision, Timm, Transformers, Python)
BY_PREFIX: Mapping[str, Kind] = {kind.prefix: kind for kind in _NAMED}
"""The kinds that a prefix names."""
READ_FROM_FILE: tuple[Kind, ...] = (YamlSpec, Transformers)
"""The kinds that a file describes, by its path."""
KNOW_THEIR_INPUTS: tuple[Kind, ...] = (Torchvision, YamlSpec)
"""The kinds that nobody tells what their forwards take."""


def parse_source(
    text: str,
    settings: Iterable[str] = (),
    folder: Path | None = None,
    *,
    inputs: Iterable[str] = (),
) -> Source:
    """Parse SOURCE as a person gives it; a file is read, a name not yet looked up.

    Args:
        text: SOURCE.
        settings: `KEY=VALUE` each.
        folder: what a relative path is relative to; the current one by default.
        inputs: `[NAME=]TYPE[SIZES]` each.

    Raises:
        SourceError: the text is no SOURCE.
        ArgumentError: a setting is malformed or given twice, or given to a spec.
        UsageError: an input is malformed, or given to a source that knows its own.
        SpecError: a spec has mistakes.
        InputError: a file cannot be read.
    """
    kind, name = kind_of(text)
    asked = Asked(
        text=text,
        name=name,
        arguments=parse_settings(settings),
        inputs=parse_inputs(inputs),
        folder=folder,
    )
    return read_source(kind, asked)


def read_source(kind: Kind, asked: Asked) -> Source:
    """Make the source of what was asked for; otherwise as `parse_source`."""
    if asked.inputs and kind in KNOW_THEIR_INPUTS:
        raise UsageError(
            "inputs for a source that knows its own",
            where="--input",
            found=", ".join(map(str, asked.inputs)),
            hint="leave them out",
        )
    return kind.parse(asked)


def kind_of(text: str) -> tuple[Kind, str]:
    """Return the kind of a SOURCE, and what it is called within the kind.

    Raises:
        SourceError: it has a prefix that no kind has, or needs one.
    """
    if is_spec_path(text):
        return YamlSpec, text
    prefix, colon, rest = text.partition(":")
    if colon and prefix in BY_PREFIX:
        return BY_PREFIX[prefix], rest
    if text.startswith(f"{Timm.prefix}/"):
        return Timm, text.removeprefix(f"{Timm.prefix}/")
    if not colon and (text.isidentifier() or not meant_by(text)):
        return Torchvision, text
    raise SourceError(
        f"unknown prefix {prefix!r}" if colon else "a source without its prefix",
        where="SOURCE",
        expected="a model name of torchvision's, a path to a .yaml file, or "
        f"{', '.join(f'{known}:' for known in BY_PREFIX)} and what it names",
        found=repr(text),
        hint=_hint(text, prefix) if colon else f"did you mean {Transformers.prefix}:{text}?",
    )


def _hint(text: str, prefix: str) -> str | None:
    if "." in prefix and near(prefix, BY_PREFIX) is None and "/" not in text:
        return f"did you mean {Python.prefix}:{text}?"
    return near(prefix, BY_PREFIX)

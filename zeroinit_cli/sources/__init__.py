"""SOURCE: any model that people have, one module a kind.

resnet18    torchvision:resnet18    nets/small.yaml

Each kind is a `Source`: how its text is parsed, what builds it, what it is fed, which libraries it
comes from, and what a lock records of it. Torch and the libraries are imported when they are used.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from zeroinit_cli.errors import SourceError, near
from zeroinit_cli.source import Asked, Source, Value, parse_settings
from zeroinit_cli.sources.spec import YamlSpec, is_spec_path
from zeroinit_cli.sources.torchvision import Torchvision

Kind = type[Torchvision] | type[YamlSpec]
_NAMED: tuple[Kind, ...] = (Torchvision,)
BY_PREFIX: Mapping[str, Kind] = {kind.prefix: kind for kind in _NAMED}
"""The kinds that a prefix names."""


def parse_source(text: str, settings: Iterable[str] = (), folder: Path | None = None) -> Source:
    """Parse SOURCE and its `--set KEY=VALUE` settings; a file is read, a name not yet looked up.

    Args:
        text: SOURCE.
        settings: `KEY=VALUE` each.
        folder: what a relative path is relative to; the current one by default.

    Raises:
        SourceError: the text is no SOURCE.
        ArgumentError: a setting is malformed or given twice, or given to a spec.
        SpecError: a spec has mistakes.
        InputError: a file cannot be read.
    """
    return read_source(text, parse_settings(settings), folder=folder)


def read_source(text: str, arguments: Mapping[str, Value], *, folder: Path | None = None) -> Source:
    """Parse SOURCE, its arguments known; otherwise as `parse_source`."""
    kind, name = kind_of(text)
    return kind.parse(Asked(text=text, name=name, arguments=arguments, folder=folder))


def kind_of(text: str) -> tuple[Kind, str]:
    """Return the kind of a SOURCE, and what it is called within the kind.

    Raises:
        SourceError: it has a prefix that no kind has.
    """
    if is_spec_path(text):
        return YamlSpec, text
    prefix, colon, rest = text.partition(":")
    if not colon:
        return Torchvision, text
    if prefix in BY_PREFIX:
        return BY_PREFIX[prefix], rest
    raise SourceError(
        f"unknown prefix {prefix!r}",
        where="SOURCE",
        expected=f"a model name, alone or after {Torchvision.prefix!r} and a colon",
        found=repr(text),
        hint=near(prefix, BY_PREFIX),
    )

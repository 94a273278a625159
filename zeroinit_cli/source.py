"""A source: what a user names as the architecture, whichever kind it is, and its arguments.

The kinds are modules of `sources`; what they share is here, and imports no large library.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from zeroinit_cli.arguments import GivenInput, Value
from zeroinit_cli.dtypes import DType
from zeroinit_cli.errors import UsageError
from zeroinit_cli.options import Options

if TYPE_CHECKING:
    from torch import nn

    from zeroinit_cli.models.inputs import Inputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked for as SOURCE.

    Attributes:
        text: the whole, for messages.
        name: without its prefix.
        arguments: by key, sorted.
        inputs: what `--input` gave.
        folder: what a relative path is relative to; None for the current one.
        trusted: a person has typed it, or has said that the code which a lock names may run.
        lock: the folder of the lock that names it; None where a person did.
    """

    text: str
    name: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    inputs: tuple[GivenInput, ...] = ()
    folder: Path | None = None
    trusted: bool = True
    lock: Path | None = None

    @property
    def path(self) -> Path:
        """The name as a path."""
        return Path(self.name) if self.folder is None else self.folder / self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Source(ABC):
    """What can be built, and what a lock records of it: the one protocol of all kinds.

    Attributes:
        name: what it is called within its kind: `resnet18`, or a path as it was given.
        arguments: what `--set` gave, by key.
        inputs: what `--input` gave, where it does not know its own.
    """

    name: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    inputs: tuple[GivenInput, ...] = ()

    prefix: ClassVar[str]
    """What stands before the colon."""

    def __str__(self) -> str:
        """Write it as people do: `torchvision:resnet18`."""
        return f"{self.prefix}:{self.name}"

    @abstractmethod
    def factory(self) -> "Callable[[], nn.Module]":
        """Return what builds the module, its name and arguments checked; nothing is built yet.

        Raises:
            SourceError: it is not known here, or does not take its arguments.
            BuildError: by the factory, if the builder refuses.
        """

    @abstractmethod
    def example_inputs(self) -> "Inputs":
        """Find what the module is to be fed; the source was looked up before."""

    def versions(self) -> dict[str, str]:
        """Return the libraries that it is built with: information for a lock, never compared."""
        return installed("torch")

    def recorded_in(self, folder: Path) -> str:
        """Return the form that a lock in a folder records; a path is relative to the folder.

        Raises:
            UsageError: a lock cannot hold it.
        """
        del folder  # of which a name does not depend
        return str(self)

    def recorded_folder(self, folder: Path) -> str | None:
        """Return the path from a lock's folder to that of the code which it runs, if it runs any.

        Raises:
            UsageError: a lock cannot hold it.
        """
        del folder  # there is no code
        return None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that describe it, what the user named first."""
        return ()

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of what it was read from, by the field of a lock."""
        return {}

    def beside(self, dtype: DType) -> dict[str, bytes]:
        """Return the files that belong beside a folder's checkpoint of a type, by name."""
        del dtype  # there are none
        return {}

    def init_words(self) -> Mapping[str, str]:
        """Return the options that it asks for itself."""
        return {}

    def init_overrides(self) -> tuple[str, ...]:
        """Return the overrides that it asks for itself, as the command line writes them."""
        return ()


def path_from(folder: Path, path: Path, *, what: str) -> str:
    """Write a path as a lock in a folder records it: relative to it, forward slashes.

    Args:
        folder: of the lock.
        path: of what is recorded, as the user named it.
        what: it is, for messages: `a spec`.

    Raises:
        UsageError: a lock cannot hold it.
    """
    try:
        # resolved folders: a lock may be reached through a link, where `..` leads elsewhere
        relative = os.path.relpath(path.parent.resolve() / path.name, folder.resolve())
        relative = Path(relative).as_posix()
    except ValueError:  # another drive, on Windows
        relative = ""
    if not relative.isprintable() or "\\" in relative or not relative:
        raise UsageError(
            f"{what} whose path a lock cannot hold",
            where="SOURCE",
            expected="printable characters without a backslash, on the lock's drive",
            found=repr(str(path)),
            hint="rename it, or --no-lock",
        )
    return relative


def installed(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed, without the name of a build."""
    from importlib.metadata import PackageNotFoundError, version  # which --help can do without

    found = {}
    for package in packages:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            continue
    return found


def requested_options(
    source: Source,
    words: Mapping[str, str | None],
    *,
    overrides: Iterable[str] = (),
) -> Options:
    """Return a source's options: given ones win over those that it asks for itself.

    Raises:
        UsageError: a word is not one of its choices.
    """
    return Options.from_words(
        words,
        overrides=(*source.init_overrides(), *overrides),  # the last that matches wins
        defaults=source.init_words(),
    )

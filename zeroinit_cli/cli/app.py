"""The command line as a whole: each command is imported when it is wanted.

`zeroinit --version` needs none of them.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from zeroinit_cli import __version__
from zeroinit_cli.cli.console import out

_NAMES = (
    "generate",
    "verify",
    "restore",
    "digest",
    "plan",
    "inspect",
    "diff",
    "probe",
    "models",
    "spec",
)
"""Modules of this folder, in the order in which help lists them."""


def without_types(parameters: list[Any]) -> list[Any]:
    """Return parameters of which help shows no type for a flag; Typer would write `<bool>`."""
    for parameter in parameters:
        if getattr(parameter, "is_bool_flag", False):
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """A command whose help is for people."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List its parameters, the one for help among them."""
        return without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose help is for people."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List its parameters, the one for help among them."""
        return without_types(super().get_params(ctx))


class CommandGroup(Group):
    """A group of the commands of this folder."""

    commands: Any  # the base class has a dict, for which all commands would be imported

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": None})
        self.commands = _Commands()


class _Commands(Mapping[str, Any]):
    """A mapping from names to Typer commands, each made when it is wanted."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)

    def __getitem__(self, name: str) -> Any:
        if name not in _NAMES:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _make(name)
        return self._made[name]


def _make(name: str) -> Any:
    from zeroinit_cli.cli.options import with_asked

    module = import_module(f"zeroinit_cli.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name, cls=Command)(with_asked(module.command))
    made = typer.main.get_command(app)
    made.name = name
    return made


app = typer.Typer(
    name="zeroinit",
    cls=CommandGroup,
    help="Deterministic ZerO initialization: the same architecture, the same bytes, everywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # the entry point renders what goes wrong
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out(f"zeroinit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass

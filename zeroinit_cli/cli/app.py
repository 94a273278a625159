"""The command line, put together."""

from typing import Annotated

import typer

from zeroinit_cli import __version__
from zeroinit_cli.cli.commands import CommandGroup
from zeroinit_cli.cli.console import out

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
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass

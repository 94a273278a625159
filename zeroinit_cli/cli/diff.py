"""`zeroinit diff A B`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.cli.console import out_json, shown_progress, warn
from zeroinit_cli.cli.github import annotated
from zeroinit_cli.cli.options import Asked, Format, FormatName, Json, Quiet, chosen_format
from zeroinit_cli.errors import InputError, UsageError
from zeroinit_cli.files import is_there
from zeroinit_cli.sources import BY_PREFIX

if TYPE_CHECKING:
    from zeroinit_cli.store.diff import Contents

_DIFFERENT = 1
_SIDE_HELP = "A safetensors file, a folder or index of shards, or a SOURCE such as resnet18."


def command(
    *,
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", show_default=False, help=_SIDE_HELP, autocompletion=complete.side
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B", show_default=False, help="Likewise.", autocompletion=complete.side
        ),
    ],
    asked: Asked,
    every: Annotated[bool, typer.Option("--all", help="A line for every difference.")] = False,
    format_: FormatName = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print what differs between two checkpoints: tensors, shapes, the first differing element."""
    form = chosen_format(format_, json)
    with annotated("zeroinit diff", form is Format.GITHUB):
        sources = {text: asked.read(text) for text in (a, b) if not is_path(text)}
        if not sources and (asked.about_source or asked.changes):
            raise UsageError(
                "neither A nor B is a SOURCE",
                where="the options",
                hint="--set and options that change bytes say how a SOURCE is made",
            )

        from zeroinit_cli.cli.reports import differences
        from zeroinit_cli.store.diff import diff

        sides = _side_of(a, sources), _side_of(b, sources)
        with shown_progress(quiet=quiet or form is not Format.HUMAN) as progress:
            found = diff(*sides, progress=progress)
        if form is Format.JSON:
            out_json(differences.to_json(sides, found))
        elif form is Format.GITHUB:
            differences.print_github(sides, found, quiet=quiet)
        elif not quiet:
            differences.print_human(sides, found, every=every)
    if not found.nothing:
        raise typer.Exit(_DIFFERENT)


def is_path(text: str) -> bool:
    """Tell whether A or B means files: such a file exists, or the text looks like a path.

    Raises:
        InputError: it can only be a path, and nothing is there, or it cannot be told.
    """
    path = Path(text)
    if text.lower().endswith((".yaml", ".yml")) or text.partition(":")[0] in BY_PREFIX:
        return False
    if is_there(path):
        return True
    if text.startswith("timm/"):
        return False
    if any(mark in text for mark in ("/", "\\", ".safetensors", ".json")):
        raise InputError("no such file or folder", where=text)
    return False


def _side_of(text: str, sources: dict[str, Any]) -> "Contents":
    from zeroinit_cli.store.diff import planned_contents, stored_contents
    from zeroinit_cli.store.read import read_checkpoint

    if text not in sources:
        checkpoint = read_checkpoint(Path(text), tolerant=True)
        warn(checkpoint.oddities)
        return stored_contents(checkpoint)

    from zeroinit_cli.models import plan_source

    source, options = sources[text]
    return planned_contents(str(source), plan_source(source, options))

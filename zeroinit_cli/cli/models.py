"""`zeroinit models [PATTERN]`."""

from fnmatch import fnmatchcase
from typing import Annotated

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.cli.console import out, out_json
from zeroinit_cli.cli.options import Json
from zeroinit_cli.errors import UnknownModelError, near


def command(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            show_default=False,
            help="Part of a name, or a glob such as 'resnet*'.",
            autocompletion=complete.model,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the model names that SOURCE accepts.

    They are the names of the torchvision that zeroinit is tested with. A name that only the
    installed torchvision has is accepted too.
    """
    known = complete.known_models()
    glob = pattern or "*"
    if not any(character in glob for character in "*?["):
        glob = f"*{glob}*"
    names = [name for name in known if fnmatchcase(name, glob)]
    if not names:
        raise UnknownModelError(
            f"no model matches {pattern!r}", where="PATTERN", hint=near(pattern or "", known)
        )
    if json:
        out_json(names)
    else:
        out("\n".join(names))

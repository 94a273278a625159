"""`zeroinit models [PATTERN]`."""

from fnmatch import fnmatchcase
from typing import Annotated

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.cli.console import out, out_json
from zeroinit_cli.cli.options import Json
from zeroinit_cli.errors import UnknownModelError, near
from zeroinit_cli.sources.timm import known_names
from zeroinit_cli.text import counted


def command(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            show_default=False,
            help="Part of a name, or a glob such as 'resnet*'; those of timm are 'timm:vit*'.",
            autocompletion=complete.model,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the model names that SOURCE accepts: torchvision's, or timm's with its prefix.

    They are the names of the torchvision and the timm that zeroinit is tested with. A name that
    only the installed one has is accepted too.
    """
    known = complete.known_models()
    glob, prefix = pattern or "*", ""
    if glob.startswith(("timm:", "timm/")):
        glob, prefix = glob[len("timm:") :] or "*", glob[: len("timm:")]
        known = known_names()
    if not any(character in glob for character in "*?["):
        glob = f"*{glob}*"
    names = [f"{prefix}{name}" for name in known if fnmatchcase(name, glob)]
    if not names:
        others = [] if prefix else [name for name in known_names() if fnmatchcase(name, glob)]
        raise UnknownModelError(
            f"no model{' of torchvision' * bool(others)} matches {pattern!r}",
            where="PATTERN",
            hint=f"zeroinit models 'timm:{pattern}' lists {counted(len(others), 'model')} of timm"
            if others
            else near(pattern or "", known),
        )
    if json:
        out_json(names)
    else:
        out("\n".join(names))

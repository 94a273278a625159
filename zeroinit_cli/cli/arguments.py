"""Arguments and options that several commands share, and what they mean together."""

from typing import Annotated

import typer

from zeroinit_cli.options import SCALES, Options
from zeroinit_cli.source import Source, parse_source

SOURCE_HELP = "A torchvision model name, such as resnet18; zeroinit models lists them."
_DEFAULTS = Options().to_names()

SourceText = Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="An argument of the model's builder, such as num_classes=10. Repeatable.",
    ),
]
DTypeName = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="Type of the floating tensors: float32, float64, float16 or bfloat16.",
    ),
]
ScaleName = Annotated[
    str,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help=f"Constant of the Hadamard expansions: {' or '.join(SCALES)}.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]

DEFAULT_DTYPE = _DEFAULTS["dtype"]
DEFAULT_SCALE = _DEFAULTS["scale"]


def read_request(
    source: str, settings: list[str] | None, dtype: str, scale: str
) -> tuple[Source, Options]:
    """What to build and how, from the words of the command line.

    Raises:
        SourceError: SOURCE or a setting is malformed.
        UsageError: an option's value is none of its choices.
    """
    return parse_source(source, settings or ()), Options.from_names(dtype=dtype, scale=scale)

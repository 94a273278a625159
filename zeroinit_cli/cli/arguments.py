"""Arguments and options that several commands share, and what they mean together."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from zeroinit_cli.cli import completion
from zeroinit_cli.errors import UsageError, near
from zeroinit_cli.options import CHOICES, OVERRIDE_RULES, PRESETS, Options
from zeroinit_cli.source import Source, parse_source, requested_options

SOURCE_HELP = (
    "A torchvision model name, such as resnet18 (zeroinit models lists them), "
    "or a YAML spec, such as nets/small.yaml."
)
_DEFAULTS = Options().to_words()


class Format(StrEnum):
    """How a command prints its answer; the exit code is the same in each."""

    HUMAN = "human"
    JSON = "json"
    GITHUB = "github"


def _choices(option: str) -> str:
    return f"{', '.join(CHOICES[option])}. [default: {_DEFAULTS[option]}]"


SourceText = Annotated[
    str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP, autocompletion=completion.source)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="An argument of the model's builder, such as num_classes=10. Repeatable.",
    ),
]
DTypeName = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help=f"Type of the floating tensors: {_choices('dtype')}",
        autocompletion=completion.among(CHOICES["dtype"]),
    ),
]
ExpansionName = Annotated[
    str | None,
    typer.Option(
        "--expansion",
        metavar="MATRIX",
        help=f"Matrix wherever fan_out > fan_in: {_choices('expansion')}",
        autocompletion=completion.among(CHOICES["expansion"]),
    ),
]
ResidualName = Annotated[
    str | None,
    typer.Option(
        "--residual",
        metavar="ENDING",
        help=f"What closes residual branches: {_choices('residual')}",
        autocompletion=completion.among(CHOICES["residual"]),
    ),
]
ScaleName = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help=f"Constant of the expansions: {_choices('scale')}",
        autocompletion=completion.among(CHOICES["scale"]),
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"Several options at once: {', '.join(PRESETS)}. An option given beside it wins.",
        autocompletion=completion.among(PRESETS),
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="PATTERN=RULE",
        help="A rule for the tensors whose names match a glob, the last match wins: "
        f"{', '.join(OVERRIDE_RULES)}. Repeatable.",
    ),
]
ShardSize = Annotated[
    str | None,
    typer.Option(
        "--max-shard-size",
        metavar="SIZE",
        help="Split the checkpoint into files of at most so many bytes of tensors, such as 5GB "
        "(units of 1000). [default: one file]",
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        help="Processes that work on shards at a time; the bytes are the same for any.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"How to print: {', '.join(Format)}. [default: {Format.HUMAN}]",
        autocompletion=completion.among(Format),
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def chosen_format(name: str | None, json: bool) -> Format:
    """The format that `--format` names, or that `--json` is short for.

    Raises:
        UsageError: no such format, or two of them.
    """
    if name is None:
        return Format.JSON if json else Format.HUMAN
    if name not in list(Format):
        raise UsageError(
            "unknown choice",
            where="--format",
            expected=", ".join(Format),
            found=repr(name),
            hint=near(name, Format),
        )
    if json and name != Format.JSON:
        raise UsageError(f"--json and --format {name} exclude each other", where="the options")
    return Format(name)


def check_jobs(jobs: int) -> None:
    """Refuse a number of processes that could do no work.

    Raises:
        UsageError: it is none.
    """
    if jobs < 1:
        raise UsageError(
            "too few processes",
            where="--jobs",
            expected="a whole number, at least 1",
            found=str(jobs),
        )


def read_request(
    source: str,
    settings: list[str] | None,
    words: Mapping[str, str | None],
    preset: str | None,
    overrides: list[str] | None,
) -> tuple[Source, Options]:
    """What to build and how, from the words of the command line.

    Raises:
        SourceError: SOURCE or a setting is malformed, or a spec has mistakes.
        InputError: a spec cannot be read.
        UsageError: an option's value is none of its choices.
    """
    what = parse_source(source, settings or ())
    return what, requested_options(what, words, preset=preset, overrides=overrides or ())

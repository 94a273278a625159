"""Arguments and options that several commands share, and what they mean together."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.errors import UsageError, near, pasted_word
from zeroinit_cli.options import CHOICES, OVERRIDE_RULES, SHARD_SIZE, Options
from zeroinit_cli.source import Source, requested_options
from zeroinit_cli.sources import parse_source

SOURCE_HELP = (
    "A torchvision model name, such as resnet18 (zeroinit models lists them), a YAML spec, such as "
    "nets/small.yaml, timm:NAME, transformers:DIR with a config.json, or python:module:callable."
)
_DEFAULTS = Options().to_words()


class Format(StrEnum):
    """The format in which a command prints its answer; the exit code is the same in each."""

    HUMAN = "human"
    JSON = "json"
    GITHUB = "github"


def _choices(option: str) -> str:
    return f"{', '.join(CHOICES[option])}. [default: {_DEFAULTS[option]}]"


SourceText = Annotated[
    str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP, autocompletion=complete.source)
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
        autocompletion=complete.among(CHOICES["dtype"]),
    ),
]
PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help=f"The rule for each kind of tensor: {_choices('policy')}",
        autocompletion=complete.among(CHOICES["policy"]),
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
LockedPaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH...]",
        show_default=False,
        readable=False,  # an unreadable path gets our message
        help="Folders with a lock, locks, or locked files. [default: the lock of this folder]",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[NAME=]TYPE[SIZES]",
        help="What forward takes, such as float32[2,3,224,224] or input_ids=int64[2,16], where "
        "SOURCE does not know its own. Repeatable.",
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="Run the code that python: sources of a lock name; read it first."
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
        autocompletion=complete.among(Format),
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def chosen_format(name: str | None, json: bool) -> Format:
    """Return the format that `--format` names, or that `--json` is short for.

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
    """Refuse a number of processes below 1.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The options that decide the bytes besides SOURCE, as the command line gives them.

    A command with a parameter `asked: Asked` has all of these options; see `with_asked`.
    """

    settings: Settings = None
    dtype: DTypeName = None
    policy: PolicyName = None
    override: Overrides = None
    input: Inputs = None

    @property
    def about_source(self) -> bool:
        """Whether an option is given that belongs to the source."""
        return bool(self.settings or self.input)

    @property
    def changes(self) -> bool:
        """Whether an option that changes bytes is given; `--set` and `--input` are the source's."""
        return any((self.override, *self._words().values()))

    def read(self, source: str, *, max_shard_size: str | None = None) -> tuple[Source, Options]:
        """Read the source and the options.

        Args:
            source: SOURCE.
            max_shard_size: of the commands that know shards.

        Raises:
            SourceError: SOURCE or a setting is malformed, or a spec has mistakes.
            InputError: a spec cannot be read.
            UsageError: an option's value is none of its choices.
        """
        what = parse_source(source, self.settings or (), inputs=self.input or ())
        words = {**self._words(), SHARD_SIZE: max_shard_size}
        overrides = self.override or ()
        return what, requested_options(what, words, overrides=overrides)

    def typed(self, source: str) -> str:
        """Write SOURCE and these options as a shell's command line has them."""
        given = [("--set", each) for each in self.settings or ()]
        given += [(f"--{name}", word) for name, word in self._words().items() if word is not None]
        given += [("--override", each) for each in self.override or ()]
        words = [source, *(word for pair in given for word in pair)]
        return " ".join(pasted_word(word) for word in words)

    def _words(self) -> dict[str, str | None]:
        return {"dtype": self.dtype, "policy": self.policy}


def with_asked(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter of type `Asked` by the options of `Asked`.

    Typer reads options from a function's signature, and has no other way to share them.
    """
    signature = inspect.signature(command, eval_str=True)
    if all(known.annotation is not Asked for known in signature.parameters.values()):
        return command

    # a command may have an option of Asked's as its own, with more to it
    own = signature.parameters.keys()

    def expanded(**values: Any) -> None:
        names = [field.name for field in fields(Asked) if field.name not in own]
        asked = Asked(**{name: values.pop(name) for name in names})
        command(**values, asked=asked)

    parameters: list[inspect.Parameter] = []
    for known in signature.parameters.values():
        shared = inspect.signature(Asked, eval_str=True).parameters.values()
        added = [each for each in shared if each.name not in own]
        parameters += added if known.annotation is Asked else [known]
    # keyword-only, so that a parameter without a default may follow one with a default
    expanded.__signature__ = signature.replace(  # type: ignore[attr-defined]  # read by inspect
        parameters=[known.replace(kind=inspect.Parameter.KEYWORD_ONLY) for known in parameters]
    )
    expanded.__doc__, expanded.__name__ = command.__doc__, command.__name__
    return expanded

"""`zeroinit generate SOURCE -o PATH`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Json,
    Overrides,
    PresetName,
    Quiet,
    ResidualName,
    ScaleName,
    Settings,
    SourceText,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, say, shown_progress
from zeroinit_cli.errors import UsageError, printable


def command(
    source: SourceText,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="PATH", help="The checkpoint to write."),
    ],
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock",
            metavar="PATH",
            readable=False,  # what cannot be read is said in our words
            help="The lock to record it in. [default: zeroinit.lock beside the checkpoint]",
        ),
    ] = None,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Record it in no lock.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another file.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a checkpoint, its .sha256 and its entry in zeroinit.lock."""
    if lock is not None and no_lock:
        raise UsageError("--lock and --no-lock exclude each other", where="the options")
    words = {"dtype": dtype, "expansion": expansion, "residual": residual, "scale": scale}
    what, options = read_request(source, settings, words, preset, override)

    from zeroinit_cli.generate import default_lock, generate

    path = _file_path(output)
    place = None if no_lock else lock or default_lock(path)
    with shown_progress(quiet=quiet) as progress:
        result = generate(
            what,
            options,
            path,
            lock=place,
            force=force,
            progress=progress,
            say=lambda message: None if quiet else say(printable(message)),
        )
    if json:
        out_json(
            {
                "already_there": result.already_there,
                "path": str(result.path),
                "sha256": result.sha256,
                "size": result.size,
                "tensors": result.tensors,
            }
        )
    elif not quiet:
        out(f"{result.sha256}  {printable(str(result.path))}")
        verb = "was there already with these bytes" if result.already_there else "written"
        size = f"{result.tensors} tensors, {result.size:,} bytes"
        recorded = "" if place is None else f", recorded in {printable(str(place))}"
        say(f"{printable(str(result.path))} {verb}: {size}{recorded}")


def _file_path(text: str) -> Path:
    """A path to a file; a Path forgets the slash that would make it one to a folder."""
    if text.endswith(("/", os.sep)):
        raise UsageError(
            "no file name",
            where="--output",
            expected="a path such as init.safetensors",
            found=text,
        )
    return Path(text)

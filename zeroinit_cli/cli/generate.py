"""`zeroinit generate SOURCE -o PATH`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Jobs,
    Json,
    Overrides,
    PresetName,
    Quiet,
    ResidualName,
    ScaleName,
    Settings,
    ShardSize,
    SourceText,
    check_jobs,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, say, shown_progress
from zeroinit_cli.errors import UsageError, pasted, printable
from zeroinit_cli.text import counted

if TYPE_CHECKING:
    from zeroinit_cli.commands.generate import Generated


def command(
    source: SourceText,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The checkpoint to write; a folder, or a name that ends in /, for one with "
            "model.safetensors in it, or with shards and their index.",
        ),
    ],
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    max_shard_size: ShardSize = None,
    jobs: Jobs = 1,
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
    check_jobs(jobs)
    words = {
        "dtype": dtype,
        "expansion": expansion,
        "max-shard-size": max_shard_size,
        "residual": residual,
        "scale": scale,
    }
    what, options = read_request(source, settings, words, preset, override)
    path, is_folder = Path(output), _is_folder(output)
    if options.max_shard_size is not None and not is_folder:
        raise UsageError(
            "shards need a folder",
            where="--output",
            expected="a folder, or a name that ends in /",
            found=output,
            hint=f"-o {pasted(path.with_suffix(''))}/",
        )

    from zeroinit_cli.commands.generate import default_lock, generate, generate_folder

    place = None if no_lock else lock or default_lock(path / "model" if is_folder else path)

    def tell(message: str) -> None:
        if not quiet:
            say(printable(message))

    with shown_progress(quiet=quiet) as progress:
        result = (
            generate_folder(
                what,
                options,
                path,
                lock=place,
                force=force,
                jobs=jobs,
                progress=progress,
                say=tell,
            )
            if is_folder
            else generate(what, options, path, lock=place, force=force, progress=progress, say=tell)
        )
    if json:
        out_json(_to_json(result))
    elif not quiet:
        _print(result, place)


def _is_folder(text: str) -> bool:
    """Whether a folder is meant; a Path forgets the slash that says so."""
    # not Path.is_dir, for which a name too long is an error of its own
    return text.endswith(("/", os.sep)) or os.path.isdir(text)  # noqa: PTH112


def _to_json(result: "Generated") -> dict[str, Any]:
    document = {
        "already_there": result.already_there,
        "path": str(result.path),
        "sha256": result.sha256,
        "size": result.size,
        "tensors": result.tensors,
    }
    if result.files:
        document["files"] = [
            {"path": str(result.path / each.name), "sha256": each.sha256, "size": each.size}
            for each in result.files
        ]
    return document


def _print(result: "Generated", place: Path | None) -> None:
    for each in result.files:
        out(f"{each.sha256}  {printable(str(result.path / each.name))}")
    if not result.files:
        out(f"{result.sha256}  {printable(str(result.path))}")
    verb = "was there already with these bytes" if result.already_there else "written"
    size = f"{counted(result.tensors, 'tensor')}, {result.size:,} bytes"
    if len(result.files) > 1:
        size += f" in {len(result.files) - 1} shards and their index"
    recorded = "" if place is None else f", recorded in {printable(str(place))}"
    say(f"{printable(str(result.path))} {verb}: {size}{recorded}")

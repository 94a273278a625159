"""`zeroinit generate SOURCE -o PATH`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli.console import out, out_json, say, shown_progress
from zeroinit_cli.cli.options import Asked, Jobs, Json, Quiet, ShardSize, SourceText, check_jobs
from zeroinit_cli.errors import UsageError, pasted, printable
from zeroinit_cli.text import counted

if TYPE_CHECKING:
    from zeroinit_cli.commands.generate import Generated


def command(
    *,
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
    asked: Asked,
    max_shard_size: ShardSize = None,
    jobs: Jobs = 1,
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock",
            metavar="PATH",
            readable=False,  # an unreadable path gets our message
            help="The lock to record it in. [default: zeroinit.lock beside the checkpoint]",
        ),
    ] = None,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Record it in no lock.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another file.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a checkpoint, its .sha256 and its entry in zeroinit.lock."""
    if output == "-":
        raise UsageError(
            "a checkpoint is no stream",
            where="--output",
            expected="a path: the .sha256 and the lock's entry name it",
            found="-",
            hint="-o init.safetensors",
        )
    if lock is not None and no_lock:
        raise UsageError("--lock and --no-lock exclude each other", where="the options")
    check_jobs(jobs)
    what, options = asked.read(source, max_shard_size=max_shard_size)

    from zeroinit_cli.commands.location import Location

    location = Location.named(output)
    if options.max_shard_size is not None and not location.own_folder:
        raise UsageError(
            "shards need a folder",
            where="--output",
            expected="a folder, or a name that ends in /",
            found=output,
            hint=f"-o {pasted(location.path.with_suffix(''))}/",
        )

    from zeroinit_cli.commands.generate import generate

    chosen = None if no_lock else lock or location.default_lock

    def tell(message: str) -> None:
        if not quiet:
            say(printable(message))

    with shown_progress(quiet=quiet) as progress:
        result = generate(
            what,
            options,
            location,
            lock=chosen,
            force=force,
            jobs=jobs,
            progress=progress,
            say=tell,
        )
    if json:
        out_json(_to_json(result))
    elif not quiet:
        _print(result, chosen)
        if result.warnings:
            about = counted(result.warnings, "warning")
            say(printable(f"{about} about how it trains: zeroinit plan {asked.typed(source)}"))


def _to_json(result: "Generated") -> dict[str, Any]:
    location = result.location
    document = {
        "already_there": result.already_there,
        "path": str(location.path),
        "sha256": result.sha256,
        "size": result.size,
        "tensors": result.tensors,
        "warnings": result.warnings,
    }
    if location.own_folder:
        document["files"] = [
            {"path": str(location.folder / file.name), "sha256": file.sha256, "size": file.size}
            for file in (*result.files, *result.beside)
        ]
    return document


def _print(result: "Generated", lock: Path | None) -> None:
    path = result.location.path
    for file in result.files:
        out(f"{file.sha256}  {printable(str(result.location.folder / file.name))}")
    verb = "was there already with these bytes" if result.already_there else "written"
    size = f"{counted(result.tensors, 'tensor')}, {result.size:,} bytes"
    if len(result.files) > 1:
        size += f" in {len(result.files) - 1} shards and their index"
    recorded = "" if lock is None else f", recorded in {printable(str(lock))}"
    say(f"{printable(str(path))} {verb}: {size}{recorded}")

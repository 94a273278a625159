"""`zeroinit inspect FILE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroinit_cli.cli.console import out, out_json, say, shown_progress, warn
from zeroinit_cli.cli.github import annotated
from zeroinit_cli.cli.options import Format, FormatName, Json, chosen_format
from zeroinit_cli.errors import UsageError, printable

if TYPE_CHECKING:
    from zeroinit_cli.commands.inspect import InspectedTensor
    from zeroinit_cli.store.read import StoredCheckpoint

_IMAGES = (".png", ".svg")


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            readable=False,  # an unreadable path gets our message
            help="A safetensors file, a folder with one, or an index of shards.",
        ),
    ],
    tensor: Annotated[
        str | None,
        typer.Option("--tensor", metavar="NAME", help="Show one tensor as a picture."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="PATH",
            readable=False,
            help="With --tensor: write the picture, .png or .svg.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another image.")] = False,
    header: Annotated[
        bool, typer.Option("--header", help="Only what the headers say; read no data.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every column and whole names, however wide.")
    ] = False,
    format_: FormatName = None,
    json: Json = False,
) -> None:
    """Print what a safetensors file holds, each tensor's rule recognised from its bytes."""
    form = chosen_format(format_, json)
    with annotated("zeroinit inspect", form is Format.GITHUB):
        _check_options(path, tensor, image, header=header, force=force)

        from zeroinit_cli.store.read import read_checkpoint

        checkpoint = read_checkpoint(path, tolerant=True)
        warn(checkpoint.oddities)
        if tensor is not None:
            _one(checkpoint, tensor, image, form)
        else:
            _all(checkpoint, form, header=header, every=every)


def _check_options(
    path: Path, tensor: str | None, image: Path | None, *, header: bool, force: bool
) -> None:
    """Refuse options that exclude each other before anything is read."""
    if header and tensor is not None:
        raise UsageError("--header and --tensor exclude each other", where="the options")
    if image is None:
        return
    if tensor is None:
        raise UsageError(
            "--image needs --tensor", where="the options", hint="--tensor NAME says which to draw"
        )
    if image.suffix.lower() not in _IMAGES:
        raise UsageError(
            "unknown kind of image",
            where="--image",
            expected=" or ".join(_IMAGES),
            found=repr(image.name),
        )
    from zeroinit_cli.commands.preflight import check_document

    check_document(image, "--image", [path], force=force)


def _all(checkpoint: "StoredCheckpoint", form: Format, *, header: bool, every: bool) -> None:
    from zeroinit_cli.cli.reports import inspections

    found: list[InspectedTensor] | None = None
    if not header:
        from zeroinit_cli.commands.inspect import inspect_tensors

        with shown_progress(quiet=form is not Format.HUMAN) as progress:
            found = list(inspect_tensors(checkpoint, progress=progress))
    if form is Format.JSON:
        out_json(inspections.to_json(checkpoint, found))
    elif form is Format.GITHUB:
        inspections.print_github(checkpoint, found)
    else:
        inspections.print_human(checkpoint, found, every=every)


def _one(checkpoint: "StoredCheckpoint", name: str, image: Path | None, form: Format) -> None:
    from zeroinit_cli.cli.reports import inspections
    from zeroinit_cli.commands.inspect import inspect_tensors

    [found] = inspect_tensors(checkpoint, (name,))
    if image is not None:
        _write_image(checkpoint, found, image)
    if form is Format.JSON:
        out_json(inspections.tensor_json(checkpoint, found.placed, found))
    elif form is Format.GITHUB:
        inspections.print_tensor_github(checkpoint, found)
    else:
        for line in inspections.tensor_lines(found):
            out(line)
        if image is None:
            _print_picture(checkpoint, found)


def _print_picture(checkpoint: "StoredCheckpoint", found: "InspectedTensor") -> None:
    from zeroinit_cli.cli.terminal_picture import legend, most_cells, render
    from zeroinit_cli.commands.inspect import draw, why_not_drawn
    from zeroinit_cli.commands.tensor_picture import caption

    refusal = why_not_drawn(found)
    if refusal is not None:
        out(f"no picture: {refusal}")
        return
    rows, columns = most_cells()
    picture = draw(checkpoint, found, most_rows=rows, most_columns=columns)
    out(f"\n{render(picture)}\n")
    out(f"{caption(picture)}\n{legend()}")


def _write_image(checkpoint: "StoredCheckpoint", found: "InspectedTensor", image: Path) -> None:
    from zeroinit_cli.atomic import guarded, replacing, write_all
    from zeroinit_cli.commands.inspect import draw, why_not_drawn
    from zeroinit_cli.commands.tensor_picture import MOST_CELLS, caption, image_bytes

    refusal = why_not_drawn(found)
    if refusal is not None:
        raise UsageError(f"cannot be drawn: {refusal}", where=f"tensor {found.placed.info.name!r}")
    suffix = image.suffix.lower()
    most = MOST_CELLS[suffix]
    picture = draw(checkpoint, found, most_rows=most, most_columns=most)
    with guarded(image, waiting=say), replacing(image) as file:
        write_all(file, image_bytes(picture, suffix))
    say(f"{printable(str(image))} written; {caption(picture)}")

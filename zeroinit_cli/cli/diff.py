"""`zeroinit diff A B`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Format,
    Json,
    Overrides,
    PresetName,
    Quiet,
    ResidualName,
    ScaleName,
    Settings,
    read_request,
    wants_json,
)
from zeroinit_cli.cli.console import out, out_json, shown_progress
from zeroinit_cli.errors import InputError, UsageError, printable
from zeroinit_cli.files.reading import is_there

if TYPE_CHECKING:
    from zeroinit_cli.checkpoint.contents import Contents
    from zeroinit_cli.checkpoint.differences import TensorDifference
    from zeroinit_cli.diff import Difference
    from zeroinit_cli.plans import TensorInfo

    Sides = tuple[Contents, Contents]

_DIFFERENT = 1
_SIDE_HELP = "A safetensors file, a folder or index of shards, or a SOURCE such as resnet18."


def command(
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help=_SIDE_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Likewise.")],
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    format_: Format = "human",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print what differs between two checkpoints: tensors, shapes, the first differing element."""
    as_json = wants_json(format_, json)
    words = {"dtype": dtype, "expansion": expansion, "residual": residual, "scale": scale}
    if is_path(a) and is_path(b) and (settings or preset or override or any(words.values())):
        raise UsageError(
            "neither A nor B is a SOURCE",
            where="the options",
            hint="--set and options that change bytes say how a SOURCE is made",
        )
    sources = {
        text: read_request(text, settings, words, preset, override)
        for text in (a, b)
        if not is_path(text)
    }

    from zeroinit_cli.diff import diff

    sides = _contents(a, sources), _contents(b, sources)
    with shown_progress(quiet=quiet or as_json) as progress:
        found = diff(*sides, progress=progress)
    if as_json:
        out_json(_to_json(sides, found))
    elif not quiet:
        out("\n".join(printable(line) for line in _lines(sides, found)))
    if not found.nothing:
        raise typer.Exit(_DIFFERENT)


def is_path(text: str) -> bool:
    """Whether A or B means files: something of that name is there, or it looks like a path.

    Raises:
        InputError: it can only be a path, and nothing is there, or it cannot be told.
    """
    path = Path(text)
    if text.lower().endswith((".yaml", ".yml")):
        return False
    if is_there(path):
        return True
    if any(mark in text for mark in ("/", "\\", ".safetensors", ".json")):
        raise InputError("no such file or folder", where=text)
    return False


def _contents(text: str, sources: dict[str, Any]) -> "Contents":
    from zeroinit_cli.checkpoint.contents import PlannedContents, StoredContents
    from zeroinit_cli.checkpoint.index import read_checkpoint

    if text not in sources:
        return StoredContents(read_checkpoint(Path(text)))

    from zeroinit_cli.architectures import plan_source

    source, options = sources[text]
    return PlannedContents(str(source), plan_source(source, options))


def _lines(sides: "Sides", found: "Difference") -> Iterator[str]:
    a, b = sides
    if found.identical:
        yield f"identical: {a.label} and {b.label} ({len(found.same)} tensors)"
        return
    if found.nothing:
        yield (
            f"the same {len(found.same)} tensors: {a.label} in {_files(found.files[0])}, "
            f"{b.label} in {_files(found.files[1])}"
        )
        return
    yield f"A: {a.label}"
    yield f"B: {b.label}"
    yield from (f"only in A: {info.name} {_form(info)}" for info in found.only_a)
    yield from (f"only in B: {info.name} {_form(info)}" for info in found.only_b)
    for before, after in found.reshaped:
        yield f"{before.name}: {_form(before)} in A, {_form(after)} in B"
    yield from map(_differing_line, found.differing)
    for key, (one, other) in found.metadata.items():
        yield f"metadata {key!r}: {_value(one)} in A, {_value(other)} in B"
    if found.order:
        yield "the tensors lie in another order"
    if found.headers and not (found.only_a or found.only_b or found.reshaped or found.metadata):
        yield "the headers differ in bytes"
    yield _summary(found)


def _differing_line(each: "TensorDifference") -> str:
    verb = "differs" if each.count == 1 else "differ"
    packed = each.info.dtype.bits % 8 != 0
    whole = each.info.numel * each.info.dtype.bits // 8 if packed else each.info.numel
    return (
        f"{each.info.name}: {each.count:,} of {whole:,} {'bytes' if packed else 'elements'} "
        f"{verb}, the first at {list(each.index)}: {each.expected} in A, {each.found} in B"
    )


def _summary(found: "Difference") -> str:
    counts = (
        (len(found.only_a), "only in A"),
        (len(found.only_b), "only in B"),
        (len(found.reshaped), "of another form"),
        (len(found.differing), "with other elements"),
        (len(found.same), "the same"),
    )
    return "tensors: " + ", ".join(f"{count} {words}" for count, words in counts if count)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _form(info: "TensorInfo") -> str:
    return f"{info.dtype.code} {list(info.shape)}"


def _value(text: str | None) -> str:
    return "absent" if text is None else repr(text)


def _to_json(sides: "Sides", found: "Difference") -> dict[str, Any]:
    return {
        "a": sides[0].label,
        "b": sides[1].label,
        "differing": [
            {
                "a": each.expected,
                "b": each.found,
                "count": each.count,
                "index": list(each.index),
                "name": each.info.name,
                "numel": each.info.numel,
            }
            for each in found.differing
        ],
        "files": list(found.files),
        "headers_differ": found.headers,
        "identical": found.identical,
        "metadata": {key: list(values) for key, values in found.metadata.items()},
        "only_in_a": [_info_json(info) for info in found.only_a],
        "only_in_b": [_info_json(info) for info in found.only_b],
        "order_differs": found.order,
        "reshaped": [
            {"a": _info_json(before), "b": _info_json(after), "name": before.name}
            for before, after in found.reshaped
        ],
        "same": found.nothing,
        "same_tensors": len(found.same),
    }


def _info_json(info: "TensorInfo") -> dict[str, Any]:
    return {"dtype": info.dtype.code, "name": info.name, "shape": list(info.shape)}

"""What `inspect` prints of a whole checkpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zeroinit_cli.cli.console import out
from zeroinit_cli.cli.reports import github
from zeroinit_cli.cli.reports.tensors import (
    norm_text,
    numel,
    shape_text,
    share_text,
    tensor_json,
    verdict,
    warn_of_infinite,
)
from zeroinit_cli.cli.tables import print_table
from zeroinit_cli.errors import printable
from zeroinit_cli.text import counted

if TYPE_CHECKING:
    from zeroinit_cli.commands.inspect import InspectedTensor
    from zeroinit_cli.store.read import StoredCheckpoint, TensorSpan


def print_human(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> None:
    """A table of all tensors, the totals, and what the headers say."""
    headings = ("tensor", "type", "shape")
    if found is None:
        rows = [headings, *(_header_row(each) for each in checkpoint.tensors)]
    else:
        rows = [
            (*headings, "zeros", "norm", "rule"),
            *((*_header_row(each.placed), *_data_row(each)) for each in found),
        ]
    if checkpoint.tensors:
        print_table(rows, numbers=frozenset({"zeros", "norm"}), whole=frozenset({"type", "shape"}))
    out("\n".join(printable(line) for line in _totals(checkpoint, found)))


def to_json(
    checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None"
) -> dict[str, Any]:
    """The document of a whole checkpoint."""
    tensors = (
        [tensor_json(checkpoint, each, None) for each in checkpoint.tensors]
        if found is None
        else [tensor_json(checkpoint, each.placed, each) for each in found]
    )
    return {
        "dtypes": dict(_dtypes(checkpoint)),
        "elements": sum(map(numel, checkpoint.tensors)),
        "files": [
            {
                "header_bytes": file.header.data_start,
                "metadata": dict(file.header.metadata),
                "path": str(file.path),
                "size": file.size,
            }
            for file in checkpoint.files
        ],
        "index": None if checkpoint.index is None else str(checkpoint.index),
        "index_metadata": dict(checkpoint.index_metadata),
        "nbytes": checkpoint.nbytes,
        "path": str(checkpoint.path),
        "size": checkpoint.size,
        "tensors": tensors,
    }


def print_github(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> None:
    """A notice with the totals, and a warning for each tensor with what is no finite number."""
    github.annotate(
        github.Level.NOTICE,
        "zeroinit inspect",
        _totals(checkpoint, found),
        file=checkpoint.path,
    )
    for each in found or ():
        warn_of_infinite(checkpoint, each)


def _header_row(placed: "TensorSpan") -> tuple[str, ...]:
    return printable(placed.info.name), placed.info.dtype.code, shape_text(placed)


def _data_row(found: "InspectedTensor") -> tuple[str, ...]:
    summary = found.summary
    zeros = "" if summary.zeros is None else share_text(summary.zeros, summary.numel)
    norm = "" if summary.norm is None else norm_text(summary.norm)
    return zeros, norm, printable(verdict(found))


def _dtypes(checkpoint: "StoredCheckpoint") -> list[tuple[str, dict[str, int]]]:
    table: dict[str, dict[str, int]] = {}
    for placed in checkpoint.tensors:
        entry = table.setdefault(placed.info.dtype.code, {"elements": 0, "tensors": 0})
        entry["elements"] += numel(placed)
        entry["tensors"] += 1
    return sorted(table.items())


def _totals(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> list[str]:
    elements = sum(map(numel, checkpoint.tensors))
    zeros = ""
    if found:
        known = [each for each in found if each.summary.zeros is not None]
        whole = sum(each.summary.numel for each in known)
        share = share_text(sum(each.summary.zeros or 0 for each in known), whole)
        zeros = f" ({share} zeros)" if share else ""
    lines = [
        f"{checkpoint.path}: {counted(len(checkpoint.tensors), 'tensor')}, "
        f"{counted(elements, 'element')}{zeros}, {checkpoint.size:,} bytes"
    ]
    if checkpoint.tensors:
        types = (f"{code} in {each['tensors']}" for code, each in _dtypes(checkpoint))
        lines.append(f"types: {', '.join(types)}")
    lines += _header_lines(checkpoint)
    if found:
        lines.append(_recognised_line(found))
    return lines


def _header_lines(checkpoint: "StoredCheckpoint") -> list[str]:
    header = sum(file.header.data_start for file in checkpoint.files)
    where = "" if checkpoint.index is None else f" in {counted(len(checkpoint.files), 'shard')}"
    metadata = [f"{key}={value}" for key, value in checkpoint.metadata.items()]
    lines = [f"header: {header:,} bytes{where}; metadata: {', '.join(metadata) or 'none'}"]
    if checkpoint.index is not None:
        said = [f"{key}={value}" for key, value in checkpoint.index_metadata.items()]
        lines.append(f"index: {checkpoint.index}; it says: {', '.join(said) or 'nothing more'}")
        size = checkpoint.index_metadata.get("total_size")
        if size is not None and size != str(checkpoint.nbytes):
            lines.append(f"its total_size is not that of the tensors, {checkpoint.nbytes}")
    return lines


def _recognised_line(found: "Sequence[InspectedTensor]") -> str:
    ruled = sum(each.recognised.rule is not None for each in found)
    others: dict[str, int] = {}
    for each in found:
        if each.recognised.rule is None:
            word = each.recognised.verdict.value
            others[word] = others.get(word, 0) + 1
    rest = "".join(f", {count} {word}" for word, count in sorted(others.items()))
    return f"recognised: {ruled} of {len(found)} by a rule{rest}"

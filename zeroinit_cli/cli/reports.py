"""What `inspect` prints: tables and lines for people, documents for programs (docs/output.md)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zeroinit_cli.cli.console import out
from zeroinit_cli.cli.tables import print_table
from zeroinit_cli.errors import printable

if TYPE_CHECKING:
    from zeroinit_cli.checkpoint.stored import Placed, StoredCheckpoint
    from zeroinit_cli.inspecting import InspectedTensor
    from zeroinit_cli.recognition.recognise import Nearly

_DIGITS = 6  # of norms: further ones could depend on the machine


def print_checkpoint(
    checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None"
) -> None:
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


def tensor_lines(found: "InspectedTensor") -> list[str]:
    """One tensor in lines."""
    info, summary = found.placed.info, found.summary
    lines = [
        f"{info.name}: {info.dtype.code} {_shape(found.placed)}, {info_numel(found.placed):,} "
        f"elements, {found.placed.nbytes:,} bytes",
        f"rule: {verdict(found)}",
    ]
    if summary.zeros is not None and summary.norm is not None:
        lines.append(f"zeros: {_share(summary.zeros, summary.numel)}, norm: {_norm(summary.norm)}")
    return [printable(line) for line in lines]


def checkpoint_json(
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
        "elements": sum(map(info_numel, checkpoint.tensors)),
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


def tensor_json(
    checkpoint: "StoredCheckpoint", placed: "Placed", found: "InspectedTensor | None"
) -> dict[str, Any]:
    """The document of one tensor; what only its data tells is left out if that was not read."""
    document: dict[str, Any] = {
        "data_offsets": [placed.start, placed.start + placed.nbytes],
        "dtype": placed.info.dtype.code,
        "file": str(checkpoint.files[placed.file].path),
        "name": placed.info.name,
        "shape": list(placed.info.shape),
    }
    if found is None:
        return document
    from zeroinit_cli.plans import rule_to_json

    summary, what = found.summary, found.recognised
    finite = summary.norm is not None and math.isfinite(summary.norm)
    return {
        **document,
        "constant": None if what.constant is None else _element(found, what.constant),
        "description": verdict(found),
        "infinities": summary.infinities,
        "nans": summary.nans,
        "nearly": None if what.nearly is None else _nearly_json(found, what.nearly),
        "norm": float(_norm(summary.norm)) if finite and summary.norm is not None else None,
        "rule": None if what.rule is None else rule_to_json(what.rule),
        "verdict": what.verdict.value,
        "zeros": summary.zeros,
    }


def verdict(found: "InspectedTensor") -> str:
    """What a tensor was recognised as, in a phrase."""
    from zeroinit_cli.describe import describe_rule

    info, summary, what = found.placed.info, found.summary, found.recognised
    if what.rule is not None:
        text = describe_rule(what.rule, info.shape)
    elif what.constant is not None:
        text = f"constant {_element(found, what.constant)}"
    else:
        text = what.verdict.value
    if what.nearly is not None:
        text += f": {_nearly_words(found, what.nearly)}"
    for count, name in ((summary.nans, "NaN"), (summary.infinities, "inf")):
        if count:
            text += f", {count:,} {name}"
    return text


def _nearly_words(found: "InspectedTensor", nearly: "Nearly") -> str:
    departure = nearly.departure
    expected, there = (_element(found, bits) for bits in (departure.expected, departure.found))
    return (
        f"{_nearly_name(found, nearly)} but for {departure.count:,} of {found.summary.numel:,} "
        f"elements, the first at {_index(found, departure.first)}: {there} instead of {expected}"
    )


def _nearly_name(found: "InspectedTensor", nearly: "Nearly") -> str:
    from zeroinit_cli.describe import describe_rule

    if nearly.rule is not None:
        return describe_rule(nearly.rule, found.placed.info.shape)
    return f"constant {_element(found, nearly.constant or 0)}"


def _nearly_json(found: "InspectedTensor", nearly: "Nearly") -> dict[str, Any]:
    from zeroinit_cli.plans import rule_to_json

    departure = nearly.departure
    return {
        "count": departure.count,
        "description": _nearly_name(found, nearly),
        "expected": _element(found, departure.expected),
        "found": _element(found, departure.found),
        "index": _index(found, departure.first),
        "rule": None if nearly.rule is None else rule_to_json(nearly.rule),
    }


def _element(found: "InspectedTensor", bits: int) -> str:
    from zeroinit_cli.checkpoint.differences import element_text, unit_bytes

    dtype = found.placed.info.dtype
    return element_text(bits.to_bytes(unit_bytes(dtype), "little"), dtype)


def _index(found: "InspectedTensor", flat: int) -> list[int]:
    from zeroinit_cli.checkpoint.differences import unravelled

    info = found.placed.info
    return [flat] if info.dtype.bits % 8 else list(unravelled(flat, info.shape))


def info_numel(placed: "Placed") -> int:
    """Elements of a tensor."""
    return math.prod(placed.info.shape)


def _header_row(placed: "Placed") -> tuple[str, ...]:
    return printable(placed.info.name), placed.info.dtype.code, _shape(placed)


def _data_row(found: "InspectedTensor") -> tuple[str, ...]:
    summary = found.summary
    zeros = "" if summary.zeros is None else _share(summary.zeros, summary.numel)
    norm = "" if summary.norm is None else _norm(summary.norm)
    return zeros, norm, printable(verdict(found))


def _shape(placed: "Placed") -> str:
    return " x ".join(map(str, placed.info.shape)) or "scalar"


def _norm(norm: float | None) -> str:
    return f"{norm:.{_DIGITS}g}"


def _share(count: int, whole: int) -> str:
    """A percentage that is 0 or 100 only where it is exactly that."""
    if not whole:
        return ""
    percent = 100 * count / whole
    if count and percent < 0.1:
        return "<0.1%"
    if count < whole and percent > 99.9:
        return ">99.9%"
    return f"{percent:.1f}%"


def _dtypes(checkpoint: "StoredCheckpoint") -> list[tuple[str, dict[str, int]]]:
    table: dict[str, dict[str, int]] = {}
    for placed in checkpoint.tensors:
        entry = table.setdefault(placed.info.dtype.code, {"elements": 0, "tensors": 0})
        entry["elements"] += info_numel(placed)
        entry["tensors"] += 1
    return sorted(table.items())


def _totals(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> list[str]:
    elements = sum(map(info_numel, checkpoint.tensors))
    zeros = ""
    if found:
        counted = [each for each in found if each.summary.zeros is not None]
        whole = sum(each.summary.numel for each in counted)
        share = _share(sum(each.summary.zeros or 0 for each in counted), whole)
        zeros = f" ({share} zeros)" if share else ""
    lines = [
        f"{checkpoint.path}: {len(checkpoint.tensors)} tensors, {elements:,} elements{zeros}, "
        f"{checkpoint.size:,} bytes"
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
    where = "" if checkpoint.index is None else f" in {len(checkpoint.files)} shards"
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

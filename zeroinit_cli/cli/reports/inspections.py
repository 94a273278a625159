"""The output of `inspect`, of a checkpoint or one tensor: text, a document, or annotations."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zeroinit_cli.cli import github
from zeroinit_cli.cli.console import out
from zeroinit_cli.cli.reports.headers import header_lines
from zeroinit_cli.cli.tables import Column, Kind, print_table
from zeroinit_cli.errors import one_line, printable
from zeroinit_cli.text import counted

if TYPE_CHECKING:
    from zeroinit_cli.commands.departures import Departure
    from zeroinit_cli.commands.inspect import InspectedTensor
    from zeroinit_cli.commands.tensor_summary import Summary
    from zeroinit_cli.store.read import StoredCheckpoint, TensorSpan

_DIGITS = 6  # of norms: further ones could depend on the machine
_HEADER = (
    Column(heading="tensor", kind=Kind.NAME),
    Column(heading="type", kind=Kind.WORD),
    Column(heading="shape"),
)
_DATA = (
    *_HEADER,
    Column(heading="zeros", kind=Kind.NUMBER, spare=1),
    Column(heading="norm", kind=Kind.NUMBER, spare=2),
    Column(heading="rule"),
)


def print_human(
    checkpoint: "StoredCheckpoint",
    found: "Sequence[InspectedTensor] | None",
    *,
    every: bool = False,
) -> None:
    """Print a table of all tensors, the totals, and what the headers say.

    Args:
        checkpoint: what was read.
        found: its tensors; None where only headers were read.
        every: leave no column out, however wide the lines get.
    """
    if found is None:
        rows = [_header_row(placed) for placed in checkpoint.tensors]
    else:
        rows = [(*_header_row(tensor.placed), *_data_row(tensor)) for tensor in found]
    if rows:
        print_table(_HEADER if found is None else _DATA, rows, every=every)
    out("\n".join(one_line(line) for line in _totals(checkpoint, found)))


def to_json(
    checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None"
) -> dict[str, Any]:
    """Return the document of a whole checkpoint."""
    tensors = (
        [tensor_json(checkpoint, placed, None) for placed in checkpoint.tensors]
        if found is None
        else [tensor_json(checkpoint, tensor.placed, tensor) for tensor in found]
    )
    return {
        "dtypes": dict(_dtypes(checkpoint)),
        "elements": sum(placed.info.numel for placed in checkpoint.tensors),
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
        "warnings": list(checkpoint.oddities),
    }


def print_github(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> None:
    """Print a notice with the totals, and a warning for each tensor with NaN or infinity."""
    github.annotate(
        github.Level.NOTICE,
        "zeroinit inspect",
        _totals(checkpoint, found),
        file=checkpoint.path,
    )
    for tensor in found or ():
        _warn_of_infinite(checkpoint, tensor)


def _header_row(placed: "TensorSpan") -> tuple[str, ...]:
    return printable(placed.info.name), placed.info.dtype.code, _shape_text(placed)


def _data_row(found: "InspectedTensor") -> tuple[str, ...]:
    summary = found.summary
    zeros = "" if summary.zeros is None else _share_text(summary.zeros, summary.numel)
    norm = "" if summary.norm is None else _norm_text(summary)
    return zeros, norm, printable(_verdict(found))


def _dtypes(checkpoint: "StoredCheckpoint") -> list[tuple[str, dict[str, int]]]:
    table: dict[str, dict[str, int]] = {}
    for placed in checkpoint.tensors:
        entry = table.setdefault(placed.info.dtype.code, {"elements": 0, "tensors": 0})
        entry["elements"] += placed.info.numel
        entry["tensors"] += 1
    return sorted(table.items())


def _totals(checkpoint: "StoredCheckpoint", found: "Sequence[InspectedTensor] | None") -> list[str]:
    elements = sum(placed.info.numel for placed in checkpoint.tensors)
    zeros = ""
    if found:
        counts = [tensor.summary for tensor in found if tensor.summary.zeros is not None]
        whole = sum(summary.numel for summary in counts)
        share = _share_text(sum(summary.zeros or 0 for summary in counts), whole)
        zeros = f" ({share} zeros)" if share else ""
    lines = [
        f"{checkpoint.path}: {counted(len(checkpoint.tensors), 'tensor')}, "
        f"{counted(elements, 'element')}{zeros}, {checkpoint.size:,} bytes"
    ]
    if checkpoint.tensors:
        types = (f"{code} in {entry['tensors']}" for code, entry in _dtypes(checkpoint))
        lines.append(f"types: {', '.join(types)}")
    lines += header_lines(checkpoint)
    if found:
        lines += [_recognized_line(found), *_finite_lines(found)]
    return lines


def _finite_lines(found: "Sequence[InspectedTensor]") -> list[str]:
    """Count what is no finite number, in all tensors."""
    nans = sum(tensor.summary.nans for tensor in found)
    infinities = sum(tensor.summary.infinities for tensor in found)
    broken = sum(bool(tensor.summary.nans or tensor.summary.infinities) for tensor in found)
    if not broken:
        return []
    counts = [f"{nans:,} NaN"] * bool(nans) + [f"{infinities:,} inf"] * bool(infinities)
    return [f"not finite: {' and '.join(counts)} in {counted(broken, 'tensor')}"]


def _recognized_line(found: "Sequence[InspectedTensor]") -> str:
    ruled = sum(tensor.recognized.rule is not None for tensor in found)
    others = Counter(
        tensor.recognized.kind.value for tensor in found if tensor.recognized.rule is None
    )
    rest = "".join(f", {count} {word}" for word, count in sorted(others.items()))
    return f"recognised: {ruled} of {len(found)} by a rule{rest}"


def tensor_lines(found: "InspectedTensor") -> list[str]:
    """Describe one tensor in lines."""
    info, summary = found.placed.info, found.summary
    lines = [
        f"{info.name}: {info.dtype.code} {_shape_text(found.placed)}, "
        f"{counted(info.numel, 'element')}, {counted(found.placed.nbytes, 'byte')}",
        f"rule: {_verdict(found)}",
    ]
    if summary.zeros is not None and summary.norm is not None:
        lines.append(
            f"zeros: {_share_text(summary.zeros, summary.numel)}, norm: {_norm_text(summary)}"
        )
    return [printable(line) for line in lines]


def tensor_json(
    checkpoint: "StoredCheckpoint", placed: "TensorSpan", found: "InspectedTensor | None"
) -> dict[str, Any]:
    """Return the document of one tensor; without its data only what the header says."""
    document: dict[str, Any] = {
        "data_offsets": [placed.start, placed.start + placed.nbytes],
        "dtype": placed.info.dtype.code,
        "file": str(checkpoint.files[placed.file].path),
        "name": placed.info.name,
        "shape": list(placed.info.shape),
    }
    if found is None:
        return document

    summary, what = found.summary, found.recognized
    finite = summary.norm is not None and math.isfinite(summary.norm)
    return {
        **document,
        "constant": None if what.constant is None else _element(found, what.constant),
        "description": _verdict(found),
        "infinities": summary.infinities,
        "nans": summary.nans,
        "nearly": None if what.nearly is None else _nearly_json(found, what.nearly),
        "norm": float(_norm_text(summary)) if finite else None,
        "rule": None if what.rule is None else what.rule.to_json(),
        "verdict": what.kind.value,
        "zeros": summary.zeros,
    }


def print_tensor_github(checkpoint: "StoredCheckpoint", found: "InspectedTensor") -> None:
    """Print a notice, and a warning if the tensor holds NaN or infinity."""
    file = checkpoint.files[found.placed.file].path
    github.annotate(github.Level.NOTICE, "zeroinit inspect", tensor_lines(found), file=file)
    _warn_of_infinite(checkpoint, found)


def _warn_of_infinite(checkpoint: "StoredCheckpoint", found: "InspectedTensor") -> None:
    """Print a warning if a tensor holds NaN or infinity: no training can start from it."""
    if not (found.summary.nans or found.summary.infinities):
        return
    github.annotate(
        github.Level.WARNING,
        f"not finite: {found.placed.info.name}",
        [_verdict(found)],
        file=checkpoint.files[found.placed.file].path,
    )


def _verdict(found: "InspectedTensor") -> str:
    """Describe in a phrase what a tensor was recognized as."""
    info, summary, what = found.placed.info, found.summary, found.recognized
    if what.rule is not None:
        text = what.rule.describe(info.shape)
    elif what.constant is not None:
        text = f"constant {_element(found, what.constant)}"
    else:
        text = what.kind.value
    if what.nearly is not None:
        text += f": {_nearly_words(found, what.nearly)}"
    for count, name in ((summary.nans, "NaN"), (summary.infinities, "inf")):
        if count:
            text += f", {count:,} {name}"
    return text


def _nearly_words(found: "InspectedTensor", nearly: "Departure") -> str:
    expected, there = (_element(found, bits) for bits in (nearly.expected, nearly.found))
    return (
        f"{_nearly_name(found, nearly)} but for {nearly.count:,} of {found.summary.numel:,} "
        f"elements, the first at {_index(found, nearly.first)}: {there} instead of {expected}"
    )


def _nearly_name(found: "InspectedTensor", nearly: "Departure") -> str:

    if nearly.rule is not None:
        return nearly.rule.describe(found.placed.info.shape)
    return f"constant {_element(found, nearly.expected)}"


def _nearly_json(found: "InspectedTensor", nearly: "Departure") -> dict[str, Any]:

    return {
        "count": nearly.count,
        "description": _nearly_name(found, nearly),
        "expected": _element(found, nearly.expected),
        "found": _element(found, nearly.found),
        "index": _index(found, nearly.first),
        "rule": None if nearly.rule is None else nearly.rule.to_json(),
    }


def _element(found: "InspectedTensor", bits: int) -> str:
    from zeroinit_cli.store.diff import element_text

    dtype = found.placed.info.dtype
    return element_text(bits.to_bytes(dtype.unit_bytes, "little"), dtype)


def _index(found: "InspectedTensor", flat: int) -> list[int]:
    from zeroinit_cli.plans.values import unravelled

    info = found.placed.info
    return [flat] if info.dtype.bits % 8 else list(unravelled(flat, info.shape))


def _share_text(count: int, whole: int) -> str:
    """Write a percentage; it is 0 or 100 only where that is exact."""
    if not whole:
        return ""
    percent = 100 * count / whole
    if count and percent < 0.1:
        return "<0.1%"
    if count < whole and percent > 99.9:
        return ">99.9%"
    return f"{percent:.1f}%"


def _shape_text(placed: "TensorSpan") -> str:
    """Write a shape as `64 x 3 x 7 x 7`."""
    return " x ".join(map(str, placed.info.shape)) or "scalar"


def _norm_text(summary: "Summary") -> str:
    """Write a norm with the digits that all machines agree on."""
    if summary.norm == math.inf and not summary.infinities:
        return f"> {sys.float_info.max:.{_DIGITS}g}"
    return f"{summary.norm:.{_DIGITS}g}"

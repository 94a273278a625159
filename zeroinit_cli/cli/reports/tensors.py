"""One tensor of a checkpoint: what it was recognised as, in words and as a document."""

import math
from typing import TYPE_CHECKING, Any

from zeroinit_cli.cli.reports import github
from zeroinit_cli.errors import printable
from zeroinit_cli.text import counted

if TYPE_CHECKING:
    from zeroinit_cli.commands.inspect import InspectedTensor
    from zeroinit_cli.commands.recognition.recognise import Nearly
    from zeroinit_cli.store.read import StoredCheckpoint, TensorSpan

_DIGITS = 6  # of norms: further ones could depend on the machine


def tensor_lines(found: "InspectedTensor") -> list[str]:
    """One tensor in lines."""
    info, summary = found.placed.info, found.summary
    lines = [
        f"{info.name}: {info.dtype.code} {shape_text(found.placed)}, "
        f"{counted(numel(found.placed), 'element')}, {counted(found.placed.nbytes, 'byte')}",
        f"rule: {verdict(found)}",
    ]
    if summary.zeros is not None and summary.norm is not None:
        lines.append(
            f"zeros: {share_text(summary.zeros, summary.numel)}, norm: {norm_text(summary.norm)}"
        )
    return [printable(line) for line in lines]


def tensor_json(
    checkpoint: "StoredCheckpoint", placed: "TensorSpan", found: "InspectedTensor | None"
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
    summary, what = found.summary, found.recognised
    finite = summary.norm is not None and math.isfinite(summary.norm)
    return {
        **document,
        "constant": None if what.constant is None else _element(found, what.constant),
        "description": verdict(found),
        "infinities": summary.infinities,
        "nans": summary.nans,
        "nearly": None if what.nearly is None else _nearly_json(found, what.nearly),
        "norm": float(norm_text(summary.norm)) if finite and summary.norm is not None else None,
        "rule": None if what.rule is None else what.rule.to_json(),
        "verdict": what.verdict.value,
        "zeros": summary.zeros,
    }


def print_github(checkpoint: "StoredCheckpoint", found: "InspectedTensor") -> None:
    """A notice, and a warning if it holds what is no finite number."""
    file = checkpoint.files[found.placed.file].path
    github.annotate(github.Level.NOTICE, "zeroinit inspect", tensor_lines(found), file=file)
    warn_of_infinite(checkpoint, found)


def warn_of_infinite(checkpoint: "StoredCheckpoint", found: "InspectedTensor") -> None:
    """An annotation for a tensor that no training can start from."""
    if not (found.summary.nans or found.summary.infinities):
        return
    github.annotate(
        github.Level.WARNING,
        f"not finite: {found.placed.info.name}",
        [verdict(found)],
        file=checkpoint.files[found.placed.file].path,
    )


def verdict(found: "InspectedTensor") -> str:
    """What a tensor was recognised as, in a phrase."""
    info, summary, what = found.placed.info, found.summary, found.recognised
    if what.rule is not None:
        text = what.rule.describe(info.shape)
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
    if nearly.rule is not None:
        return nearly.rule.describe(found.placed.info.shape)
    return f"constant {_element(found, nearly.constant or 0)}"


def _nearly_json(found: "InspectedTensor", nearly: "Nearly") -> dict[str, Any]:
    departure = nearly.departure
    return {
        "count": departure.count,
        "description": _nearly_name(found, nearly),
        "expected": _element(found, departure.expected),
        "found": _element(found, departure.found),
        "index": _index(found, departure.first),
        "rule": None if nearly.rule is None else nearly.rule.to_json(),
    }


def _element(found: "InspectedTensor", bits: int) -> str:
    from zeroinit_cli.store.differences import element_text, unit_bytes

    dtype = found.placed.info.dtype
    return element_text(bits.to_bytes(unit_bytes(dtype), "little"), dtype)


def _index(found: "InspectedTensor", flat: int) -> list[int]:
    from zeroinit_cli.plans.values import unravelled

    info = found.placed.info
    return [flat] if info.dtype.bits % 8 else list(unravelled(flat, info.shape))


def share_text(count: int, whole: int) -> str:
    """A percentage that is 0 or 100 only where it is exactly that."""
    if not whole:
        return ""
    percent = 100 * count / whole
    if count and percent < 0.1:
        return "<0.1%"
    if count < whole and percent > 99.9:
        return ">99.9%"
    return f"{percent:.1f}%"


def numel(placed: "TensorSpan") -> int:
    """Elements of a tensor."""
    return math.prod(placed.info.shape)


def shape_text(placed: "TensorSpan") -> str:
    """`64 x 3 x 7 x 7`."""
    return " x ".join(map(str, placed.info.shape)) or "scalar"


def norm_text(norm: float | None) -> str:
    """To the digits that every machine agrees on."""
    return f"{norm:.{_DIGITS}g}"

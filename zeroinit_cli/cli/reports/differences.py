"""The output of `diff`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zeroinit_cli.cli import github
from zeroinit_cli.cli.console import out
from zeroinit_cli.errors import one_line
from zeroinit_cli.text import abridged, counted

if TYPE_CHECKING:
    from zeroinit_cli.plans.plan import TensorInfo
    from zeroinit_cli.store.diff import Contents, Difference, TensorDifference

    Sides = tuple[Contents, Contents]

_MOST_LINES = 5  # of one kind of difference
_MOST_VALUE = 80  # characters of metadata


def print_human(sides: "Sides", found: "Difference", *, every: bool) -> None:
    """Print lines for differences, and a last line with counts.

    Args:
        sides: what was compared.
        found: what differs.
        every: a line for each difference; else the first few of each kind, and how many more.
    """
    most = None if every else _MOST_LINES
    out("\n".join(one_line(line) for line in _lines(sides, found, most)))


def print_github(sides: "Sides", found: "Difference", *, quiet: bool) -> None:
    """Print one annotation, or a line where nothing differs."""
    lines = list(_lines(sides, found))
    if found.nothing:
        if not quiet:
            github.plain(lines[0])
        return
    *details, total = lines
    a, b = sides
    title = f"zeroinit diff: {a.label} and {b.label} differ"
    github.annotate(github.Level.ERROR, title, [total, *details])


def _lines(sides: "Sides", found: "Difference", most: int | None = None) -> Iterator[str]:
    a, b = sides
    if found.identical:
        yield f"identical: {a.label} and {b.label} ({counted(len(found.same), 'tensor')})"
        return
    if found.nothing:
        yield (
            f"the same {counted(len(found.same), 'tensor')}: "
            f"{a.label} in {counted(found.files[0], 'file')}, "
            f"{b.label} in {counted(found.files[1], 'file')}"
        )
        return
    yield f"A: {a.label}"
    yield f"B: {b.label}"
    only_a = [f"only in A: {info.name} {info.form}" for info in found.only_a]
    yield from _first(only_a, most, "only in A")
    only_b = [f"only in B: {info.name} {info.form}" for info in found.only_b]
    yield from _first(only_b, most, "only in B")
    reshaped = [
        f"{before.name}: {before.form} in A, {after.form} in B" for before, after in found.reshaped
    ]
    yield from _first(reshaped, most, "of another form")
    yield from _first(list(map(_differing_line, found.differing)), most, "with other elements")
    for key, (one, other) in found.metadata.items():
        name = abridged(repr(key), _MOST_VALUE)
        yield f"metadata {name}: {_value(one)} in A, {_value(other)} in B"
    if found.order:
        yield "the tensors lie in another order"
    if found.headers and not (found.only_a or found.only_b or found.reshaped or found.metadata):
        yield "the headers differ in bytes"
    yield _counts_line(found)


def _first(lines: Sequence[str], most: int | None, kind: str) -> Iterator[str]:
    """Yield the first of some lines, and how many more there are; one more is no less to read."""
    if most is None or len(lines) <= most + 1:
        yield from lines
        return
    yield from lines[:most]
    yield f"and {len(lines) - most:,} more {kind}: --all shows them"


def _differing_line(tensor: "TensorDifference") -> str:
    verb = "differs" if tensor.count == 1 else "differ"
    packed = tensor.info.dtype.bits % 8 != 0
    whole = tensor.info.numel * tensor.info.dtype.bits // 8 if packed else tensor.info.numel
    return (
        f"{tensor.info.name}: {tensor.count:,} of {whole:,} {'bytes' if packed else 'elements'} "
        f"{verb}, the first at {list(tensor.index)}: {tensor.expected} in A, {tensor.found} in B"
    )


def _counts_line(found: "Difference") -> str:
    counts = (
        (len(found.only_a), "only in A"),
        (len(found.only_b), "only in B"),
        (len(found.reshaped), "of another form"),
        (len(found.differing), "with other elements"),
        (len(found.same), "the same"),
    )
    return "tensors: " + ", ".join(f"{count} {words}" for count, words in counts if count)


def _value(text: str | None) -> str:
    return "absent" if text is None else abridged(repr(text), _MOST_VALUE)


def to_json(sides: "Sides", found: "Difference") -> dict[str, Any]:
    """Return the document that docs/output.md describes."""
    return {
        "a": sides[0].label,
        "b": sides[1].label,
        "differing": [
            {
                "a": tensor.expected,
                "b": tensor.found,
                "count": tensor.count,
                "index": list(tensor.index),
                "name": tensor.info.name,
                "numel": tensor.info.numel,
            }
            for tensor in found.differing
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

"""Which matrix a person wants to see of a tensor."""

import math
from dataclasses import dataclass

from zeroinit_cli.plans.plan import Groups, Rule, Split, Taps, TensorInfo, Transposed, Viewed


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A matrix within a tensor: entry (i, j) is element (i * columns + j) * stride + offset.

    Attributes:
        rows: of the matrix.
        columns: of the matrix.
        stride: elements from one entry to the next.
        offset: of the first entry.
        note: what a reader must know of it; empty if it is the tensor as it is.
    """

    rows: int
    columns: int
    stride: int = 1
    offset: int = 0
    note: str = ""


def layout_of(info: TensorInfo, rule: Rule | None) -> Layout:
    """The matrix to show.

    A kernel whose rule is known to be 0 but for some taps is shown at one of them; any other tensor
    of more than two dimensions flattened, but for leading dimensions of 1.

    Args:
        info: shape of the tensor.
        rule: what gives every byte of it, if that is known.
    """
    shape = info.shape
    taps = _taps(rule) if rule is not None else None
    if taps is not None and all(first < last for first, last in taps.ranges):
        return _at_tap(shape, taps)
    if isinstance(rule, Viewed):
        return _flattened(shape, rule.rows, math.prod(shape) // rule.rows)
    trimmed = shape
    while len(trimmed) > 2 and trimmed[0] == 1:
        trimmed = trimmed[1:]
    if len(trimmed) <= 1:
        return Layout(rows=1, columns=math.prod(trimmed))
    return _flattened(shape, trimmed[0], math.prod(trimmed[1:]))


def _taps(rule: Rule) -> Taps | None:
    match rule:
        case Taps():
            return rule
        case Groups(of=of) | Transposed(of=of):
            return _taps(of)
        case Split(parts=parts):
            found = {_taps(of) for _, of in parts}
            ranges = {each.ranges for each in found if each is not None}
            return next(filter(None, found)) if len(ranges) == 1 else None
        case _:
            return None


def _at_tap(shape: tuple[int, ...], taps: Taps) -> Layout:
    kernel = shape[2:]
    size = math.prod(kernel)
    index = tuple(first for first, _ in taps.ranges)
    offset = 0
    for length, position in zip(kernel, index, strict=True):
        offset = offset * length + position
    equal = math.prod(last - first for first, last in taps.ranges)
    words = f"tap ({', '.join(map(str, index))}) of {' x '.join(map(str, kernel))}"
    if equal > 1:
        words += f", one of {equal} that are equal"
    if equal < size:
        words += "; the others hold 0"
    note = words if size > 1 else ""
    return Layout(rows=shape[0], columns=shape[1], stride=size, offset=offset, note=note)


def _flattened(shape: tuple[int, ...], rows: int, columns: int) -> Layout:
    plain = tuple(size for size in shape if size != 1) == (rows, columns) or len(shape) == 2
    note = "" if plain else f"{' x '.join(map(str, shape))} as {rows} x {columns}, in C order"
    return Layout(rows=rows, columns=columns, note=note)

"""Tensors cut into parts that follow rules of their own: fused projections."""

from collections.abc import Callable, Iterator

import numpy as np

from zeroinit_cli.commands.recognition.candidates import FOREIGN, Clues, with_mirrored
from zeroinit_cli.commands.recognition.matching import Data, departure, head_differences
from zeroinit_cli.commands.recognition.summary import Read
from zeroinit_cli.plans.layouts import Mirrored, Split, Taps, Transposed
from zeroinit_cli.plans.rules import Identity, Rule, Shape, Zeros
from zeroinit_cli.plans.values import region_values

USUAL_COUNTS = (3, 2, 4, 5, 6, 8)  # query, key and value; gate and up; more are rare
_MOST_PARTS = 12
_HEAD = 65536  # elements of a transposed part that tell its rule


def equal_parts(found: Clues, data: Data, counts: tuple[int, ...] = USUAL_COUNTS) -> Iterator[Rule]:
    """A matrix, or a transposed one, cut into equal parts, each by the rule that its head shows."""
    if len(found.shape) != 2:
        return
    for count in counts:
        for transposed in (False, True):
            rows, columns = reversed(found.shape) if transposed else found.shape
            if rows % count or rows < 2 * count:
                continue
            height = rows // count
            differences = _transposed_head if transposed else _head
            rules = [
                _best(height, columns, found, differences(data, part, height, columns))
                for part in range(count)
            ]
            if all(isinstance(rule, Zeros) for rule in rules):
                continue
            split = Split(parts=tuple((height, rule) for rule in rules))
            yield Transposed(of=split) if transposed else split


def _best(rows: int, columns: int, found: Clues, differences: Callable[[Rule], int]) -> Rule:
    """The rule that a part's head departs from least; among equals the policy's."""
    ranked: list[tuple[int, Rule]] = [(0, Zeros()), *with_mirrored(rows, columns, found)]
    usual = [(rank, rule) for rank, rule in ranked if rank < FOREIGN]
    return min(usual, key=lambda pair: (differences(pair[1]), pair[0]))[1]


def _head(data: Data, part: int, rows: int, columns: int) -> Callable[[Rule], int]:
    within = part_of(data, part * rows, rows)
    return lambda rule: head_differences(rule, within)


def _transposed_head(data: Data, part: int, rows: int, columns: int) -> Callable[[Rule], int]:
    """Of the stored matrix (columns, parts * rows), the first stored rows of one part's slice."""
    width = data.shape[1]
    stored = max(min(columns, _HEAD // width), 1)
    whole = data.read(0, stored * width).reshape(stored, width)
    slice_ = whole[:, part * rows : (part + 1) * rows].T.copy()
    region = ((0, rows), (0, stored))

    def differences(rule: Rule) -> int:
        expected = region_values(rule, (rows, columns), data.dtype, region)
        return int(np.count_nonzero(expected != slice_))

    return differences


def part_of(data: Data, first: int, rows: int) -> Data:
    """Some rows of dimension 0 as a tensor of their own."""
    width = int(np.prod(data.shape[1:], dtype=np.int64))
    read: Read = lambda start, count: data.read(first * width + start, count)  # noqa: E731
    return Data(shape=(rows, *data.shape[1:]), dtype=data.dtype, read=read)


def unequal_parts(found: Clues, data: Data) -> Rule | None:
    """Cut where the longest rule ends, and go on from there; None if that leads nowhere."""
    parts: list[tuple[int, Rule]] = []
    total, row = data.shape[0], 0
    while row < total:
        if len(parts) == _MOST_PARTS:
            return None
        rest = part_of(data, row, total - row)
        rows, rule = max(
            ((_extent(rule, rest), rule) for rule in _part_rules(rest.shape, found)),
            key=lambda pair: pair[0],
        )
        if rows == 0:
            return None
        parts.append((rows, rule))
        row += rows
    return Split(parts=tuple(parts)) if len(parts) > 1 else None


def _part_rules(shape: Shape, found: Clues) -> list[Rule]:
    """What a run of rows can be whose end is not known; a prime depends on it."""
    if len(shape) == 2:
        kinds = [rule for _, rule in with_mirrored(shape[0], shape[1], found)]
        return [Zeros(), *kinds]
    if not found.tap:
        return [Zeros()]
    rows, columns = shape[:2]
    plain = [Taps(ranges=found.tap, of=rule) for _, rule in with_mirrored(rows, columns, found)]
    return [Zeros(), *plain]


def _extent(rule: Rule, data: Data) -> int:
    """Rows from the first on that are the rule's."""
    rows = data.shape[0]
    away = departure(rule, data, 0)
    width = int(np.prod(data.shape[1:], dtype=np.int64))
    extent = rows if away is None else away.first // width
    return min(extent, data.shape[1]) if _is_identity(rule) else extent


def _is_identity(rule: Rule) -> bool:
    """Whether its rows end where its columns do: zeros below are another part's."""
    while isinstance(rule, Mirrored | Taps):
        rule = rule.of
    return isinstance(rule, Identity)

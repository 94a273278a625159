"""Hold a file against a plan, byte for byte, and say what differs in words."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from zeroinit_cli.checkpoint.hashing import (
    BLOCK_BYTES,
    BackgroundSha256,
    Block,
    Buffer,
    block_nbytes,
    zero_views,
)
from zeroinit_cli.checkpoint.header import StoredTensor
from zeroinit_cli.checkpoint.reader import read_header
from zeroinit_cli.checkpoint.stream import data_blocks, plan_header, stored_tensors
from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files.reading import opened, read_exactly
from zeroinit_cli.plans import Plan, TensorInfo
from zeroinit_cli.progress import Advance, no_advance


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDifference:
    """A tensor that is in both, with other bytes.

    Attributes:
        info: name, shape and element type, as planned.
        count: elements that differ.
        index: position of the first of them.
        expected: its planned value, as text.
        found: what stands there.
    """

    info: TensorInfo
    count: int
    index: tuple[int, ...]
    expected: str
    found: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What a file is, beside what the plan says it should be.

    Attributes:
        plan_sha256: of the bytes that the plan gives.
        expected_size: bytes that the plan gives.
        size: bytes that the file has.
        problems: what is wrong with size and header, a line each.
        differences: tensors whose bytes differ, in file order.
    """

    plan_sha256: str
    expected_size: int
    size: int
    problems: tuple[str, ...]
    differences: tuple[TensorDifference, ...]

    @property
    def same(self) -> bool:
        """The file has exactly the plan's bytes."""
        return not self.problems and not self.differences


def compare_with_plan(plan: Plan, path: Path, advance: Advance = no_advance) -> Comparison:
    """Every difference between a file and a plan, in one pass over both.

    Raises:
        InputError: the file cannot be read.
    """
    header = plan_header(plan)
    with opened(path) as (file, size), BackgroundSha256() as sha256:
        sha256.update(header)
        problems = _size_problems(len(header) + plan.nbytes, size)
        header_problems, stored = _check_header(plan, header, file, size, path)
        tally = _Tally(stored_tensors(plan))
        found = np.empty(BLOCK_BYTES, np.uint8)
        for part, start, offset in _runs(plan, len(header), stored):
            tally.position = start
            if offset is not None:
                file.seek(offset)
            for block in data_blocks(part, sha256.buffer):
                sha256.update(block)
                if offset is not None:
                    _compare_block(file, block, found, tally)
                advance(block_nbytes(block))
        return Comparison(
            plan_sha256=sha256.hexdigest(),
            expected_size=len(header) + plan.nbytes,
            size=size,
            problems=(*problems, *header_problems),
            differences=tally.differences(),
        )


def _runs(
    plan: Plan, header_bytes: int, stored: Mapping[str, int] | None
) -> Iterator[tuple[Plan, int, int | None]]:
    """Parts of the plan, where they start in its data, and where in the file, if anywhere.

    Args:
        plan: the whole plan.
        header_bytes: of the planned file.
        stored: where in the file each tensor that can be compared starts, if its own sound header
            lays it out differently; None if the file is to be read as planned.
    """
    if stored is None:
        yield plan, 0, header_bytes
        return
    for tensor, place in zip(plan.tensors, stored_tensors(plan), strict=True):
        part = replace(plan, tensors=(tensor,))
        yield part, place.start, stored.get(tensor.info.name)


class _Tally:
    """Counts differing elements tensor by tensor, whatever blocks they come in."""

    def __init__(self, tensors: tuple[StoredTensor, ...]):
        self.position = 0  # of the next block, from the end of the header
        self._tensors = [tensor for tensor in tensors if tensor.start < tensor.end]
        self._starts = [tensor.start for tensor in self._tensors]
        self._counts: dict[int, int] = {}
        self._first: dict[int, tuple[int, str, str]] = {}

    def add(self, expected: Buffer, found: Buffer) -> None:
        """Count what differs between two buffers that stand at `position`."""
        if np.array_equal(expected, found):
            return
        last = self.position + expected.nbytes
        at = bisect_right(self._starts, self.position) - 1
        while at < len(self._tensors) and self._starts[at] < last:
            tensor = self._tensors[at]
            start = max(tensor.start, self.position)
            end = min(tensor.end, last)
            bounds = slice(start - self.position, end - self.position)
            self._add_tensor(at, start - tensor.start, expected[bounds], found[bounds])
            at += 1

    def _add_tensor(self, at: int, offset: int, expected: Buffer, found: Buffer) -> None:
        info = self._tensors[at].info
        itemsize = info.dtype.itemsize
        whole = expected.nbytes // itemsize * itemsize  # a file may end within an element
        differing = (expected[:whole] != found[:whole]).reshape(-1, itemsize).any(axis=1)
        count = int(np.count_nonzero(differing))
        if not count:
            return
        self._counts[at] = self._counts.get(at, 0) + count
        if at not in self._first:
            element = int(np.argmax(differing))
            item = slice(element * itemsize, (element + 1) * itemsize)
            self._first[at] = (
                offset // itemsize + element,
                element_text(expected[item].tobytes(), info.dtype),
                element_text(found[item].tobytes(), info.dtype),
            )

    def differences(self) -> tuple[TensorDifference, ...]:
        """What was counted, in file order."""
        result = []
        for at in sorted(self._counts):
            info = self._tensors[at].info
            flat, expected, found = self._first[at]
            index = tuple(int(i) for i in np.unravel_index(flat, info.shape)) if info.shape else ()
            result.append(
                TensorDifference(
                    info=info, count=self._counts[at], index=index, expected=expected, found=found
                )
            )
        return tuple(result)


def element_text(data: bytes, dtype: DType) -> str:
    """One element as a person reads it: the shortest decimal that gives it back."""
    if dtype.code == BF16.code:
        value = np.frombuffer(b"\0\0" + data, "<f4")[0]  # bfloat16 is the upper half of a float32
    elif dtype.name in ("bool",):
        return {b"\0": "false", b"\1": "true"}.get(data, f"0x{data.hex()}")
    else:
        value = np.frombuffer(data, np.dtype(dtype.name).newbyteorder("<"))[0]
    return str(value) if value == value else f"nan (0x{data[::-1].hex()})"


def _compare_block(file: IO[bytes], block: Block, buffer: Buffer, tally: _Tally) -> None:
    if not isinstance(block, int):
        found = buffer[: read_exactly(file, buffer[: block.nbytes].data)]
        tally.add(block[: found.nbytes], found)
        tally.position += block.nbytes
        return
    for zeros in zero_views(block):
        expected = np.frombuffer(zeros, np.uint8)
        _compare_block(file, expected, buffer, tally)


def _size_problems(expected: int, found: int) -> list[str]:
    return [] if expected == found else [f"size: expected {expected} bytes, found {found}"]


def _check_header(
    plan: Plan, expected: bytes, file: IO[bytes], size: int, path: Path
) -> tuple[list[str], dict[str, int] | None]:
    """What is wrong with the header, and where the tensors are if it lays them out differently."""
    found = bytearray(len(expected))
    count = read_exactly(file, memoryview(found))
    if found[:count] == expected:
        return [], None
    pairs = zip(expected, found[:count], strict=False)
    byte = next((i for i, (one, other) in enumerate(pairs) if one != other), count)
    problems = [f"header: differs from byte {byte} on"]
    file.seek(0)
    try:
        header = read_header(file, size, str(path))
    except CheckpointError as error:
        detail = error.problem if error.found is None else f"{error.problem}: {error.found}"
        return [*problems, f"header: {detail}"], None
    planned = {tensor.info.name: tensor.info for tensor in plan.tensors}
    stored = {tensor.info.name: tensor for tensor in header.tensors}
    problems += [f"tensor {name!r}: missing" for name in sorted(planned.keys() - stored.keys())]
    problems += [f"tensor {name!r}: not planned" for name in sorted(stored.keys() - planned.keys())]
    comparable = {}
    for name in sorted(planned.keys() & stored.keys()):
        if planned[name] == stored[name].info:
            comparable[name] = header.data_start + stored[name].start
        else:
            expectation, form = _form(planned[name]), _form(stored[name].info)
            problems.append(f"tensor {name!r}: expected {expectation}, found {form}")
    return problems, comparable


def _form(info: TensorInfo) -> str:
    return f"{info.dtype.code} {list(info.shape)}"

"""Hold a file against a plan, byte for byte, and say what differs in words.

One pass derives the plan's bytes, hashes them, and compares the file with them. Only where that
finds another byte is the file compared once more, tensor by tensor, to explain it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.diff import Contents, Difference, TensorDifference, diff, planned_contents
from zeroinit_cli.store.hashing import (
    BLOCK_BYTES,
    BackgroundSha256,
    Block,
    Buffer,
    block_nbytes,
    zero_views,
)
from zeroinit_cli.store.safetensors import (
    METADATA,
    PREFIX_BYTES,
    Header,
    decode_header,
    header_bytes,
)
from zeroinit_cli.store.stream import data_blocks, plan_header, stored_tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A file beside its plan: sizes, problems, and the difference.

    Attributes:
        plan_sha256: of the bytes that the plan gives.
        expected_size: bytes that the plan gives.
        size: bytes that the file has.
        problems: what is wrong with size and header, a line each.
        difference: from the plan to the file; None if nothing differs.
        sound: the file's header is valid; if not, tensors were compared where the plan has them.
    """

    plan_sha256: str
    expected_size: int
    size: int
    problems: tuple[str, ...] = ()
    difference: Difference | None = None
    sound: bool = True

    @property
    def differences(self) -> tuple[TensorDifference, ...]:
        """Tensors whose bytes differ, in file order."""
        return self.difference.differing if self.difference is not None else ()

    @property
    def same(self) -> bool:
        """Whether the file has exactly the plan's bytes."""
        return not self.problems and not self.differences


def compare_with_plan(plan: Plan, path: Path, advance: Advance = no_advance) -> Comparison:
    """Compare a file with a plan, in memory that does not grow with them.

    Raises:
        InputError: the file cannot be read, or changed while it was read.
    """
    header = plan_header(plan)
    expected_size = len(header) + plan.nbytes
    buffer = np.empty(BLOCK_BYTES, np.uint8)
    with opened(path) as (file, size):
        with BackgroundSha256() as sha256:
            sha256.update(header)
            same = size == expected_size and _starts_with(file, header)
            for block in data_blocks(plan, sha256.buffer):
                sha256.update(block)
                same = same and _compare_block(file, block, buffer)
                advance(block_nbytes(block))
            plan_sha256 = sha256.hexdigest()
        comparison = Comparison(plan_sha256=plan_sha256, expected_size=expected_size, size=size)
        if same:
            return comparison
        comparison = _explained(comparison, plan, header, file, str(path))
    if comparison.same:  # the second reading found the right bytes
        raise InputError("the file changed while it was read", where=str(path))
    return comparison


def _starts_with(file: IO[bytes], expected: bytes) -> bool:
    found = bytearray(len(expected))
    return read_exactly(file, memoryview(found)) == len(expected) and found == expected


def _compare_block(file: IO[bytes], block: Block, buffer: Buffer) -> bool:
    """Tell whether the file goes on with these bytes."""
    if not isinstance(block, int):
        found = buffer[: read_exactly(file, buffer[: block.nbytes].data)]
        return np.array_equal(block, found)
    zeros = (np.frombuffer(view, np.uint8) for view in zero_views(block))
    return all(_compare_block(file, view, buffer) for view in zeros)


def _explained(
    comparison: Comparison, plan: Plan, expected: bytes, file: IO[bytes], where: str
) -> Comparison:
    """Add what is wrong with the size, the header and each tensor."""
    problems = []
    if comparison.size != comparison.expected_size:
        sizes = f"expected {comparison.expected_size} bytes, found {comparison.size}"
        problems.append(f"size: {sizes}")
    wrong = _first_wrong(file, expected)
    if wrong is not None:
        problems.append(f"header: differs from byte {wrong} on")
    file.seek(0)
    try:
        before, sound = header_bytes(file, comparison.size, where), True
        header = decode_header(before[PREFIX_BYTES:], comparison.size, where)
    except CheckpointError as error:
        if wrong is not None:
            detail = error.problem if error.found is None else f"{error.problem}: {error.found}"
            problems.append(f"header: {detail}")
        before, sound = expected, False
        tensors = stored_tensors(plan)
        header = Header(tensors=tensors, metadata=METADATA, data_start=len(expected))
    difference = diff(planned_contents("", plan), _file_contents(file, header, before))
    problems += form_problems(difference)
    return replace(comparison, problems=tuple(problems), difference=difference, sound=sound)


def _first_wrong(file: IO[bytes], expected: bytes) -> int | None:
    """Find the first byte in which the file's start is not the expected one."""
    file.seek(0)
    found = bytearray(len(expected))
    count = read_exactly(file, memoryview(found))
    if found[:count] == expected:
        return None
    pairs = zip(expected, found[:count], strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), count)


def form_problems(difference: Difference) -> Iterator[str]:
    """Yield what tensors a file lacks, has besides, or has in another form than planned."""
    yield from (f"tensor {info.name!r}: missing" for info in difference.only_a)
    yield from (f"tensor {info.name!r}: not planned" for info in difference.only_b)
    for planned, stored in sorted(difference.reshaped, key=lambda pair: pair[0].name):
        yield f"tensor {planned.name!r}: expected {planned.form}, found {stored.form}"


def _file_contents(file: IO[bytes], header: Header, before: bytes) -> Contents:
    """Return the tensors of an open file, each as far as the file goes.

    Args:
        file: open.
        header: says where in it they are.
        before: the bytes that this header is read from.
    """
    places = {tensor.info.name: tensor for tensor in header.tensors}
    buffer = np.empty(BLOCK_BYTES, np.uint8)

    def blocks(name: str) -> Iterator[Buffer]:
        left = places[name].end - places[name].start
        file.seek(header.data_start + places[name].start)
        while left:
            block = buffer[: read_exactly(file, buffer[: min(left, BLOCK_BYTES)].data)]
            if not block.size:
                return
            yield block
            left -= block.size

    return Contents(
        label="",
        tensors=tuple(tensor.info for tensor in header.tensors),
        metadata=header.metadata,
        headers=(hashlib.sha256(before).digest(),),
        reading=lambda: nullcontext(blocks),
    )

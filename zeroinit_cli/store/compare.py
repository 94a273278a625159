"""Hold a file against a plan, byte for byte, and say what differs in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.differences import Tally, TensorDifference
from zeroinit_cli.store.hashing import (
    BLOCK_BYTES,
    BackgroundSha256,
    Block,
    Buffer,
    block_nbytes,
    zero_views,
)
from zeroinit_cli.store.safetensors import read_header
from zeroinit_cli.store.stream import data_blocks, plan_header, stored_tensors


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
        tally = Tally(stored_tensors(plan))
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


def _compare_block(file: IO[bytes], block: Block, buffer: Buffer, tally: Tally) -> None:
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
            expected_form, form = planned[name].form, stored[name].info.form
            problems.append(f"tensor {name!r}: expected {expected_form}, found {form}")
    return problems, comparable

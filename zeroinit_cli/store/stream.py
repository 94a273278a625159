"""A plan as the bytes of its file, computed block by block in constant memory.

Comparing and hashing need this without `store.write`, whose locking of files takes time to import.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rounding import bits_type
from zeroinit_cli.plans.rules import Elements, Region, Rule, Zeros
from zeroinit_cli.plans.values import regions
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.hashing import (
    BLOCK_BYTES,
    BackgroundSha256,
    Block,
    Buffer,
    block_nbytes,
)
from zeroinit_cli.store.safetensors import StoredTensor, encode_header, laid_out

_LEAST_HOLE = 64 * 1024
"""Zero bytes that are worth a hole in the file and a block of their own."""


def stored_tensors(plan: Plan) -> tuple[StoredTensor, ...]:
    """Lay out the plan's tensors as in its file."""
    return laid_out(tensor.info for tensor in plan.tensors)


def plan_header(plan: Plan) -> bytes:
    """Encode the header of the plan's file: all bytes before its first tensor."""
    return encode_header(stored_tensors(plan))


def plan_size(plan: Plan) -> int:
    """Count the bytes of the plan's file."""
    return len(plan_header(plan)) + plan.nbytes


def data_blocks(plan: Plan, lend: Callable[[], Buffer]) -> Iterator[Block]:
    """Compute the bytes after the header, in order, cut only between elements.

    Args:
        plan: its tensors are in file order.
        lend: gives an empty buffer. Small tensors share one.

    Yields:
        the part of a buffer that holds bytes, or a number of zero bytes.
    """
    buffer, used = lend(), 0
    for part in _block_regions(plan, len(buffer)):
        if isinstance(part, int) or used + part.nbytes > len(buffer):
            if used:
                yield buffer[:used]
                buffer, used = lend(), 0
            if isinstance(part, int):
                yield part
                continue
        part.write(buffer[used : used + part.nbytes])
        used += part.nbytes
    if used:
        yield buffer[:used]


class _BlockRegion(NamedTuple):
    """A region of one tensor, or of one piece of it, that fits into a buffer.

    A tuple, because it is made faster than a dataclass, and a plan may have 100,000 of them.
    """

    rule: Rule
    shape: tuple[int, ...]
    region: Region
    elements: Elements
    lengths: tuple[int, ...]
    nbytes: int

    def write(self, out: Buffer) -> None:
        """Compute the region's entries into a buffer of `nbytes` bytes."""
        bits = out.view(bits_type(self.elements.dtype)).reshape(self.lengths)
        self.rule.fill(bits, self.shape, self.region, self.elements)


def _block_regions(plan: Plan, most_bytes: int) -> Iterator[_BlockRegion | int]:
    """Cut the plan into parts of at most so many bytes, or numbers of zero bytes of any length."""
    for tensor in plan.tensors:
        elements = Elements(dtype=tensor.info.dtype, kept=plan.kept)
        itemsize = tensor.info.dtype.itemsize
        for (first, last), rule in tensor.rule.pieces(tensor.info.shape):
            shape = (last - first, *tensor.info.shape[1:]) if tensor.info.shape else ()
            piece_bytes = math.prod(shape) * itemsize
            if isinstance(rule, Zeros) and piece_bytes >= _LEAST_HOLE:
                yield piece_bytes
                continue
            for region in regions(shape, most_bytes // itemsize):
                lengths = tuple(end - start for start, end in region)
                nbytes = math.prod(lengths) * itemsize
                yield _BlockRegion(rule, shape, region, elements, lengths, nbytes)


def plan_sha256(
    plan: Plan,
    *,
    advance: Advance = no_advance,
    block_bytes: int = BLOCK_BYTES,
) -> str:
    """Compute the SHA-256 of the plan's file, in hexadecimal, without writing it."""
    with BackgroundSha256(block_bytes) as sha256:
        sha256.update(plan_header(plan))
        for block in data_blocks(plan, sha256.buffer):
            sha256.update(block)
            advance(block_nbytes(block))
        return sha256.hexdigest()

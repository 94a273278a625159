"""A plan as the bytes of its file, block by block, in constant memory."""

from collections.abc import Callable, Iterator

from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rounding import bits_type
from zeroinit_cli.plans.rules import Elements, Range, Region, Rule, Zeros
from zeroinit_cli.plans.values import regions
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.hashing import (
    BLOCK_BYTES,
    BackgroundSha256,
    Block,
    Buffer,
    block_nbytes,
)
from zeroinit_cli.store.header import StoredTensor, encode_header, laid_out

_LEAST_RUN = 64 * 1024  # zero bytes worth a hole in the file and a block of their own


def stored_tensors(plan: Plan) -> tuple[StoredTensor, ...]:
    """Where the plan's tensors lie in its file."""
    return laid_out(tensor.info for tensor in plan.tensors)


def plan_header(plan: Plan) -> bytes:
    """The plan's file up to its first tensor."""
    return encode_header(stored_tensors(plan))


def data_blocks(plan: Plan, lend: Callable[[], Buffer]) -> Iterator[Block]:
    """The bytes after the header, in order, cut only between elements.

    Args:
        plan: its tensors are in file order.
        lend: gives an empty buffer; the part of it that holds bytes is yielded. A small tensor
            shares its buffer with the next.
    """
    buffer, used = lend(), 0
    for part in _parts(plan, len(buffer)):
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


class _Part:
    """A region of one tensor that fits into a buffer."""

    __slots__ = ("_elements", "_lengths", "_region", "_rule", "_shape", "nbytes")

    def __init__(self, rule: Rule, shape: tuple[int, ...], region: Region, elements: Elements):
        self._rule, self._shape, self._region, self._elements = rule, shape, region, elements
        self._lengths = tuple(last - first for first, last in region)
        self.nbytes = elements.dtype.itemsize
        for length in self._lengths:
            self.nbytes *= length

    def write(self, out: Buffer) -> None:
        bits = out.view(bits_type(self._elements.dtype)).reshape(self._lengths)
        self._rule.fill(bits, self._shape, self._region, self._elements)


def _parts(plan: Plan, most_bytes: int) -> Iterator[_Part | int]:
    for tensor in plan.tensors:
        elements = Elements(dtype=tensor.info.dtype, kept=plan.kept)
        for rows, rule in tensor.rule.pieces(tensor.info.shape):
            yield from _piece(tensor, rows, rule, elements, most_bytes)


def _piece(
    tensor: PlannedTensor, rows: Range, rule: Rule, elements: Elements, most_bytes: int
) -> Iterator[_Part | int]:
    shape = (rows[1] - rows[0], *tensor.info.shape[1:]) if tensor.info.shape else ()
    itemsize = elements.dtype.itemsize
    nbytes = itemsize
    for size in shape:
        nbytes *= size
    if isinstance(rule, Zeros) and nbytes >= _LEAST_RUN:
        yield nbytes
        return
    for region in regions(shape, most_bytes // itemsize):
        yield _Part(rule, shape, region, elements)


def plan_sha256(
    plan: Plan,
    *,
    advance: Advance = no_advance,
    block_bytes: int = BLOCK_BYTES,
) -> str:
    """SHA-256 of the plan's file, in hexadecimal, without writing it."""
    with BackgroundSha256(block_bytes) as sha256:
        sha256.update(plan_header(plan))
        for block in data_blocks(plan, sha256.buffer):
            sha256.update(block)
            advance(block_nbytes(block))
        return sha256.hexdigest()

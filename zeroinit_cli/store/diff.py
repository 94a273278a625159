"""What differs between two checkpoints, each of them files or a plan that was not written."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.plans.plan import Plan, TensorInfo
from zeroinit_cli.plans.values import unravelled
from zeroinit_cli.progress import Advance, Progress, no_advance, no_progress
from zeroinit_cli.store.hashing import BLOCK_BYTES, Buffer, zero_views
from zeroinit_cli.store.read import DataReader, StoredCheckpoint
from zeroinit_cli.store.safetensors import METADATA
from zeroinit_cli.store.stream import data_blocks, plan_header

TensorBlocks = Callable[[str], Iterator[Buffer]]
"""A tensor's bytes by its name, cut only between elements; a block is valid until the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """One side of a comparison.

    Attributes:
        label: what a person calls it.
        tensors: in the order of their bytes.
        metadata: the header's own strings.
        headers: a digest of each file's header; of a plan, of the header that it would have.
        reading: opens it, as a context that yields a reader of tensors' bytes.
    """

    label: str
    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str]
    headers: tuple[bytes, ...]
    reading: Callable[[], AbstractContextManager[TensorBlocks]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDifference:
    """A tensor that is in both, with other bytes.

    Attributes:
        info: name, shape and element type.
        count: elements that differ.
        index: position of the first of them.
        expected: A's value there, as text; A is the plan where a file is verified.
        found: B's value there.
        bits: that differ, of all elements together.
    """

    info: TensorInfo
    count: int
    index: tuple[int, ...]
    expected: str
    found: str
    bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """All that differs, A first.

    Attributes:
        only_a: tensors that B lacks, sorted by name.
        only_b: tensors that A lacks, likewise.
        reshaped: tensors of another shape or type: as in A, as in B.
        differing: tensors of the same form with other bytes.
        same: names of tensors with the same form and bytes.
        metadata: key -> its value in A and in B, where they are not the same.
        order: the tensors they share come in another order; only between single files.
        headers: both are single files, and the bytes of their headers are not the same.
        files: how many files A and B have.
    """

    only_a: tuple[TensorInfo, ...]
    only_b: tuple[TensorInfo, ...]
    reshaped: tuple[tuple[TensorInfo, TensorInfo], ...]
    differing: tuple[TensorDifference, ...]
    same: tuple[str, ...]
    metadata: Mapping[str, tuple[str | None, str | None]]
    order: bool
    headers: bool
    files: tuple[int, int]

    @property
    def same_form(self) -> bool:
        """Whether both have the same tensors, each with its type and shape."""
        return not (self.only_a or self.only_b or self.reshaped)

    @property
    def nothing(self) -> bool:
        """Whether no tensor, metadata or header differs, however many files hold them."""
        return self.same_form and not (
            self.differing or self.metadata or self.order or self.headers
        )

    @property
    def identical(self) -> bool:
        """Whether the bytes are the same: one file each, the same header, the same tensors."""
        return self.nothing and self.files == (1, 1)


def stored_contents(checkpoint: StoredCheckpoint) -> Contents:
    """Return the contents of files, file after file."""
    places = {tensor.info.name: tensor for tensor in checkpoint.tensors}

    @contextmanager
    def reading() -> Iterator[TensorBlocks]:
        buffer = np.empty(BLOCK_BYTES, np.uint8)  # a whole number of elements of any type
        with DataReader(checkpoint) as data:

            def blocks(name: str) -> Iterator[Buffer]:
                tensor = places[name]
                for offset in range(0, tensor.nbytes, BLOCK_BYTES):
                    block = buffer[: min(BLOCK_BYTES, tensor.nbytes - offset)]
                    data.read(tensor, offset, block.data)
                    yield block

            yield blocks

    return Contents(
        label=str(checkpoint.path),
        tensors=tuple(tensor.info for tensor in checkpoint.tensors),
        metadata=checkpoint.metadata,
        headers=tuple(bytes.fromhex(file.header_sha256) for file in checkpoint.files),
        reading=reading,
    )


def planned_contents(label: str, plan: Plan) -> Contents:
    """Return the contents of the one file that a plan gives, computed block by block."""
    planned = {tensor.info.name: tensor for tensor in plan.tensors}

    def blocks(name: str) -> Iterator[Buffer]:
        buffer = np.empty(BLOCK_BYTES, np.uint8)
        for block in data_blocks(replace(plan, tensors=(planned[name],)), lambda: buffer):
            if isinstance(block, int):
                for zeros in zero_views(block):
                    yield np.frombuffer(zeros, np.uint8)
            else:
                yield block

    return Contents(
        label=label,
        tensors=tuple(tensor.info for tensor in plan.tensors),
        metadata=METADATA,
        headers=(hashlib.sha256(plan_header(plan)).digest(),),
        reading=lambda: nullcontext(blocks),
    )


def diff(a: Contents, b: Contents, progress: Progress = no_progress) -> Difference:
    """Compare two checkpoints, block by block.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: a file changed while it was read.
    """
    of_a, of_b = ({info.name: info for info in side.tensors} for side in (a, b))
    shared = [info for info in a.tensors if info.name in of_b]
    comparable = [info for info in shared if info == of_b[info.name]]
    advance = progress("comparing", sum(info.nbytes for info in comparable))
    with a.reading() as blocks_a, b.reading() as blocks_b:
        found = {
            info.name: _compare_tensor(info, blocks_a(info.name), blocks_b(info.name), advance)
            for info in comparable
        }
    single = len(a.headers) == len(b.headers) == 1
    in_b = [info.name for info in b.tensors if info.name in of_a]
    return Difference(
        only_a=tuple(of_a[name] for name in sorted(of_a.keys() - of_b.keys())),
        only_b=tuple(of_b[name] for name in sorted(of_b.keys() - of_a.keys())),
        reshaped=tuple((info, of_b[info.name]) for info in shared if info != of_b[info.name]),
        differing=tuple(tensor for tensor in found.values() if tensor is not None),
        same=tuple(name for name, tensor in found.items() if tensor is None),
        metadata=_metadata_changes(a.metadata, b.metadata),
        order=single and [info.name for info in shared] != in_b,
        headers=single and a.headers != b.headers,
        files=(len(a.headers), len(b.headers)),
    )


def _metadata_changes(
    a: Mapping[str, str], b: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    keys = sorted(a.keys() | b.keys())
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def _compare_tensor(
    info: TensorInfo, a: Iterator[Buffer], b: Iterator[Buffer], advance: Advance = no_advance
) -> TensorDifference | None:
    """Count the differing elements of a tensor that both have in the same form.

    Args:
        info: of the tensor.
        a: its bytes in A.
        b: its bytes in B; a file that was cut may end early, within an element too.
        advance: told the bytes that were compared.
    """
    unit = info.dtype.unit_bytes
    count = bits = position = 0
    first: tuple[int, bytes, bytes] | None = None
    for one, other in aligned(a, b):
        differing = _differing(one, other, unit)
        if differing is not None:
            if first is None:
                element = int(np.argmax(differing))
                item = slice(element * unit, (element + 1) * unit)
                first = position // unit + element, one[item].tobytes(), other[item].tobytes()
            count += int(np.count_nonzero(differing))
            whole = differing.size * unit
            bits += int(np.bitwise_count(one[:whole] ^ other[:whole]).sum(dtype=np.int64))
        position += one.nbytes
        advance(one.nbytes)
    if first is None:
        return None
    flat, expected, found = first
    return TensorDifference(
        info=info,
        count=count,
        # Packed elements cannot be told apart: this is the byte's index.
        index=(flat,) if info.dtype.bits % 8 else unravelled(flat, info.shape),
        expected=element_text(expected, info.dtype),
        found=element_text(found, info.dtype),
        bits=bits,
    )


def _differing(one: Buffer, other: Buffer, unit: int) -> NDArray[np.bool_] | None:
    """Mark the whole elements of two buffers that differ; None if none does."""
    if np.array_equal(one, other):
        return None
    whole = one.nbytes // unit * unit
    differing: NDArray[np.bool_] = (one[:whole] != other[:whole]).reshape(-1, unit).any(axis=1)
    return differing if differing.any() else None


def aligned(first: Iterator[Buffer], second: Iterator[Buffer]) -> Iterator[tuple[Buffer, Buffer]]:
    """Cut two runs of blocks into pairs of equal length, up to the end of the shorter run."""
    left = right = np.empty(0, np.uint8)
    while True:
        left = left if left.size else next(first, left)
        right = right if right.size else next(second, right)
        size = min(left.size, right.size)
        if not size:
            return
        yield left[:size], right[:size]
        left, right = left[size:], right[size:]


def element_text(data: bytes, dtype: DType) -> str:
    """Write one element as a person reads it: the shortest decimal that gives it back.

    Types that numpy lacks, and packed ones, are written as bits.
    """
    if dtype.code == BF16.code:
        value = np.frombuffer(b"\0\0" + data, "<f4")[0]  # bfloat16 is the upper half of a float32
    elif dtype.code == "BOOL":
        return {b"\0": "false", b"\1": "true"}.get(data, f"0x{data.hex()}")
    elif dtype.name.startswith("float") and dtype.bits <= 8:
        return f"0x{data[::-1].hex()}"
    else:
        value = np.frombuffer(data, np.dtype(dtype.name).newbyteorder("<"))[0]
    return str(value) if value == value else f"nan (0x{data[::-1].hex()})"

"""Anything that has a checkpoint's tensors: files, or a plan that no file was written of."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeroinit_cli.plans.plan import Plan, TensorInfo
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.differences import Tally, TensorDifference
from zeroinit_cli.store.hashing import BLOCK_BYTES, Buffer, zero_views
from zeroinit_cli.store.read import DataReader, StoredCheckpoint, TensorSpan
from zeroinit_cli.store.safetensors import METADATA, StoredTensor
from zeroinit_cli.store.stream import data_blocks, plan_header


class Contents(Protocol):
    """One side of a comparison."""

    @property
    def label(self) -> str:
        """What a person calls it."""

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """In the order of their bytes."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The header's own strings."""

    @property
    def headers(self) -> tuple[bytes, ...]:
        """A digest of each file's header; of one that is not written, of that it would have."""

    def reading(self) -> AbstractContextManager[None]:
        """Open while tensors are read."""

    def blocks(self, name: str) -> Iterator[Buffer]:
        """A tensor's bytes, cut only between elements; a block is valid until the next."""


class StoredContents:
    """Files.

    Args:
        checkpoint: their headers.
    """

    def __init__(self, checkpoint: StoredCheckpoint):
        self._checkpoint = checkpoint
        self._places = {tensor.info.name: tensor for tensor in checkpoint.tensors}
        self._data = DataReader(checkpoint)
        self._buffer = np.empty(BLOCK_BYTES, np.uint8)

    @property
    def label(self) -> str:
        """The path that was named."""
        return str(self._checkpoint.path)

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """File after file, in the order of their bytes."""
        return tuple(tensor.info for tensor in self._checkpoint.tensors)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Of all files."""
        return self._checkpoint.metadata

    @property
    def headers(self) -> tuple[bytes, ...]:
        """Of each file, in the order of their names."""
        return tuple(bytes.fromhex(file.header_sha256) for file in self._checkpoint.files)

    def reading(self) -> AbstractContextManager[None]:
        """Closes the open file at the end."""
        return _closing(self._data)

    def blocks(self, name: str) -> Iterator[Buffer]:
        """Blocks of `BLOCK_BYTES`, which is a whole number of elements of any type."""
        place: TensorSpan = self._places[name]
        for offset in range(0, place.nbytes, BLOCK_BYTES):
            block = self._buffer[: min(BLOCK_BYTES, place.nbytes - offset)]
            self._data.read(place, offset, block.data)
            yield block


class _closing(AbstractContextManager[None]):  # noqa: N801 - as contextlib's own
    def __init__(self, data: DataReader):
        self._data = data

    def __exit__(self, *raised: object) -> None:
        self._data.close()


@dataclass(frozen=True, slots=True)
class PlannedContents:
    """What a plan's file would hold.

    Attributes:
        label: the source's name.
        plan: made of it.
    """

    label: str
    plan: Plan

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """In file order."""
        return tuple(tensor.info for tensor in self.plan.tensors)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What every checkpoint of ours says."""
        return METADATA

    @property
    def headers(self) -> tuple[bytes, ...]:
        """Of the one file."""
        import hashlib

        return (hashlib.sha256(plan_header(self.plan)).digest(),)

    def reading(self) -> AbstractContextManager[None]:
        """Nothing is open."""
        return nullcontext()

    def blocks(self, name: str) -> Iterator[Buffer]:
        """Computed block by block."""
        from dataclasses import replace

        buffer = np.empty(BLOCK_BYTES, np.uint8)
        chosen = tuple(tensor for tensor in self.plan.tensors if tensor.info.name == name)
        for block in data_blocks(replace(self.plan, tensors=chosen), lambda: buffer):
            if isinstance(block, int):
                for zeros in zero_views(block):
                    yield np.frombuffer(zeros, np.uint8)
            else:
                yield block


def aligned(first: Iterator[Buffer], second: Iterator[Buffer]) -> Iterator[tuple[Buffer, Buffer]]:
    """Two runs of equal length in pairs of blocks of equal length."""
    left = right = np.empty(0, np.uint8)
    while True:
        left = left if left.size else next(first, left)
        right = right if right.size else next(second, right)
        size = min(left.size, right.size)
        if not size:
            return
        yield left[:size], right[:size]
        left, right = left[size:], right[size:]


def nbytes(info: TensorInfo) -> int:
    """Bytes of a tensor, of packed types too."""
    return info.numel * info.dtype.bits // 8


def compare_tensor(
    a: Contents, b: Contents, info: TensorInfo, advance: Advance = no_advance
) -> TensorDifference | None:
    """Where a tensor that both have in the same form differs; `expected` is A's value.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: a file changed while it was read.
    """
    tally = Tally((StoredTensor(info=info, start=0, end=nbytes(info)),))
    for first, second in aligned(a.blocks(info.name), b.blocks(info.name)):
        tally.add(first, second)
        tally.position += first.nbytes
        advance(first.nbytes)
    return next(iter(tally.differences()), None)

"""Count what differs between two runs of bytes, tensor by tensor."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from zeroinit_cli.dtypes import BF16, DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.values import unravelled
from zeroinit_cli.store.hashing import Buffer
from zeroinit_cli.store.safetensors import StoredTensor


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDifference:
    """A tensor that is in both, with other bytes.

    Attributes:
        info: name, shape and element type, as planned.
        count: elements that differ.
        index: position of the first of them.
        expected: its planned value, as text.
        found: what stands there.
        bits: that differ, of all its elements together.
    """

    info: TensorInfo
    count: int
    index: tuple[int, ...]
    expected: str
    found: str
    bits: int


class Tally:
    """Counts differing elements tensor by tensor, whatever blocks they come in."""

    def __init__(self, tensors: tuple[StoredTensor, ...]):
        self.position = 0  # of the next block, from the end of the header
        self._tensors = [tensor for tensor in tensors if tensor.start < tensor.end]
        self._starts = [tensor.start for tensor in self._tensors]
        self._counts: dict[int, int] = {}
        self._bits: dict[int, int] = {}
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
        itemsize = unit_bytes(info.dtype)
        whole = expected.nbytes // itemsize * itemsize  # a file may end within an element
        differing = (expected[:whole] != found[:whole]).reshape(-1, itemsize).any(axis=1)
        count = int(np.count_nonzero(differing))
        if not count:
            return
        self._counts[at] = self._counts.get(at, 0) + count
        bits = np.bitwise_count(expected[:whole] ^ found[:whole]).sum(dtype=np.int64)
        self._bits[at] = self._bits.get(at, 0) + int(bits)
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
            # Packed elements have no index of their own: the byte's is given.
            index = (flat,) if info.dtype.bits % 8 else unravelled(flat, info.shape)
            result.append(
                TensorDifference(
                    info=info,
                    count=self._counts[at],
                    index=index,
                    expected=expected,
                    found=found,
                    bits=self._bits[at],
                )
            )
        return tuple(result)


def unit_bytes(dtype: DType) -> int:
    """Bytes that are compared together: an element, or one byte of types narrower than that."""
    return max(dtype.bits // 8, 1) if dtype.bits % 8 == 0 else 1


def element_text(data: bytes, dtype: DType) -> str:
    """One element as a person reads it: the shortest decimal that gives it back.

    Of types that numpy lacks, and of packed ones, the bits.
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

"""SHA-256 on another core, while this one computes the next block."""

import hashlib
import threading
from queue import SimpleQueue
from typing import Self

import numpy as np
from numpy.typing import NDArray

Buffer = NDArray[np.uint8]
Block = Buffer | int
"""Bytes, or a number of zero bytes that are not held in memory."""

BLOCK_BYTES = 1 << 20
"""Bytes of a buffer: large enough that a call's cost vanishes, small enough to stay in cache."""
_BUFFERS = 4
_ZEROS = memoryview(bytes(1 << 18))


def block_nbytes(block: Block) -> int:
    """Count the bytes that a block stands for."""
    return block if isinstance(block, int) else block.nbytes


def zero_views(nbytes: int) -> list[memoryview]:
    """Return so many zero bytes, as views of one shared buffer that stays in the cache."""
    whole, rest = divmod(nbytes, len(_ZEROS))
    return [_ZEROS] * whole + ([_ZEROS[:rest]] if rest else [])


class BackgroundSha256:
    """A hash that runs in a thread of its own, and lends the buffers that it is fed with.

    hashlib releases the interpreter lock for large updates, so it has a core to itself. A buffer
    lent by `buffer()` and handed to `update()` must not be touched until it is lent again. The
    thread takes blocks strictly in order: the digest does not depend on timing.

    Args:
        block_bytes: bytes of each lent buffer.
    """

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        self._sha256 = hashlib.sha256()
        self._free: SimpleQueue[Buffer] = SimpleQueue()
        self._work: SimpleQueue[Block | bytes | None] = SimpleQueue()
        self._abandoned = False
        for _ in range(_BUFFERS):
            self._free.put(np.empty(block_bytes, np.uint8))
        self._thread = threading.Thread(target=self._run, name="sha256", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """End the thread; after an exception, without hashing all that waits."""
        self._abandoned = kind is not None
        self._work.put(None)
        self._thread.join()

    def buffer(self) -> Buffer:
        """Lend a free buffer; wait for one if the hash is behind."""
        return self._free.get()

    def update(self, block: Block | bytes) -> None:
        """Append a lent buffer or a leading part of it, plain bytes, or a number of zeros."""
        self._work.put(block)

    def hexdigest(self) -> str:
        """Finish, and return the digest of all that was appended."""
        self._work.put(None)
        self._thread.join()
        return self._sha256.hexdigest()

    def _run(self) -> None:
        while (block := self._work.get()) is not None:
            if isinstance(block, int):
                for view in zero_views(block):
                    if self._abandoned:
                        break
                    self._sha256.update(view)
            elif isinstance(block, bytes):
                self._sha256.update(block)
            else:
                self._sha256.update(block.data)
                self._free.put(block if block.base is None else block.base)

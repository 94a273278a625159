"""Send a file to the disk while the rest of it is still computed.

A flush of a whole file at its end costs what the disk needs for all of it: a fifth of the time of a
checkpoint of 2.5 GB. Begun early, it runs beside the computing, and the last flush finds little.
"""

import os
import threading
from types import TracebackType
from typing import IO, Self

_STEP_BYTES = 64 << 20
"""Written before the next flush is asked for: often enough that little is left for the end."""


class EarlyFlush:
    """A thread that flushes a file's data whenever so much more of it has been written.

    It changes when bytes reach the disk, and nothing else: the last flush is still the writer's.

    Args:
        file: open for writing until the block ends.
        step_bytes: between two flushes.
    """

    def __init__(self, file: IO[bytes], step_bytes: int = _STEP_BYTES) -> None:
        self._descriptor = file.fileno()
        self._step_bytes = step_bytes
        self._unflushed = 0
        self._wanted = threading.Event()
        self._ended = False
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Nothing yet: a small file needs no thread."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the thread.

        Raises:
            OSError: a flush failed; the system tells it once, so the last one might pass.
        """
        if self._thread is not None:
            self._ended = True
            self._wanted.set()
            self._thread.join()
        if kind is None:
            self._raise_failure()

    def wrote(self, nbytes: int) -> None:
        """Say that so many bytes more were written.

        Raises:
            OSError: an earlier flush failed.
        """
        self._raise_failure()
        self._unflushed += nbytes
        if self._unflushed < self._step_bytes:
            return
        self._unflushed = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
            self._thread.start()
        self._wanted.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        flush = getattr(os, "fdatasync", os.fsync)  # macOS has the second only
        while not self._ended:
            self._wanted.wait()
            self._wanted.clear()
            try:
                if not self._ended:
                    flush(self._descriptor)
            except OSError as error:
                self._failure = error
                return

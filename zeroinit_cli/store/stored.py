"""A checkpoint on disk, one file or several with an index: where its tensors are, and their bytes.

Headers are read at once and validated; data only when it is asked for, with one file open at a
time. No claim of a header or an index is believed.
"""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files import opened, read_exactly, stamp_of
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.header import PREFIX_BYTES, Header, decode_header
from zeroinit_cli.store.reader import header_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """One safetensors file.

    Attributes:
        path: where it is.
        size: bytes of it.
        header: validated.
        header_sha256: of all bytes before the first tensor.
        stamp: tells it from another file, and from itself after a change.
    """

    path: Path
    size: int
    header: Header
    header_sha256: str
    stamp: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A tensor, the file it is in, and where there, counted from the file's start."""

    info: TensorInfo
    file: int
    start: int
    nbytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCheckpoint:
    """All tensors of one file, or of the shards of an index.

    Attributes:
        path: what a person named.
        files: in the order of their names.
        tensors: file after file, in the order of their bytes.
        index: the index's own path; None for a single file.
        index_metadata: what the index says of itself, as text.
    """

    path: Path
    files: tuple[StoredFile, ...]
    tensors: tuple[Placed, ...]
    index: Path | None = None
    index_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files, without the index."""
        return sum(file.size for file in self.files)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def metadata(self) -> dict[str, str]:
        """The files' own strings; of several files, a key with several values has them all."""
        values: dict[str, list[str]] = {}
        for file in self.files:
            for key, value in file.header.metadata.items():
                known = values.setdefault(key, [])
                if value not in known:
                    known.append(value)
        return {key: " | ".join(known) for key, known in sorted(values.items())}


def read_file(path: Path) -> StoredFile:
    """Open a file and validate its header.

    Raises:
        InputError: it cannot be read.
        CheckpointError: it is not a sound checkpoint.
    """
    with opened(path) as (file, size):
        before = header_bytes(file, size, str(path))
        return StoredFile(
            path=path,
            size=size,
            header=decode_header(before[PREFIX_BYTES:], size, str(path)),
            header_sha256=hashlib.sha256(before).hexdigest(),
            stamp=stamp_of(file),
        )


def placed(file: StoredFile, number: int) -> tuple[Placed, ...]:
    """A file's tensors, in the order of their bytes."""
    return tuple(
        Placed(
            info=tensor.info,
            file=number,
            start=file.header.data_start + tensor.start,
            nbytes=tensor.end - tensor.start,
        )
        for tensor in file.header.tensors
    )


def changed(path: Path) -> CheckpointError:
    """What is said of a file that changed under our eyes."""
    return CheckpointError("the file changed while it was read", where=str(path))


class DataReader:
    """Reads tensors' bytes; the file of the last one stays open.

    Args:
        checkpoint: whose tensors.
    """

    def __init__(self, checkpoint: StoredCheckpoint):
        self._checkpoint = checkpoint
        self._stack = ExitStack()
        self._current: int | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Nothing is open yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close what is open; a later read opens it again."""
        self._stack.close()
        self._file = None

    def read(self, tensor: Placed, offset: int, view: memoryview) -> None:
        """Fill a buffer with a tensor's bytes from an offset on.

        Raises:
            InputError: the file cannot be read.
            CheckpointError: the file is no longer what its header was read from.
        """
        file = self._opened(tensor.file)
        file.seek(tensor.start + offset)
        if read_exactly(file, view) < len(view):
            raise changed(self._checkpoint.files[tensor.file].path)

    def _opened(self, number: int) -> IO[bytes]:
        if self._file is None or self._current != number:
            self._stack.close()
            stored = self._checkpoint.files[number]
            self._file, _ = self._stack.enter_context(opened(stored.path))
            self._current = number
            if stamp_of(self._file) != stored.stamp:
                raise changed(stored.path)
        return self._file

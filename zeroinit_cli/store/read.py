"""A checkpoint on disk: one file, or the shards that an index names.

Headers are read at once and validated; data is read only on demand, with one file open at a time.
Nothing that a header or an index says is taken as true before it is checked.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Self

from zeroinit_cli.errors import CheckpointError, pasted
from zeroinit_cli.files import is_there, opened, read_exactly, stamp_of
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.find import in_folder, is_index
from zeroinit_cli.store.index import check_weight_map, parse_index, shard_names
from zeroinit_cli.store.safetensors import PREFIX_BYTES, Header, decode_header, header_bytes


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
class TensorSpan:
    """The place of a tensor's bytes: the number of its file, the first byte, and how many."""

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
        oddities: what a person should know of them, that keeps no loader from reading them.
    """

    path: Path
    files: tuple[StoredFile, ...]
    tensors: tuple[TensorSpan, ...]
    index: Path | None = None
    index_metadata: Mapping[str, str] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()

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


def read_checkpoint(path: Path, *, tolerant: bool = False) -> StoredCheckpoint:
    """Read the headers of a file, of an index's shards, or of what a folder holds.

    An index is known by what is in it, whatever it is called.

    Args:
        path: of a file or folder.
        tolerant: read what safetensors reads, too, and note what is odd about it.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: it is not a sound checkpoint, or an index and its shards disagree.
    """
    strays: tuple[str, ...] = ()
    if is_there(path) and path.is_dir():
        path, strays = in_folder(path)
    if not is_index(path):
        return read_single(path, tolerant=tolerant)
    checkpoint = _read_sharded(path, tolerant=tolerant)
    return replace(checkpoint, oddities=(*strays, *checkpoint.oddities))


def read_single(path: Path, *, tolerant: bool = False) -> StoredCheckpoint:
    """Read the header of a checkpoint in one file, whatever the file is called.

    Args:
        path: of the file.
        tolerant: read what safetensors reads, too, and note what is odd about it.

    Raises:
        InputError: it cannot be read.
        CheckpointError: it is not a sound checkpoint.
    """
    files = (_read_file(path, tolerant=tolerant),)
    return StoredCheckpoint(
        path=path, files=files, tensors=_tensor_spans(files), oddities=_oddities(files)
    )


def _oddities(files: Sequence[StoredFile]) -> tuple[str, ...]:
    return tuple(f"{file.path}: {oddity}" for file in files for oddity in file.header.oddities)


def _read_file(path: Path, *, tolerant: bool) -> StoredFile:
    with opened(path) as (file, size):
        before = header_bytes(file, size, str(path))
        return StoredFile(
            path=path,
            size=size,
            header=decode_header(before[PREFIX_BYTES:], size, str(path), tolerant=tolerant),
            header_sha256=hashlib.sha256(before).hexdigest(),
            stamp=stamp_of(file),
        )


def _tensor_spans(files: Iterable[StoredFile]) -> tuple[TensorSpan, ...]:
    return tuple(
        TensorSpan(
            info=tensor.info,
            file=number,
            start=file.header.data_start + tensor.start,
            nbytes=tensor.end - tensor.start,
        )
        for number, file in enumerate(files)
        for tensor in file.header.tensors
    )


def _read_sharded(index: Path, *, tolerant: bool) -> StoredCheckpoint:
    table = parse_index(index)
    weight_map, metadata = table["weight_map"], table.get("metadata", {})
    files = tuple(
        _read_shard(index.parent / name, index, tolerant=tolerant)
        for name in shard_names(weight_map, index)
    )
    wrong = check_weight_map(weight_map, _shards_by_tensor(files), index, tolerant=tolerant)
    return StoredCheckpoint(
        path=index,
        files=files,
        tensors=_tensor_spans(files),
        index=index,
        index_metadata={
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in sorted(metadata.items())
        },
        oddities=(*(f"{index}: {fault}" for fault in wrong), *_oddities(files)),
    )


def _shards_by_tensor(files: Iterable[StoredFile]) -> dict[str, list[str]]:
    shards: dict[str, list[str]] = {}
    for file in files:
        for tensor in file.header.tensors:
            shards.setdefault(tensor.info.name, []).append(file.path.name)
    return shards


def _read_shard(path: Path, index: Path, *, tolerant: bool) -> StoredFile:
    """Read a shard's header; the shard may be a link, but only to where the index itself lies.

    The Hub's cache keeps index and shards as links into one folder of blobs.
    """
    # not Path.resolve, which before Python 3.13 raises RuntimeError for a link to itself
    resolved, folder = os.path.realpath(path), os.path.realpath(index.parent)
    if Path(resolved).parent not in (Path(folder), Path(os.path.realpath(index)).parent):
        raise CheckpointError(
            "a shard is a link that leads elsewhere",
            where=str(path),
            expected=f"a file in {folder}",
            found=resolved,
            hint="name the shard itself, or copy what links lead to: "
            f"cp -rL {pasted(index.parent)} FOLDER",
        )
    if not is_there(path):
        raise CheckpointError("a shard is missing", where=str(index), found=f"no {path.name}")
    return _read_file(path, tolerant=tolerant)


class DataReader:
    """A reader of tensors' bytes; the file of the last one stays open.

    Args:
        checkpoint: whose tensors.
    """

    def __init__(self, checkpoint: StoredCheckpoint):
        self._checkpoint = checkpoint
        self._stack = ExitStack()
        self._current: int | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Open nothing yet."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close what is open; a later read opens it again."""
        self._stack.close()
        self._file = None

    def read(self, tensor: TensorSpan, offset: int, view: memoryview) -> None:
        """Fill a buffer with a tensor's bytes from an offset on.

        Raises:
            InputError: the file cannot be read.
            CheckpointError: the file is no longer what its header was read from.
        """
        file = self._opened(tensor.file)
        file.seek(tensor.start + offset)
        if read_exactly(file, view) < len(view):
            raise _changed(self._checkpoint.files[tensor.file].path)

    def _opened(self, number: int) -> IO[bytes]:
        if self._file is None or self._current != number:
            self._stack.close()
            stored = self._checkpoint.files[number]
            self._file, _ = self._stack.enter_context(opened(stored.path))
            self._current = number
            if stamp_of(self._file) != stored.stamp:
                raise _changed(stored.path)
        return self._file


def _changed(path: Path) -> CheckpointError:
    return CheckpointError("the file changed while it was read", where=str(path))

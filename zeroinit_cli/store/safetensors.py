"""The safetensors format: its header, written as the library writes it and read more strictly.

Layout: 8 bytes little-endian length N, N bytes of UTF-8 JSON padded with spaces, then the data.
A file may come from anybody: nothing that its header says is taken as true before it is checked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from zeroinit_cli.dtypes import DTYPES, DType
from zeroinit_cli.errors import CheckpointError, PlanError
from zeroinit_cli.files import read_exactly
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.strict_json import parse_json
from zeroinit_cli.text import counted

PREFIX_BYTES = 8
MOST_HEADER_BYTES = 100_000_000
"""The library's own limit; a longer header would not load."""
METADATA = {"format": "pt"}
"""The one key of our own files: with two, the library's writer is not reproducible."""
_FIELDS = ("data_offsets", "dtype", "shape")
_BLANKS = b" \t\r\n"
_READ = "safetensors reads it all the same, and zeroinit inspect shows it"
_JSON_WORDS = {"None": "null", "True": "true", "False": "false"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """A tensor of a file and its data_offsets: first byte and last + 1 behind the header."""

    info: TensorInfo
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A header that has been validated.

    Attributes:
        tensors: in the order of their bytes.
        metadata: the file's own strings.
        data_start: bytes before the first tensor.
        oddities: what safetensors reads, too, but a strict reader refuses.
    """

    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, str]
    data_start: int
    oddities: tuple[str, ...] = ()


def laid_out(infos: Iterable[TensorInfo]) -> tuple[StoredTensor, ...]:
    """Lay tensors out one after another, without gaps, in the order given."""
    stored, start = [], 0
    for info in infos:
        stored.append(StoredTensor(info=info, start=start, end=start + info.nbytes))
        start += info.nbytes
    return tuple(stored)


def encode_header(tensors: Iterable[StoredTensor]) -> bytes:
    """Write the length prefix and the JSON, as safetensors does for `{"format": "pt"}`.

    Raises:
        PlanError: the header would be larger than the library loads.
    """
    table: dict[str, Any] = {"__metadata__": METADATA}
    for tensor in tensors:
        table[tensor.info.name] = {
            "dtype": tensor.info.dtype.code,
            "shape": list(tensor.info.shape),
            "data_offsets": [tensor.start, tensor.end],
        }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % PREFIX_BYTES)  # so that the data starts 8-byte aligned
    if len(text) > MOST_HEADER_BYTES:
        raise PlanError(
            "the header would not load",
            expected=f"at most {MOST_HEADER_BYTES} bytes of header, the limit of safetensors",
            found=f"{len(text)} bytes",
        )
    return len(text).to_bytes(PREFIX_BYTES, "little") + text


def header_bytes(file: IO[bytes], size: int, where: str) -> bytes:
    """Read all bytes before the first tensor, from an open file that stands at its start.

    Raises:
        CheckpointError: the file does not hold as many as it announces.
    """
    prefix = bytearray(PREFIX_BYTES)
    count = read_exactly(file, memoryview(prefix))
    length = header_length(bytes(prefix[:count]), size, where)
    text = bytearray(length)  # checked: at most the size of the file
    if read_exactly(file, memoryview(text)) < length:
        raise CheckpointError("the file shrank while it was read", where=where)
    return bytes(prefix + text)


def header_length(prefix: bytes, file_size: int, where: str) -> int:
    """Read from the prefix how many bytes of JSON follow.

    Raises:
        CheckpointError: the file cannot hold them.
    """
    if len(prefix) < PREFIX_BYTES:
        raise CheckpointError(
            "no safetensors header",
            where=where,
            expected=f"at least {PREFIX_BYTES} bytes",
            found=f"{len(prefix)} bytes",
        )
    length = int.from_bytes(prefix, "little")
    most = min(MOST_HEADER_BYTES, file_size - PREFIX_BYTES)
    if length > most:
        raise CheckpointError(
            "header longer than the file allows",
            where=where,
            expected=f"at most {most} bytes",
            found=f"{length} bytes announced",
        )
    return length


def decode_header(text: bytes, file_size: int, where: str, *, tolerant: bool = False) -> Header:
    """Parse and validate the JSON of a header.

    What the library's own loader rejects is rejected here too, and so are duplicate keys, which the
    library accepts.

    Args:
        text: the JSON, with its padding and without the length prefix.
        file_size: bytes of the whole file.
        where: the file, for messages.
        tolerant: note as an oddity what the library reads all the same and means nothing else by:
            unknown fields, `__metadata__` that is null, blanks at the start.

    Raises:
        CheckpointError: it is not a valid header for a file of this size.
    """
    table = _parse(text.lstrip(_BLANKS) if tolerant else text, where)
    oddities = list(_oddities(text, table)) if tolerant else []
    metadata = _metadata(table.pop("__metadata__", {}), where)
    tensors = sorted(
        (_stored(name, entry, where) for name, entry in table.items()),
        key=lambda tensor: (tensor.start, tensor.end, tensor.info.name),
    )
    data_start = PREFIX_BYTES + len(text)
    _check_contiguous(tensors, file_size - data_start, where)
    return Header(
        tensors=tuple(tensors), metadata=metadata, data_start=data_start, oddities=tuple(oddities)
    )


def _oddities(text: bytes, table: dict[str, Any]) -> Iterator[str]:
    """Take out of a header what means nothing, and tell what it was."""
    if text[:1].isspace():
        yield "the header begins with blanks"
    if table.get("__metadata__", {}) is None:
        del table["__metadata__"]
        yield "__metadata__ is null, which is read as none"
    more = {
        name: sorted(entry.keys() - set(_FIELDS))
        for name, entry in table.items()
        if isinstance(entry, dict) and name != "__metadata__" and entry.keys() - set(_FIELDS)
    }
    if more:
        name, fields = next(iter(more.items()))
        for entry in map(table.__getitem__, more):
            for key in entry.keys() - set(_FIELDS):
                del entry[key]
        others = f" and {counted(len(more) - 1, 'other tensor')}" if len(more) > 1 else ""
        verb = "has" if len(more) == 1 else "have"
        named = ", ".join(fields)
        yield f"tensor {name!r}{others} {verb} fields that no reader knows: {named}"


def _parse(text: bytes, where: str) -> dict[str, Any]:
    try:
        if not text.startswith(b"{"):
            raise ValueError("it does not start with {")
        table: dict[str, Any] = parse_json(text)  # an object: it starts with { and parsed
    except ValueError as error:
        raise CheckpointError(
            "malformed header", where=where, expected="one JSON object", found=str(error)
        ) from error
    return table


def _metadata(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise CheckpointError(
            "malformed __metadata__",
            where=where,
            expected="an object whose values are strings",
            found=_cut_repr(value),
            hint=_READ if value is None else None,
        )
    return dict(sorted(value.items()))


def _stored(name: str, entry: Any, where: str) -> StoredTensor:
    place = f"{where}: tensor {name!r}"
    if not isinstance(entry, dict) or sorted(entry) != list(_FIELDS):
        found = ", ".join(sorted(entry)) if isinstance(entry, dict) else _cut_repr(entry)
        raise CheckpointError(
            "malformed entry",
            where=place,
            expected=", ".join(_FIELDS),
            found=found or "no field",
            hint=_READ if isinstance(entry, dict) and entry.keys() > set(_FIELDS) else None,
        )
    dtype, shape = _dtype(entry["dtype"], place), _shape(entry["shape"], place)
    info = TensorInfo(name=name, shape=shape, dtype=dtype)
    start, end = _data_offsets(entry["data_offsets"], place)
    _check_length(info, end - start, place)
    return StoredTensor(info=info, start=start, end=end)


def _dtype(code: Any, place: str) -> DType:
    dtype = DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise CheckpointError(
            "unknown dtype", where=place, expected=", ".join(DTYPES), found=_cut_repr(code)
        )
    return dtype


def _shape(sizes: Any, place: str) -> tuple[int, ...]:
    if not _are_sizes(sizes) or not _fits(sizes):
        raise CheckpointError(
            "malformed shape",
            where=place,
            expected="integers from 0 on, they and their product below 2^64",
            found=_cut_repr(sizes),
        )
    return tuple(sizes)


def _data_offsets(offsets: Any, place: str) -> tuple[int, int]:
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(
            "malformed data_offsets",
            where=place,
            expected="[start, end], integers, 0 <= start <= end < 2^64",
            found=_cut_repr(offsets),
        )
    return offsets[0], offsets[1]


def _check_length(info: TensorInfo, nbytes: int, place: str) -> None:
    bits = info.numel * info.dtype.bits
    if bits % 8 or bits // 8 != nbytes:
        expected = f"{bits} bits" if bits % 8 else f"{bits // 8} bytes"
        raise CheckpointError(
            "data_offsets do not fit the shape",
            where=place,
            expected=f"{expected} for {info.dtype.code} {_cut_repr(list(info.shape))}",
            found=f"{nbytes} bytes",
        )


def _are_sizes(value: Any) -> bool:
    """Tell whether a value is a list of integers of 64 bits."""
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 2**64 for size in value
    )


def _fits(shape: list[int]) -> bool:
    """Tell whether the product of the sizes, too, fits 64 bits, as the library demands."""
    product = 1
    for size in shape:  # in order, as the library: an overflow counts even if a 0 follows
        product *= size
        if product >= 2**64:
            return False
    return True


def _check_contiguous(tensors: list[StoredTensor], data_bytes: int, where: str) -> None:
    position = 0
    for tensor in tensors:
        if tensor.start != position:
            raise CheckpointError(
                "tensors overlap or leave a gap",
                where=f"{where}: tensor {tensor.info.name!r}",
                expected=f"a start at {position}",
                found=str(tensor.start),
            )
        position = tensor.end
    if position != data_bytes:
        raise CheckpointError(
            "the data does not fill the file",
            where=where,
            expected=f"{position} bytes of data, as the header says",
            found=f"{data_bytes} bytes",
        )


def _cut_repr(value: Any) -> str:
    text = _JSON_WORDS.get(repr(value), repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."

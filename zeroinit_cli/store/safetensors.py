"""The safetensors format: its header, written as the library writes it and read more strictly.

Layout: 8 bytes little-endian length N, N bytes of UTF-8 JSON padded with spaces, then the data.
A file may come from anybody: nothing that its header says is taken as true before it is checked.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any, NoReturn

from zeroinit_cli.dtypes import DTYPES, DType
from zeroinit_cli.errors import CheckpointError, PlanError, reason_of_unreadable
from zeroinit_cli.files import read_exactly
from zeroinit_cli.plans.plan import TensorInfo

PREFIX_BYTES = 8
MOST_HEADER_BYTES = 100_000_000
"""The library's own limit; a longer header would not load."""
METADATA = {"format": "pt"}
"""The one key of our own files: with two, the library's writer is not reproducible."""
_FIELDS = ("data_offsets", "dtype", "shape")


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
    """

    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, str]
    data_start: int


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


def decode_header(text: bytes, file_size: int, where: str) -> Header:
    """Parse and validate the JSON of a header.

    What the library's own loader rejects is rejected here too, and so are duplicate keys and
    unknown fields, which the library accepts.

    Args:
        text: the JSON, with its padding and without the length prefix.
        file_size: bytes of the whole file.
        where: the file, for messages.

    Raises:
        CheckpointError: it is not a valid header for a file of this size.
    """
    table = _parse(text, where)
    metadata = _metadata(table.pop("__metadata__", {}), where)
    tensors = sorted(
        (_stored(name, entry, where) for name, entry in table.items()),
        key=lambda tensor: (tensor.start, tensor.end, tensor.info.name),
    )
    data_start = PREFIX_BYTES + len(text)
    _check_contiguous(tensors, file_size - data_start, where)
    return Header(tensors=tuple(tensors), metadata=metadata, data_start=data_start)


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
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_json(text: bytes) -> Any:
    """Parse one JSON value: UTF-8, no key twice, no constants that JSON lacks, no lone surrogates.

    It is stricter than Python's parser, and at least as strict as that of safetensors.

    Raises:
        ValueError: it is none; the message is one line.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
        if b"\\ud" in text.lower():  # only such an escape can give a surrogate
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(reason_of_unreadable(error)) from error
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> float:
    """Read an integer; `-0` gives a float, as in safetensors, which refuses it as a size."""
    return -0.0 if digits == "-0" else int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(first for first, second in pairwise(names) if first == second)
        raise ValueError(f"{twice!r} occurs twice")
    return table

"""The header of a safetensors file: written as the library writes it, read more strictly.

Layout: 8 bytes little-endian length N, N bytes of UTF-8 JSON padded with spaces, then the data.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.errors import CheckpointError, PlanError
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.strict_json import parse_json

PREFIX_BYTES = 8
MOST_HEADER_BYTES = 100_000_000
"""The library's own limit; a longer header would not load."""
METADATA = {"format": "pt"}
"""The one key of our own files: with two, the library's writer is not reproducible."""
_FIELDS = ("data_offsets", "dtype", "shape")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """A tensor of a file, and where its bytes lie, counted from the end of the header."""

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
    """Tensors one after another, without gaps, in the order given."""
    stored, start = [], 0
    for info in infos:
        stored.append(StoredTensor(info=info, start=start, end=start + info.nbytes))
        start += info.nbytes
    return tuple(stored)


def encode_header(tensors: Iterable[StoredTensor]) -> bytes:
    """The length prefix and the JSON, as safetensors writes them for `{"format": "pt"}`.

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


def header_length(prefix: bytes, file_size: int, where: str) -> int:
    """Bytes of JSON that the prefix announces.

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
    """The JSON of a header, validated.

    Everything that the library's own loader rejects is rejected, and so are duplicate keys and
    unknown fields, which it accepts.

    Args:
        text: the JSON, with its padding and without the length prefix.
        file_size: bytes of the whole file.
        where: the file, for messages.

    Raises:
        CheckpointError: it is not a sound header for a file of this size.
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
            found=_short(value),
        )
    return dict(sorted(value.items()))


def _stored(name: str, entry: Any, where: str) -> StoredTensor:
    place = f"{where}: tensor {name!r}"
    if not isinstance(entry, dict) or sorted(entry) != list(_FIELDS):
        found = ", ".join(sorted(entry)) if isinstance(entry, dict) else _short(entry)
        found = found or "no field"
        raise CheckpointError(
            "malformed entry", where=place, expected=", ".join(_FIELDS), found=found
        )
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise CheckpointError(
            "unknown dtype", where=place, expected=", ".join(DTYPES), found=_short(entry["dtype"])
        )
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or not _fits(shape):
        raise CheckpointError(
            "malformed shape",
            where=place,
            expected="integers from 0 on, they and their product below 2^64",
            found=_short(shape),
        )
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(
            "malformed data_offsets",
            where=place,
            expected="[start, end], integers, 0 <= start <= end < 2^64",
            found=_short(offsets),
        )
    bits = math.prod(shape) * dtype.bits
    if bits % 8 or bits // 8 != offsets[1] - offsets[0]:
        raise CheckpointError(
            "data_offsets do not fit the shape",
            where=place,
            expected=f"{f'{bits} bits' if bits % 8 else f'{bits // 8} bytes'} for "
            f"{dtype.code} {_short(shape)}",
            found=f"{offsets[1] - offsets[0]} bytes",
        )
    info = TensorInfo(name=name, shape=tuple(shape), dtype=dtype)
    return StoredTensor(info=info, start=offsets[0], end=offsets[1])


def _are_sizes(value: Any) -> bool:
    """A list of integers within 64 bits."""
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 2**64 for size in value
    )


def _fits(shape: list[int]) -> bool:
    """Whether the product is within 64 bits too, as the library demands."""
    product = 1
    for size in shape:  # in order: a later zero does not save an overflow
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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

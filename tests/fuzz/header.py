"""Mutants of checkpoints, whose header both we and the library read: it is the oracle.

What the library refuses we refuse. What only we refuse has one of the reasons below. What both read
is read alike, to the byte.
"""

import io
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors

from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target, check_message
from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.store.safetensors import PREFIX_BYTES, Header, decode_header, header_bytes

STRICTER: dict[str, str] = {
    "a header that does not begin with {": r"malformed header it does not start with \{",
    "duplicate keys": r"malformed header .* occurs twice",
    "unknown fields": r"malformed entry (?!\[)",
    "an entry that is an array": r"malformed entry \[",
    "a dtype that is an object": r"unknown dtype \{",
    "metadata that is null": r"malformed __metadata__ null",
}
"""Why we alone refuse a header: the reason -> a pattern of our message."""

_WORDS = [
    *(code.encode() for code in DTYPES),
    *b'0 -1 -0 1 2 3 4 8 1e2 1.0 1e400 true false null NaN Infinity "" {} [] [0] [0,0] "a"'.split(),
    *(b"%d" % (1 << bits) for bits in (8, 31, 32, 53, 63, 64)),
    *(b"%d" % ((1 << bits) - 1) for bits in (32, 63, 64)),
    b'"dtype"',
    b'"shape"',
    b'"data_offsets"',
    b'"__metadata__"',
    b'"format"',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\u202e"',
    b'"\x1b[2J"',
    b'"F31"',
    b"9" * 400,
    b"9" * 5000,
    b'{"dtype":"F32","shape":[],"data_offsets":[0,4]}',
    b'["U8",[],[0,1]]',
    b'{"F32":null}',
]
_SHAPES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("F32", (2, 3)),
    ("BF16", (4,)),
    ("I64", ()),
    ("U8", (0, 5)),
    ("BOOL", (1, 1, 1)),
    ("F4", (2, 2)),
    ("F6_E2M3", (4,)),
    ("C64", (1,)),
)


def sealed(table: object, data: bytes, *, spaces: int = 0) -> bytes:
    """A file of a header and data, the length before them."""
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode() + b" " * spaces
    return len(text).to_bytes(PREFIX_BYTES, "little") + text + data


def seeds() -> list[bytes]:
    """Small checkpoints of each kind, sound ones all."""
    return [
        _file(shapes, metadata, spaces)
        for shapes in ((), _SHAPES[:1], _SHAPES[1:3], _SHAPES[3:5], _SHAPES[5:7], _SHAPES)
        for metadata, spaces in ((None, 0), ({"format": "pt"}, 3), ({"a": "1", "é\n": ""}, 0))
    ]


def _file(
    shapes: Sequence[tuple[str, tuple[int, ...]]], metadata: Mapping[str, str] | None, spaces: int
) -> bytes:
    table: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    start = 0
    for number, (code, shape) in enumerate(shapes):
        bits = DTYPES[code].bits
        for size in shape:
            bits *= size
        entry = {"dtype": code, "shape": shape, "data_offsets": [start, start + bits // 8]}
        table[f"layer.{number}"] = entry
        start += bits // 8
    return sealed(table, bytes(range(start)), spaces=spaces)


def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Most often a mutant of the text, with its length before it; at times one of the whole."""
    if chance.random() < 0.1:
        return mutated(data, others, chance, _WORDS)
    length = int.from_bytes(data[:PREFIX_BYTES], "little")
    text, rest = data[PREFIX_BYTES:][:length], data[PREFIX_BYTES:][length:]
    text = mutated(text, [other[PREFIX_BYTES:] for other in others], chance, _WORDS)
    return len(text).to_bytes(PREFIX_BYTES, "little") + text + rest


def examine(data: bytes) -> str:
    """`refused` by both, `read` by both, or the reason why we alone refuse.

    Raises:
        Exception: anything else is a finding.
    """
    theirs = _by_the_library(data)
    _examine_tolerant(data, theirs)
    try:
        before = header_bytes(io.BytesIO(data), len(data), "x")
        ours = decode_header(before[PREFIX_BYTES:], len(data), "x")
    except CheckpointError as error:
        check_message(error)
        return "refused" if theirs is None else _why(error)
    if theirs is None:
        raise ValueError("we read what the library refuses")
    _check_alike(ours, theirs, data)
    return "read"


def _examine_tolerant(data: bytes, theirs: list[tuple[str, Any]] | None) -> None:
    """Whoever looks at strangers' files reads no more than the library, and nothing else."""
    try:
        before = header_bytes(io.BytesIO(data), len(data), "x")
        ours = decode_header(before[PREFIX_BYTES:], len(data), "x", tolerant=True)
    except CheckpointError:
        return
    if theirs is None:
        raise ValueError("the tolerant read what the library refuses")
    _check_alike(ours, theirs, data)


def _by_the_library(data: bytes) -> list[tuple[str, Any]] | None:
    try:
        read: list[tuple[str, Any]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        return None
    return read


def _why(error: CheckpointError) -> str:
    message = f"{error.problem} {error.found}"
    for reason, pattern in STRICTER.items():
        if re.match(pattern, message, re.DOTALL):
            return f"only we refuse {reason}"
    form = re.sub(r"'[^']*'|[0-9]+", "N", message)
    raise ValueError(f"we alone refuse: {form}")


def _check_alike(ours: Header, theirs: list[tuple[str, Any]], data: bytes) -> None:
    read = {
        name: (each["dtype"], tuple(each["shape"]), bytes(each["data"])) for name, each in theirs
    }
    mine = {
        each.info.name: (
            each.info.dtype.code,
            each.info.shape,
            data[ours.data_start + each.start : ours.data_start + each.end],
        )
        for each in ours.tensors
    }
    if mine != read:
        raise ValueError("we read something else than the library")


HEADER = Target(name="header", suffix=".safetensors", seeds=seeds, mutate=mutate, examine=examine)

"""Headers that strangers made: what the library refuses we refuse, and more."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroinit_cli.dtypes import F32, RANK
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.store.safetensors import decode_header, encode_header, header_length, laid_out


def decode(table: Any, data_bytes: int = 8) -> Any:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return decode_header(text, 8 + len(text) + data_bytes, "x.safetensors")


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


def test_a_sound_header_is_read() -> None:
    header = decode({"__metadata__": {"format": "pt"}, "a": entry()})
    assert [tensor.info for tensor in header.tensors] == [
        TensorInfo(name="a", shape=(2,), dtype=F32)
    ]
    assert header.metadata == {"format": "pt"}


def test_what_we_write_we_read() -> None:
    infos = [TensorInfo(name=name, shape=(3, 2), dtype=F32) for name in ("a", "b")]
    written = encode_header(laid_out(infos))
    header = decode_header(written[8:], len(written) + 48, "x")
    assert header.tensors == laid_out(infos)
    assert header.data_start == len(written)
    assert len(written) % 8 == 0


WRONG: list[tuple[Any, int, str, str, str, str]] = [
    (
        b"[]",
        0,
        "malformed header",
        "x.safetensors",
        "one JSON object",
        "it does not start with {",
    ),
    (
        b'{"a":1,"a":1}',
        0,
        "malformed header",
        "x.safetensors",
        "one JSON object",
        "'a' occurs twice",
    ),
    (
        b'{"a": NaN}',
        0,
        "malformed header",
        "x.safetensors",
        "one JSON object",
        "NaN is not JSON",
    ),
    (
        {"__metadata__": {"a": 1}},
        0,
        "malformed __metadata__",
        "x.safetensors",
        "an object whose values are strings",
        "{'a': 1}",
    ),
    (
        {"a": {**entry(), "extra": 1}},
        8,
        "malformed entry",
        "x.safetensors: tensor 'a'",
        "data_offsets, dtype, shape",
        "data_offsets, dtype, extra, shape",
    ),
    (
        {"a": entry(shape=[2**40, 2**40])},
        8,
        "malformed shape",
        "x.safetensors: tensor 'a'",
        "integers from 0 on, they and their product below 2^64",
        "[1099511627776, 1099511627776]",
    ),
    (
        {"a": entry(shape=[True, 2])},
        8,
        "malformed shape",
        "x.safetensors: tensor 'a'",
        "integers from 0 on, they and their product below 2^64",
        "[True, 2]",
    ),
    (
        {"a": entry(data_offsets=[8, 0])},
        8,
        "malformed data_offsets",
        "x.safetensors: tensor 'a'",
        "[start, end], integers, 0 <= start <= end < 2^64",
        "[8, 0]",
    ),
    (
        {"a": entry(shape=[3])},
        8,
        "data_offsets do not fit the shape",
        "x.safetensors: tensor 'a'",
        "12 bytes for F32 [3]",
        "8 bytes",
    ),
    (
        {"a": entry(data_offsets=[4, 12])},
        12,
        "tensors overlap or leave a gap",
        "x.safetensors: tensor 'a'",
        "a start at 0",
        "4",
    ),
    (
        {"a": entry(), "b": entry()},
        8,
        "tensors overlap or leave a gap",
        "x.safetensors: tensor 'b'",
        "a start at 8",
        "0",
    ),
    (
        {"a": entry()},
        9,
        "the data does not fill the file",
        "x.safetensors",
        "8 bytes of data, as the header says",
        "9 bytes",
    ),
    (
        {"\u001b[31mred": entry(shape=[3])},
        8,
        "data_offsets do not fit the shape",
        "x.safetensors: tensor '\\x1b[31mred'",
        "12 bytes for F32 [3]",
        "8 bytes",
    ),
]


@pytest.mark.parametrize(("table", "data_bytes", "problem", "where", "expected", "found"), WRONG)
def test_an_unsound_header_is_refused_in_words(
    table: Any, data_bytes: int, problem: str, where: str, expected: str, found: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        decode(table, data_bytes)
    error = caught.value
    assert (error.problem, error.where) == (problem, where)
    assert (error.expected, error.found) == (expected, found)


@pytest.mark.parametrize(
    "text",
    [
        b"{" + b'"a":{' * 100_000,
        b'{"a":"\xff"}',
        b'{"\\ud800":1}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b"",
        b" {}",
        b"{}x",
        b'{"a":1e400}',
    ],
    ids=["nested", "not UTF-8", "surrogate", "digits", "empty", "leading", "trailing", "number"],
)
def test_no_text_does_worse_than_be_refused(text: bytes) -> None:
    with pytest.raises(CheckpointError):
        decode(text)


def test_offsets_beyond_4_gigabytes_are_offsets() -> None:
    """Their product is beyond 64 bits, which says nothing."""
    sizes = (3 << 32, 5 << 32, 1 << 40)
    starts = [sum(sizes[:number]) for number in range(4)]
    table = {
        f"{number}": entry(dtype="U8", shape=[size], data_offsets=starts[number : number + 2])
        for number, size in enumerate(sizes)
    }
    assert [tensor.start for tensor in decode(table, starts[3]).tensors] == starts[:3]


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"unknown dtype in x\.safetensors: tensor 'a'"):
        decode({"a": entry(dtype="F31")})


@pytest.mark.parametrize(("length", "size"), [(9, 16), (2**63, 100), (2**64 - 1, 2**40)])
def test_a_length_beyond_the_file_is_refused_before_anything_is_read(
    length: int, size: int
) -> None:
    with pytest.raises(CheckpointError, match="header longer than the file allows"):
        header_length(length.to_bytes(8, "little"), size, "x")


MUTATIONS: list[Callable[[bytearray, int], None]] = [
    lambda data, at: data.__setitem__(at, data[at] ^ 1),
    lambda data, at: data.__setitem__(at, ord("9")),
    lambda data, at: data.__delitem__(at),
    lambda data, at: data.insert(at, ord("0")),
    lambda data, at: data.__setitem__(at, ord(" ")),
]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_the_library_rejects_we_reject(data: st.DataObject) -> None:
    """The library's own loader is the oracle: nothing that it refuses may pass here."""
    saved = safetensors.torch.save(
        {"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.int8)}, {"format": "pt"}
    )
    length = int.from_bytes(saved[:8], "little")
    text = bytearray(saved[8 : 8 + length])
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(MUTATIONS))(text, data.draw(st.integers(0, len(text) - 1)))
    whole = len(text).to_bytes(8, "little") + bytes(text) + saved[8 + length :]
    try:
        decode_header(bytes(text), len(whole), "x")
    except CheckpointError:
        return
    safetensors.deserialize(whole)  # type: ignore[no-untyped-call]  # raises if the library rejects what we accepted


def test_the_order_of_types_is_the_librarys() -> None:
    names = "bool uint8 int8 float8_e5m2 float8_e4m3fn float8_e8m0fnu int16 uint16 float16 bfloat16"
    names += " int32 uint32 float32 complex64 float64 int64 uint64"
    known = [name for name in names.split() if hasattr(torch, name)]  # float8_e8m0fnu: torch 2.7
    assert len(known) >= 16
    tensors = {name: torch.zeros(1, dtype=getattr(torch, name)) for name in known}
    saved = safetensors.torch.save(tensors)
    table = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    codes = [entry["dtype"] for entry in table.values()]
    assert codes == sorted(codes, key=RANK.__getitem__, reverse=True)


ODD = {
    "__metadata__ is null, which is read as none": {"__metadata__": None, "a": entry()},
    "tensor 'a' has fields that no reader knows: strides": {"a": entry(strides=[1])},
    "tensor 'a' and 1 other tensor have fields that no reader knows: x, y": {
        "a": entry(x=1, y={"z": None}),
        "b": entry(shape=[0], data_offsets=[8, 8], x=2),
    },
    "the header begins with blanks": b" \n" + json.dumps({"a": entry()}).encode(),
}


@pytest.mark.parametrize("oddity", ODD)
def test_the_tolerant_read_what_the_library_reads_and_tell_it(oddity: str) -> None:
    table = ODD[oddity]
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    data = len(text).to_bytes(8, "little") + text + bytes(8)
    theirs = {name: tuple(each["shape"]) for name, each in safetensors.deserialize(data)}  # type: ignore[no-untyped-call]
    header = decode_header(text, len(data), "x", tolerant=True)
    assert {tensor.info.name: tensor.info.shape for tensor in header.tensors} == theirs
    assert header.oddities == (oddity,)
    assert header.metadata == {}
    with pytest.raises(CheckpointError):
        decode_header(text, len(data), "x")


def test_the_tolerant_find_nothing_odd_in_a_sound_header() -> None:
    text = json.dumps({"__metadata__": {"format": "pt"}, "a": entry()}).encode()
    assert decode_header(text, len(text) + 16, "x", tolerant=True).oddities == ()

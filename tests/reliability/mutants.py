"""All that can happen to a checkpoint, a lock or a sidecar, class by class, by a seed."""

import itertools
import json
import random
import re
from collections.abc import Iterator

from tests.reliability.small import stored_order


def header_bytes(data: bytes) -> Iterator[bytes]:
    """Every byte before the data, each bit of it flipped."""
    end = 8 + int.from_bytes(data[:8], "little")
    for at in range(end):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def data_bits(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """So many different bits of the data, at random."""
    start = 8 + int.from_bytes(data[:8], "little")
    places = range(8 * start, 8 * len(data))
    for place in sorted(random.Random(seed).sample(places, min(count, len(places)))):
        at, bit = divmod(place, 8)
        yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def truncations(data: bytes) -> Iterator[bytes]:
    """Every length that is shorter."""
    for length in range(len(data)):
        yield data[:length]


def appends(data: bytes) -> Iterator[bytes]:
    """More behind it: nothing but zeros, a line's end, itself, a megabyte."""
    for more in (*(bytes(count) for count in range(1, 17)), b"\n", b"\r\n", b" ", b"\x1a", data):
        yield data + more
    yield data + bytes(1 << 20)


def insertions(data: bytes) -> Iterator[bytes]:
    """Before the data, a byte too much, or one too few."""
    for at in range(8 + int.from_bytes(data[:8], "little")):
        yield data[:at] + data[at : at + 1] + data[at:]
        yield data[:at] + data[at + 1 :]


def swapped_data(data: bytes) -> Iterator[bytes]:
    """The bytes of two tensors in each other's place, where they are not the same."""
    table, body = stored_order(data)
    parts = _parts(table, body)
    header = data[: len(data) - len(body)]
    for one, other in itertools.combinations(parts, 2):
        if len(parts[one]) == len(parts[other]) and parts[one] != parts[other]:
            moved = {**parts, one: parts[other], other: parts[one]}
            yield header + b"".join(moved.values())


def swapped_names(data: bytes) -> Iterator[bytes]:
    """Two tensors under each other's name: a sound header, of the same bytes in another order."""
    table, body = stored_order(data)
    names = [name for name in table if name != "__metadata__"]
    for one, other in itertools.combinations(names, 2):
        swap = {one: other, other: one}
        yield _sealed({swap.get(name, name): entry for name, entry in table.items()}, body)


def moved(data: bytes) -> Iterator[bytes]:
    """Two tensors in each other's place, with their names: the same values for a loader."""
    table, body = stored_order(data)
    parts = _parts(table, body)
    for one, other in itertools.combinations(parts, 2):
        swap = {one: other, other: one}
        order = [swap.get(name, name) for name in parts]
        changed, start = {"__metadata__": table["__metadata__"]}, 0
        for name in order:
            end = start + len(parts[name])
            changed[name] = {**table[name], "data_offsets": [start, end]}
            start = end
        yield _sealed(changed, b"".join(parts[name] for name in order))


def rewritten_headers(data: bytes) -> Iterator[bytes]:
    """Headers that mean the same: other spaces, other metadata, other order of the fields."""
    table, body = stored_order(data)
    plain = json.dumps(table, separators=(",", ":")).encode()
    for text in (
        plain + b" " * (-len(plain) % 8 + 8),
        plain + b"\t" * (-len(plain) % 8),
        json.dumps(table).encode(),
        json.dumps(table, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(table.items())), separators=(",", ":")).encode(),
        json.dumps({**table, "__metadata__": {}}, separators=(",", ":")).encode(),
        json.dumps({**table, "__metadata__": {"format": "pt", "a": "b"}}).encode(),
        plain.replace(b'"format"', b'"\\u0066ormat"'),
    ):
        yield len(text).to_bytes(8, "little") + text + body


def reshaped(data: bytes) -> Iterator[bytes]:
    """Shapes and types of as many bytes."""
    table, body = stored_order(data)
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        changes: list[dict[str, object]] = [
            {"shape": [1, *entry["shape"]]},
            {"shape": [*entry["shape"], 1]},
        ]
        changes.append({"dtype": {"F32": "I32", "I64": "F64"}[entry["dtype"]]})
        if len(entry["shape"]) > 1:
            changes.append({"shape": entry["shape"][::-1]})
        for change in changes:
            if {**entry, **change} != entry:
                yield _sealed({**table, name: {**entry, **change}}, body)


def _parts(table: dict[str, dict[str, list[int]]], body: bytes) -> dict[str, bytes]:
    return {
        name: body[slice(*entry["data_offsets"])]
        for name, entry in table.items()
        if name != "__metadata__"
    }


def _sealed(table: object, body: bytes) -> bytes:
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


_HEX = "0123456789abcdef"
FIELDS = {
    "version": ["0", "2", '"1"', "1.0", "true"],
    "path": ['"b.safetensors"', '"./a.safetensors"', '"../a.safetensors"', '"A.safetensors"', '""'],
    "source": ['"other.yaml"', '"torchvision:resnet18"', '"./net.yaml "', '"/net.yaml"'],
    "spec-sha256": [f'"{"0" * 64}"', f'"{"0" * 63}"', '""'],
    "scheme": ['"zero-2"', '"zero"', "1"],
    "plan": [f'"sha256:{"0" * 64}"', f'"{"0" * 64}"', f'"md5:{"0" * 64}"'],
    "sha256": [f'"{"0" * 64}"', f'"{"0" * 63}"', '""'],
    "size": ["0", "2843", "2845", "-2844", "2844.0", '"2844"'],
    "tensors": ["0", "15", "17", "true"],
    "dtype": ['"float16"', '"bfloat16"', '"float64"', '"F32"'],
    "expansion": ['"paley"', '"none"'],
    "residual": ['"layer"', '"none"', '""'],
    "scale": ['"paper"', '"1"'],
}
"""Each field of a lock but built-with, which is for information, and what it may be edited to."""


def lock_fields(text: str) -> Iterator[str]:
    """Each field edited, left out, and given twice."""
    for field, values in FIELDS.items():
        pattern = re.compile(rf'(?<![\w-]){field} = ("[^"]*"|\d+)')
        assert len(pattern.findall(text)) == 1, field
        for value in values:
            yield pattern.sub(f"{field} = {value}", text)
        yield pattern.sub("", text)
        yield pattern.sub(r"\g<0>\n\g<0>", text)
    yield text.replace("residual", 'overrides = ["*.bias=ones"], residual')
    yield text.replace("options", "arguments = {num_classes = 5}\noptions")
    yield f'{text}shard = [{{path = "a", sha256 = "{"0" * 64}", size = 1}}]\n'
    yield text.replace("[[checkpoint]]", "[checkpoint]")
    yield text + text.partition("\n\n")[2]


def bytes_of(data: bytes, values: int, seed: int = 0) -> Iterator[bytes]:
    """Every byte changed to so many others, at random."""
    chance = random.Random(seed)
    for at in range(len(data)):
        others = [value for value in range(256) if value != data[at]]
        for value in sorted(chance.sample(others, values)):
            yield data[:at] + bytes([value]) + data[at + 1 :]

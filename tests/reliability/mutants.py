"""All that can happen to one file of a checkpoint, class by class, by a seed."""

import itertools
import json
import random
from collections.abc import Iterator

from tests.reliability.small import stored_order


def header_bytes(data: bytes) -> Iterator[bytes]:
    """Every byte before the data, each bit of it flipped."""
    return every_bit(data, header_end(data))


def every_bit(data: bytes, end: int) -> Iterator[bytes]:
    """Every bit before a place flipped."""
    for place in range(8 * end):
        yield flipped(data, place)


def data_bits(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """So many different bits of the data, at random."""
    places = range(8 * header_end(data), 8 * len(data))
    for place in sorted(random.Random(seed).sample(places, min(count, len(places)))):
        yield flipped(data, place)


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
    return twice_or_left_out(data, header_end(data))


def twice_or_left_out(data: bytes, end: int) -> Iterator[bytes]:
    """Each byte before a place once more, and not at all."""
    for at in range(end):
        yield data[:at] + data[at : at + 1] + data[at:]
        yield data[:at] + data[at + 1 :]


def swapped_data(data: bytes) -> Iterator[bytes]:
    """The bytes of two tensors in each other's place, where they are not the same."""
    table, body = stored_order(data)
    parts = parts_of(table, body)
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
        yield sealed({swap.get(name, name): entry for name, entry in table.items()}, body)


def moved(data: bytes) -> Iterator[bytes]:
    """Two tensors in each other's place, with their names: the same values for a loader."""
    table, body = stored_order(data)
    parts = parts_of(table, body)
    for one, other in itertools.combinations(parts, 2):
        swap = {one: other, other: one}
        order = [swap.get(name, name) for name in parts]
        changed, start = {"__metadata__": table["__metadata__"]}, 0
        for name in order:
            end = start + len(parts[name])
            changed[name] = {**table[name], "data_offsets": [start, end]}
            start = end
        yield sealed(changed, b"".join(parts[name] for name in order))


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
                yield sealed({**table, name: {**entry, **change}}, body)


def header_end(data: bytes) -> int:
    """Where the data begins."""
    return 8 + int.from_bytes(data[:8], "little")


def parts_of(table: dict[str, dict[str, list[int]]], body: bytes) -> dict[str, bytes]:
    """The bytes of each tensor."""
    return {
        name: body[slice(*entry["data_offsets"])]
        for name, entry in table.items()
        if name != "__metadata__"
    }


def sealed(table: object, body: bytes) -> bytes:
    """A file of this header, written as ours are."""
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def flipped(data: bytes, place: int) -> bytes:
    """The same but for one bit, counted from the first byte's lowest."""
    at, bit = divmod(place, 8)
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

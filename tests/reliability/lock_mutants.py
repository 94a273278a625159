"""All that can happen to a lock, or to a list of sums, class by class, by a seed."""

import itertools
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import tomlkit

from zeroinit_cli.filenames import file_names, sha256sum_digest

Fields = Mapping[str, list[str]]
_ZEROS = "0" * 64
_DIGESTS = [f'"{_ZEROS}"', f'"{"0" * 63}"', '""']
_NUMBER = re.compile(r"\d+")
_SHARD = "[[checkpoint.shard]]"

FIELDS: Fields = {
    "version": [],
    "path": ['"b.safetensors"', '"./a.safetensors"', '"../a.safetensors"', '"A.safetensors"', '""'],
    "source": ['"other.yaml"', '"torchvision:resnet18"', '"./net.yaml "', '"/net.yaml"'],
    "spec-sha256": _DIGESTS,
    "scheme": ['"zero-3"', '"zero"', "1"],
    "plan": [f'"sha256:{_ZEROS}"', f'"{_ZEROS}"', f'"md5:{_ZEROS}"'],
    "sha256": _DIGESTS,
    "size": [],
    "tensors": [],
    "dtype": ['"float16"', '"bfloat16"', '"float64"', '"F32"'],
    "policy": ['"paper"', '"none"', '""'],
}
"""Each field of a lock but built-with, which is for information, and what it may be edited to.

To a number the same is done wherever it stands.
"""
FOLDER_FIELDS: Fields = {
    **FIELDS,
    "path": ['"."', '"../"', '"net/"', '"/"', '".//"', '"model.safetensors"', '""'],
    "source": ['"net.yaml"', '"torchvision:resnet18"', '"../net.yaml "', '"/net.yaml"'],
    "max-shard-size": ['"1"', '"200"', '"400"', '"600"', '"5GB"', '"lots"', '""', "300"],
}
"""Likewise of a checkpoint in shards."""
SHARD_FIELDS: Fields = {
    "path": ['"model.safetensors"', '"./model-00001-of-00003.safetensors"', '"a"', '""'],
    "sha256": _DIGESTS,
    "size": [],
}
"""Likewise of one of its shards, or the index."""


def lock_fields(text: str) -> Iterator[str]:
    """Each field edited, left out, and given twice."""
    yield from _edits(text, (0, len(text)), FIELDS)
    yield from _whole_tables(text)
    yield f'{text}shard = [{{path = "a", sha256 = "{_ZEROS}", size = 1}}]\n'


def folder_fields(text: str) -> Iterator[str]:
    """Each field of an entry with shards and of each of these: edited, left out, given twice."""
    starts = [found.start() for found in re.finditer(re.escape(_SHARD), text)]
    yield from _edits(text, (0, starts[0]), FOLDER_FIELDS)
    for start, end in itertools.pairwise([*starts, len(text)]):
        yield from _edits(text, (start, end), SHARD_FIELDS)
        yield text[:start] + text[end:]
        yield text[:end] + text[start:]
        yield text[:start] + text[start:].replace(_SHARD, "[[checkpoint]]", 1)
    yield text[: starts[0]]
    yield from _whole_tables(text)


def _edits(text: str, part: tuple[int, int], fields: Fields) -> Iterator[str]:
    """What can happen to the fields of a part of the lock, each of which is there once."""
    before, section, after = text[: part[0]], text[slice(*part)], text[part[1] :]
    for field, values in fields.items():
        pattern = re.compile(rf'(?<![\w-]){field} = ("[^"]*"|\d+)')
        [found] = pattern.finditer(section)
        for edited in values or _other_numbers(found[1]):
            yield before + pattern.sub(f"{field} = {edited}", section) + after
        left = pattern.sub("", section).replace("{, ", "{").replace(", , ", ", ")
        yield before + left.replace(", }", "}") + after
        inline = section[found.start() - 1] in "{ "
        again = r"\g<0>, \g<0>" if inline else r"\g<0>\n\g<0>"
        yield before + pattern.sub(again, section) + after


def _other_numbers(value: str) -> list[str]:
    assert _NUMBER.fullmatch(value)
    number = int(value)
    others = ["0", str(number - 1), str(number + 1), str(2**63)]
    return [*dict.fromkeys(others), f"-{value}", f"{value}.0", f'"{value}"', "true"]


def _whole_tables(text: str) -> Iterator[str]:
    yield text.replace("policy", 'overrides = ["*.bias=ones"], policy')
    yield text.replace("options", "arguments = {num_classes = 5}\noptions")
    yield text.replace("[[checkpoint]]", "[checkpoint]")
    yield text + text.partition("\n\n")[2]


def consistent(text: str) -> Iterator[str]:
    """Edits of several fields at once, so that the shards still add up to their entry."""
    [entry] = tomllib.loads(text)["checkpoint"]
    numbers = range(len(entry["shard"]))
    for one, other in itertools.combinations(numbers, 2):
        for fields in (("sha256",), ("size",), ("sha256", "size")):
            yield _resealed(entry, partial(_exchange, one=one, other=other, fields=fields))
        yield _resealed(entry, partial(_add, numbers={one: 1, other: -1}))
        yield _resealed(entry, partial(_add, numbers={one: -1, other: 1}))
    for one in numbers:
        for change in (
            partial(_edit, at=one, fields={"sha256": _ZEROS}),
            partial(_edit, at=one, fields={"sha256": entry["shard"][one - 1]["sha256"]}),
            partial(_edit, at=one, fields={"size": 0}),
            partial(_add, numbers={one: 1}),
            partial(_add, numbers={one: -1}),
            partial(_repeat, at=one, times=0),
            partial(_repeat, at=one, times=2),
        ):
            yield _resealed(entry, change)
    yield _resealed(entry, _nothing, folder="net/")
    yield _resealed(entry, list.reverse)


def _resealed(
    entry: Mapping[str, Any], change: Callable[[list[Any]], object], folder: str = ""
) -> str:
    """A lock whose shards are changed, and then named and summed as the format has it."""
    shards = [dict(each) for each in entry["shard"]]
    change(shards)
    names = file_names(len(shards) - 1)
    for name, shard in zip(names, shards, strict=True):
        shard["path"] = f"{folder}{name}"
    edited = {
        **entry,
        "path": folder or entry["path"],
        "sha256": sha256sum_digest(zip(names, (each["sha256"] for each in shards), strict=True)),
        "size": sum(each["size"] for each in shards),
        "shard": shards,
    }
    return tomlkit.dumps({"version": 1, "checkpoint": [edited]})


def _exchange(shards: list[Any], one: int, other: int, fields: tuple[str, ...]) -> None:
    for field in fields:
        shards[one][field], shards[other][field] = shards[other][field], shards[one][field]


def _add(shards: list[Any], numbers: Mapping[int, int]) -> None:
    for place, number in numbers.items():
        shards[place]["size"] += number


def _edit(shards: list[Any], at: int, fields: Mapping[str, object]) -> None:
    shards[at].update(fields)


def _repeat(shards: list[Any], at: int, times: int) -> None:
    shards[at : at + 1] = [dict(shards[at]) for _ in range(times)]


def _nothing(shards: list[Any]) -> None:
    """Leave them, to be named otherwise."""


def bytes_of(data: bytes, values: int, seed: int = 0) -> Iterator[bytes]:
    """Every byte changed to so many others, at random."""
    chance = random.Random(seed)
    for at in range(len(data)):
        others = [value for value in range(256) if value != data[at]]
        for value in sorted(chance.sample(others, values)):
            yield data[:at] + bytes([value]) + data[at + 1 :]


def lists_cut(data: bytes) -> Iterator[bytes]:
    """A list of sums without some of its lines, or with some of them as comments."""
    lines = data.splitlines(keepends=True)
    for count in range(len(lines)):
        for kept in itertools.combinations(range(len(lines)), count):
            yield b"".join(lines[at] for at in kept)
            yield b"".join(line if at in kept else b"#" + line for at, line in enumerate(lines))

"""All that can happen to a folder with shards, class by class: which files are otherwise, and how.

A change has a name for each file that it touches: to the bytes that the file has then, to None if
it is gone, or to what puts something else in its place.
"""

import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.reliability import mutants
from tests.reliability.small import stored_order
from zeroinit_cli.filenames import INDEX, MODEL

Files = Mapping[str, bytes]
Content = bytes | None | Callable[[Path], object]
Change = Mapping[str, Content]
Tensor = tuple[str, list[int], bytes]
Shards = Mapping[str, Mapping[str, Tensor]]
Mutants = Callable[[bytes], Iterator[bytes]]
_ORDER = ("I64", "F32")


@contextmanager
def changed(folder: Path, files: Files, change: Change) -> Iterator[None]:
    """The files with a change; without it again afterwards."""
    for name, content in change.items():
        _put(folder / name, content)
    try:
        yield
    finally:
        for name in change:
            _put(folder / name, files.get(name))


def _put(path: Path, content: Content) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    if path.is_symlink() or not isinstance(content, bytes) or not path.is_file():
        with suppress(FileNotFoundError):
            path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content(path)


def in_each(files: Files, change: Mutants, index: Mutants | None = None) -> Iterator[Change]:
    """One shard after another changed as a file by itself, and the index, if it is told how."""
    for name, data in files.items():
        if name != INDEX:
            yield from ({name: other} for other in change(data))
        elif index is not None:
            yield from ({name: other} for other in index(data))


def data_bits(files: Files, count: int, seed: int = 0) -> Iterator[Change]:
    """So many different bits of the data of all shards together, at random."""
    places = [
        (name, place)
        for name, data in files.items()
        if name != INDEX
        for place in range(8 * mutants.header_end(data), 8 * len(data))
    ]
    for name, place in sorted(random.Random(seed).sample(places, count)):
        yield {name: mutants.flipped(files[name], place)}


def missing(files: Files) -> Iterator[Change]:
    """One of the files gone, or several, or all."""
    for count in range(1, len(files) + 1):
        for gone in itertools.combinations(files, count):
            yield dict.fromkeys(gone)


def swapped(files: Files) -> Iterator[Change]:
    """Two files under each other's name, or all under the next one's."""
    for one, other in itertools.combinations(files, 2):
        yield {one: files[other], other: files[one]}
    names = list(files)
    yield {name: files[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}


def copied(files: Files) -> Iterator[Change]:
    """A copy of another file in the place of one."""
    for one, other in itertools.permutations(files, 2):
        yield {one: files[other]}


def tensors_of(files: Files) -> dict[str, dict[str, Tensor]]:
    """The shards by their tensors: type, shape, bytes."""
    shards = {}
    for name, data in files.items():
        if name != INDEX:
            table, body = stored_order(data)
            parts = mutants.parts_of(table, body)
            shards[name] = {
                each: (table[each]["dtype"], table[each]["shape"], part)
                for each, part in parts.items()
            }
    return shards


def files_of(shards: Shards) -> dict[str, bytes]:
    """Shards and their index as we write them, whatever tensors they hold."""
    files = {name: _shard(tensors) for name, tensors in shards.items()}
    weight_map = {each: name for name, tensors in shards.items() for each in tensors}
    total = sum(len(each[2]) for tensors in shards.values() for each in tensors.values())
    return {
        **files,
        INDEX: index_text({"metadata": {"total_size": total}, "weight_map": weight_map}),
    }


def _shard(tensors: Mapping[str, Tensor]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name in sorted(tensors, key=lambda name: (_ORDER.index(tensors[name][0]), name)):
        dtype, shape, part = tensors[name]
        offsets = [len(body), len(body) + len(part)]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += part
    return mutants.sealed(table, body)


def index_text(table: object) -> bytes:
    """An index as we write it."""
    return json.dumps(table, indent=2, sort_keys=True).encode() + b"\n"


def _across(shards: Shards) -> Iterator[tuple[str, str, str, str]]:
    """A tensor and its shard, and one of another shard."""
    for one, other in itertools.combinations(shards, 2):
        for pair in itertools.product(shards[one], shards[other]):
            yield one, pair[0], other, pair[1]


def data_across(files: Files) -> Iterator[Change]:
    """The bytes of two tensors of two shards in each other's place, where they are not the same."""
    shards = tensors_of(files)
    for one, name, other, second in _across(shards):
        dtype, shape, part = shards[one][name]
        kind, sizes, bytes_ = shards[other][second]
        if len(part) == len(bytes_) and part != bytes_:
            first = _shard({**shards[one], name: (dtype, shape, bytes_)})
            yield {one: first, other: _shard({**shards[other], second: (kind, sizes, part)})}


def names_across(files: Files) -> Iterator[Change]:
    """Two tensors of two shards under each other's name, which says nothing else to the index."""
    shards = tensors_of(files)
    for one, name, other, second in _across(shards):
        first, last = {**shards[one]}, {**shards[other]}
        first[second], last[name] = first.pop(name), last.pop(second)
        sound = files_of({**shards, one: first, other: last})
        yield {one: sound[one], other: sound[other]}
        yield sound


def moved_across(files: Files) -> Iterator[Change]:
    """A tensor in another shard: the same state dict for every loader."""
    shards = tensors_of(files)
    for one, other in itertools.permutations(shards, 2):
        for name, tensor in shards[one].items():
            rest = {each: data for each, data in shards[one].items() if each != name}
            yield files_of({**shards, one: rest, other: {**shards[other], name: tensor}})


def twice(files: Files) -> Iterator[Change]:
    """A tensor in two shards, with either of them in the index."""
    shards = tensors_of(files)
    for one, other in itertools.permutations(shards, 2):
        for name, tensor in shards[one].items():
            sound = files_of({**shards, other: {**shards[other], name: tensor}})
            yield {other: sound[other]}
            yield {other: sound[other], INDEX: sound[INDEX]}


def beside(files: Files, whole: bytes) -> Iterator[Change]:
    """Files that a loader may take for parts, of any content, or a folder or link of that name."""
    first = next(iter(files.values()))
    count = len(files) - 1
    for name in (
        MODEL,
        "model-00006-of-00006.safetensors",
        f"model-{count + 1:05d}-of-{count:05d}.safetensors",
        f"model-00000-of-{count:05d}.safetensors",
        f"model-00001-of-{count + 1:05d}.safetensors",
        f"model-000001-of-{count:06d}.safetensors",
        f"model-00001-of-{count:05d}.safetensors.index.json",
    ):
        for content in (b"", first, whole, files[INDEX], Path.mkdir):
            yield {name: content}
        yield {name: partial(_link, target=INDEX)}
        yield {name: partial(_link, target="nowhere")}


def strange_files(files: Files) -> Iterator[Change]:
    """A link, a folder or a pipe in a file's place; what a link of the right bytes is, is left."""
    for name, data in files.items():
        for target in (*(other for other in files if other != name), name, "nowhere", "."):
            yield {name: partial(_link, target=target)}
        yield {name: partial(_link, target="/dev/zero")}
        yield {name: partial(_link, target=f"../outside-{name}", data=data)}
        yield {name: Path.mkdir}
        yield {name: partial(_folder_of, data=data)}
        yield {name: os.mkfifo}


def _link(path: Path, target: str, data: bytes | None = None) -> None:
    if data is not None:
        (path.parent / target).write_bytes(data)
    path.symlink_to(target)


def _folder_of(path: Path, data: bytes) -> None:
    path.mkdir()
    (path / path.name).write_bytes(data)

"""Find a checkpoint's files: one file, or the shards that an index names.

An index is a stranger's word: it may name only files beside it, each tensor must be in the shard
that it says, and no shard may hold another.
"""

import json
import os
from pathlib import Path
from typing import Any

from zeroinit_cli.errors import CheckpointError, InputError, near
from zeroinit_cli.files import is_there, opened, read_exactly
from zeroinit_cli.store.header import MOST_HEADER_BYTES
from zeroinit_cli.store.stored import StoredCheckpoint, StoredFile, placed, read_file
from zeroinit_cli.store.strict_json import parse_json
from zeroinit_cli.text import counted

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
_MOST_SHARDS = 100_000
_SHOWN = 3


def read_checkpoint(path: Path) -> StoredCheckpoint:
    """The headers of a file, of an index's shards, or of what a folder holds.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: it is not a sound checkpoint, or an index and its shards disagree.
    """
    if is_there(path) and path.is_dir():
        path = _in_folder(path)
    if path.name.endswith(".index.json"):
        return _sharded(path)
    file = read_file(path)
    return StoredCheckpoint(path=path, files=(file,), tensors=placed(file, 0))


def _in_folder(folder: Path) -> Path:
    """The one index of a folder, or its one checkpoint."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("cannot read the folder", where=str(folder), found=reason) from error
    for suffix in (INDEX_SUFFIX, SUFFIX):
        found = [name for name in names if name.endswith(suffix)]
        if len(found) == 1:
            return folder / found[0]
        if found:
            raise CheckpointError(
                f"{len(found)} files that could be meant",
                where=str(folder),
                found=_listed(found),
                hint="name one of them",
            )
    raise CheckpointError(f"no *{SUFFIX} and no *{INDEX_SUFFIX}", where=str(folder))


def _sharded(path: Path) -> StoredCheckpoint:
    table = parse_index(path)
    weight_map, metadata = table["weight_map"], table.get("metadata", {})
    names = sorted(set(weight_map.values()))
    for name in names:
        _check_name(name, path)
    if len(names) > _MOST_SHARDS:
        raise _malformed(path, f"at most {_MOST_SHARDS} shards", f"{len(names)}")
    folder = path.parent
    files = tuple(_shard(folder / name, path) for name in names)
    _check_places(weight_map, files, path)
    return StoredCheckpoint(
        path=path,
        files=files,
        tensors=tuple(
            tensor for number, file in enumerate(files) for tensor in placed(file, number)
        ),
        index=path,
        index_metadata={key: _text(value) for key, value in sorted(metadata.items())},
    )


def parse_index(path: Path) -> dict[str, Any]:
    """An index as JSON: `weight_map` has names, `metadata` is an object if it is there.

    Raises:
        InputError: it cannot be read.
        CheckpointError: it is no such index.
    """
    with opened(path) as (file, size):
        if size > MOST_HEADER_BYTES:
            raise _malformed(path, f"at most {MOST_HEADER_BYTES} bytes", f"{size} bytes")
        text = bytearray(size)
        count = read_exactly(file, memoryview(text))
    try:
        table = parse_json(bytes(text[:count]))
    except ValueError as error:
        raise _malformed(path, "one JSON object", str(error)) from error
    if not isinstance(table, dict) or not _is_map(table.get("weight_map")):
        raise _malformed(path, "weight_map: tensor name -> shard's file name", None)
    if not isinstance(table.get("metadata", {}), dict):
        raise _malformed(path, "metadata: an object", None)
    return table


def _is_map(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) for name in value.values())
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _malformed(path: Path, expected: str, found: str | None) -> CheckpointError:
    return CheckpointError("malformed index", where=str(path), expected=expected, found=found)


def _check_name(name: str, index: Path) -> None:
    """A shard is a file beside its index, by a plain name."""
    if name in ("", ".", "..") or any(each in name for each in "/\\:\0") or not name.isprintable():
        raise CheckpointError(
            "a shard's name leads elsewhere",
            where=str(index),
            expected="the plain name of a file beside the index",
            found=repr(name),
        )


def _shard(path: Path, index: Path) -> StoredFile:
    """A shard's header; a link may lead only to where the index itself lies.

    The Hub's cache keeps index and shards as links into one folder of blobs.
    """
    # not Path.resolve: before Python 3.13 a link to itself is an error of its own there
    resolved, folder = os.path.realpath(path), os.path.realpath(index.parent)
    if Path(resolved).parent not in (Path(folder), Path(os.path.realpath(index)).parent):
        raise CheckpointError(
            "a shard is a link that leads elsewhere",
            where=str(path),
            expected=f"a file in {folder}",
            found=resolved,
        )
    if not is_there(path):
        raise CheckpointError("a shard is missing", where=str(index), found=f"no {path.name}")
    return read_file(path)


def _check_places(weight_map: dict[str, str], files: tuple[StoredFile, ...], index: Path) -> None:
    """Each tensor is in the shard that the index says, and in no other."""
    stored: dict[str, list[str]] = {}
    for file in files:
        for tensor in file.header.tensors:
            stored.setdefault(tensor.info.name, []).append(file.path.name)
    twice = sorted(name for name, shards in stored.items() if len(shards) > 1)
    if twice:
        found = f"{twice[0]!r} in {' and '.join(stored[twice[0]])}"
        raise CheckpointError("a tensor is in two shards", where=str(index), found=found)
    missing = sorted(weight_map.keys() - stored.keys())
    if missing:
        raise CheckpointError(
            counted(
                len(missing),
                "tensor of the index is in no shard",
                "tensors of the index are in no shard",
            ),
            where=str(index),
            found=_listed(map(repr, missing)),
            hint=near(missing[0], stored),
        )
    extra = sorted(stored.keys() - weight_map.keys())
    if extra:
        raise CheckpointError(
            f"{counted(len(extra), 'tensor is', 'tensors are')} in a shard but not in the index",
            where=str(index),
            found=_listed(f"{name!r} in {stored[name][0]}" for name in extra),
        )
    for name in sorted(stored):
        if weight_map[name] != stored[name][0]:
            raise CheckpointError(
                "a tensor is in another shard than the index says",
                where=f"{index}: tensor {name!r}",
                expected=weight_map[name],
                found=stored[name][0],
            )


def _listed(names: Any) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

"""The index of a checkpoint in several files: which shard holds which tensor.

An index may come from anybody: it may name only files beside it, each tensor must be in the shard
that it says, and no shard may hold another.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeroinit_cli.errors import CheckpointError, near
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.store.safetensors import MOST_HEADER_BYTES
from zeroinit_cli.store.strict_json import parse_json
from zeroinit_cli.text import counted, listed

_MOST_SHARDS = 100_000
_MOST_NAMED = 3


def parse_index(path: Path) -> dict[str, Any]:
    """Read an index as JSON: `weight_map` has names, `metadata` is an object if it is there.

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
    if not isinstance(table, dict) or not _is_weight_map(table.get("weight_map")):
        raise _malformed(path, "weight_map: tensor name -> shard's file name", None)
    if not isinstance(table.get("metadata", {}), dict):
        raise _malformed(path, "metadata: an object", None)
    return table


def _is_weight_map(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) for name in value.values())
    )


def _malformed(path: Path, expected: str, found: str | None) -> CheckpointError:
    return CheckpointError("malformed index", where=str(path), expected=expected, found=found)


def shard_names(weight_map: Mapping[str, str], index: Path) -> list[str]:
    """List the files that an index names, in order.

    Raises:
        CheckpointError: they are too many, or one is not the plain name of a file beside the index.
    """
    names = sorted(set(weight_map.values()))
    for name in names:
        _check_shard_name(name, index)
    if len(names) > _MOST_SHARDS:
        raise _malformed(index, f"at most {_MOST_SHARDS} shards", f"{len(names)}")
    return names


def _check_shard_name(name: str, index: Path) -> None:
    leads_elsewhere = name in ("", ".", "..") or any(mark in name for mark in "/\\:\0")
    if leads_elsewhere or not name.isprintable():
        raise CheckpointError(
            "a shard's name leads elsewhere",
            where=str(index),
            expected="the plain name of a file beside the index",
            found=repr(name),
        )


def check_weight_map(
    weight_map: Mapping[str, str],
    shards: Mapping[str, Sequence[str]],
    index: Path,
    *,
    tolerant: bool = False,
) -> tuple[str, ...]:
    """Check that each tensor is in the shard that the index says, and in no other.

    Args:
        weight_map: tensor -> shard, as the index says.
        shards: tensor -> all shards that hold it.
        index: the index, for messages.
        tolerant: return in words what the index says wrongly; what is in the shards can be read.

    Raises:
        CheckpointError: index and shards disagree; or, of the tolerant, a tensor is there twice.
    """
    twice = sorted(name for name, holding in shards.items() if len(holding) > 1)
    if twice:
        found = f"{twice[0]!r} in {' and '.join(shards[twice[0]])}"
        raise CheckpointError("a tensor is in two shards", where=str(index), found=found)
    stored = {name: shard for name, (shard,) in shards.items()}
    faults = _faults(weight_map, stored, index)
    if tolerant:
        return tuple(f"{fault.problem}: {fault.found}" for fault in faults)
    for fault in faults:
        raise fault
    return ()


def _faults(
    weight_map: Mapping[str, str], stored: Mapping[str, str], index: Path
) -> Iterator[CheckpointError]:
    """Yield what an index says of its shards that is not so."""
    missing = sorted(weight_map.keys() - stored.keys())
    if missing:
        yield CheckpointError(
            counted(
                len(missing),
                "tensor of the index is in no shard",
                "tensors of the index are in no shard",
            ),
            where=str(index),
            found=listed(map(repr, missing), _MOST_NAMED),
            hint=near(missing[0], stored),
        )
    extra = sorted(stored.keys() - weight_map.keys())
    if extra:
        yield CheckpointError(
            f"{counted(len(extra), 'tensor is', 'tensors are')} in a shard but not in the index",
            where=str(index),
            found=listed((f"{name!r} in {stored[name]}" for name in extra), _MOST_NAMED),
        )
    moved = [name for name, shard in sorted(stored.items()) if weight_map.get(name, shard) != shard]
    if moved:
        yield CheckpointError(
            f"{counted(len(moved), 'tensor is', 'tensors are')} elsewhere than the index says",
            where=str(index),
            found=listed(
                (f"{name!r} in {stored[name]}, not {weight_map[name]}" for name in moved),
                _MOST_NAMED,
            ),
        )

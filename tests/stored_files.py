"""Safetensors files made by hand, for tests of what strangers may have written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Tensors = Mapping[str, tuple[str, Sequence[int], bytes]]
"""Name -> type's code, shape, bytes."""


def save(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> Path:
    """A file of these tensors, in the order given."""
    table: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    start = 0
    for name, (dtype, shape, data) in tensors.items():
        table[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [start, start + len(data)],
        }
        start += len(data)
    text = json.dumps(table).encode()
    data = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def save_index(path: Path, weight_map: Mapping[str, str], **more: object) -> Path:
    """An index of shards."""
    path.write_text(json.dumps({"weight_map": dict(weight_map), **more}))
    return path

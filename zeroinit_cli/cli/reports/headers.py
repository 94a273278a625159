"""What the headers of a checkpoint and its index say, in a few lines, however much that is."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from zeroinit_cli.text import abridged, counted

if TYPE_CHECKING:
    from zeroinit_cli.store.read import StoredCheckpoint

_MOST_KEYS = 20  # of metadata, each cut where it is long
_MOST_VALUE = 80  # characters of one


def header_lines(checkpoint: "StoredCheckpoint") -> list[str]:
    """Write the size and the metadata of the headers, and of the index."""
    header = sum(file.header.data_start for file in checkpoint.files)
    where = "" if checkpoint.index is None else f" in {counted(len(checkpoint.files), 'shard')}"
    said, *more = _metadata_lines(checkpoint.metadata, "none")
    lines = [f"header: {header:,} bytes{where}; metadata: {said}", *more]
    if checkpoint.index is not None:
        said, *more = _metadata_lines(checkpoint.index_metadata, "nothing more")
        lines += [f"index: {checkpoint.index}; it says: {said}", *more]
        size = checkpoint.index_metadata.get("total_size")
        if size is not None and not _is_number(size, checkpoint.nbytes):
            lines.append(f"its total_size is not that of the tensors, {checkpoint.nbytes}")
    return lines


def _metadata_lines(metadata: Mapping[str, str], nothing: str) -> list[str]:
    """Write metadata in one line if it is short; else a line for each key."""
    pairs = [f"{key}={value}" for key, value in metadata.items()]
    joined = ", ".join(pairs[:_MOST_KEYS])
    if len(pairs) <= _MOST_KEYS and len(joined) <= _MOST_VALUE:
        return [joined or nothing]
    shown = [
        f"  {abridged(key, _MOST_VALUE)}={abridged(value, _MOST_VALUE)}"
        for key, value in islice(metadata.items(), _MOST_KEYS)
    ]
    more = len(pairs) - len(shown)
    rest = [f"  and {counted(more, 'more key')}; --json has all"] if more else []
    return [counted(len(pairs), "key"), *shown, *rest]


def _is_number(text: str, number: int) -> bool:
    """Tell whether a text means this number: `76.0`, too, which some tools write for 76."""
    with suppress(ValueError):
        return float(text) == number
    return False

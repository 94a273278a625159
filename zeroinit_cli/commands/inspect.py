"""The contents of a checkpoint: counts of each tensor, and the rule of its bytes. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zeroinit_cli.commands.recognize import Recognized, recognize
from zeroinit_cli.commands.tensor_numbers import is_packed, pattern_type
from zeroinit_cli.commands.tensor_picture import Picture, layout_of, picture
from zeroinit_cli.commands.tensor_summary import Read, Summary, summarize
from zeroinit_cli.errors import UsageError, near, pasted
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.store.hashing import BLOCK_BYTES
from zeroinit_cli.store.read import DataReader, StoredCheckpoint, TensorSpan
from zeroinit_cli.text import listed

if TYPE_CHECKING:
    from zeroinit_cli.plans.rounding import Bits

_MOST_COMPARED = 10_000  # names that a wrong one is compared with, letter by letter
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedTensor:
    """A tensor, what was counted in it, and what it was recognized as."""

    placed: TensorSpan
    summary: Summary
    recognized: Recognized


def inspect_tensors(
    checkpoint: StoredCheckpoint,
    names: tuple[str, ...] = (),
    progress: Progress = no_progress,
) -> Iterator[InspectedTensor]:
    """Yield every tensor, or those named, in the order of the file.

    Raises:
        UsageError: no tensor has a name.
        InputError: a file cannot be read.
        CheckpointError: a file changed while it was read.
    """
    chosen = [find_tensor(checkpoint, name) for name in names] or checkpoint.tensors
    advance = progress(f"reading {checkpoint.path.name}", sum(tensor.nbytes for tensor in chosen))
    with DataReader(checkpoint) as data:
        for tensor in chosen:
            numel = tensor.nbytes // tensor.info.dtype.unit_bytes
            read = pattern_reader(data, tensor)
            summary = summarize(tensor.info, numel, read, advance)
            recognized = recognize(tensor.info, summary, read)
            yield InspectedTensor(placed=tensor, summary=summary, recognized=recognized)


def find_tensor(checkpoint: StoredCheckpoint, name: str) -> TensorSpan:
    """Find the tensor of a name.

    Raises:
        UsageError: there is none.
    """
    for tensor in checkpoint.tensors:
        if tensor.info.name == name:
            return tensor
    known = [tensor.info.name for tensor in checkpoint.tensors]
    holding = [each for each in known if name.lower() in each.lower()]
    raise UsageError(
        f"no tensor is called {name!r}",
        where=str(checkpoint.path),
        hint=(near(name, holding or known[:_MOST_COMPARED]) if name else None)
        or _names_with(name, holding)
        or f"zeroinit inspect {pasted(checkpoint.path)} lists the names",
    )


def _names_with(part: str, holding: Sequence[str]) -> str | None:
    """Name tensors whose names hold a part of one that somebody gave."""
    return f"names with {part!r} are {listed(holding, _MOST_NAMED)}" if holding else None


def pattern_reader(data: DataReader, tensor: TensorSpan) -> Read:
    """Return a reader of a tensor's bit patterns into one buffer, which grows as needed."""
    kind = pattern_type(tensor.info.dtype)
    buffer = np.empty(min(BLOCK_BYTES, tensor.nbytes), np.uint8)

    def read(start: int, count: int) -> "Bits":
        nonlocal buffer
        nbytes = count * kind.itemsize
        if nbytes > buffer.size:
            buffer = np.empty(nbytes, np.uint8)
        data.read(tensor, start * kind.itemsize, buffer[:nbytes].data)
        return buffer[:nbytes].view(kind)

    return read


def why_not_drawn(found: InspectedTensor) -> str | None:
    """Say why a tensor has no picture; None if it has one."""
    if found.summary.numel == 0:
        return "it has no elements"
    if is_packed(found.placed.info.dtype):
        return f"elements of {found.placed.info.dtype.code} are narrower than bytes"
    return None


def draw(
    checkpoint: StoredCheckpoint, found: InspectedTensor, *, most_rows: int, most_columns: int
) -> Picture:
    """Draw a tensor as a picture of at most so many cells.

    Raises:
        InputError: the file cannot be read.
        CheckpointError: it changed while it was read.
    """
    info = found.placed.info
    layout = layout_of(info, found.recognized.rule)
    with DataReader(checkpoint) as data:
        read = pattern_reader(data, found.placed)
        return picture(layout, info.dtype, read, most_rows=most_rows, most_columns=most_columns)

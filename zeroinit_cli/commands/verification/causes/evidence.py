"""What is known of a checkpoint that differs from its plan, gathered once for all guesses."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.plans.plan import Plan, TensorInfo
from zeroinit_cli.store.compare import Comparison
from zeroinit_cli.store.contents import PlannedContents, StoredContents, compare_tensor
from zeroinit_cli.store.differences import TensorDifference
from zeroinit_cli.store.hashing import BLOCK_BYTES, Buffer
from zeroinit_cli.store.read import StoredCheckpoint, read_checkpoint, read_single
from zeroinit_cli.store.stream import plan_header, stored_tensors


@dataclass(frozen=True)
class Evidence:
    """A checkpoint's tensors beside those of its plan; in which files they lie does not matter.

    Attributes:
        plan: what should be there.
        stored: what the checkpoint says of itself, if that is sound.
        differences: tensors with other bytes.
    """

    plan: Plan
    stored: StoredCheckpoint | None
    differences: tuple[TensorDifference, ...]

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        """The stored tensors by name; none if a header is not sound."""
        return {each.info.name: each.info for each in self.stored.tensors} if self.stored else {}

    @cached_property
    def planned(self) -> dict[str, TensorInfo]:
        """The plan's tensors by name."""
        return {each.info.name: each.info for each in self.plan.tensors}

    @cached_property
    def same_form(self) -> bool:
        """The checkpoint has the planned tensors, each with its type and shape."""
        return self.infos == self.planned

    @property
    def floats(self) -> set[str]:
        """Names of the planned floating tensors."""
        return {name for name, info in self.planned.items() if info.dtype in FLOATS}


@dataclass(frozen=True)
class FileEvidence(Evidence):
    """The same of one file, byte by byte.

    Attributes:
        path: the file.
        comparison: of it with the plan.
    """

    path: Path
    comparison: Comparison

    @cached_property
    def header(self) -> bytes:
        """The planned file up to its first tensor."""
        return plan_header(self.plan)

    @cached_property
    def header_is_right(self) -> bool:
        """As far as the file goes."""
        found = self.start(len(self.header))
        return self.header.startswith(found)

    def start(self, nbytes: int) -> bytes:
        """The file's first bytes."""
        data = bytearray(nbytes)
        with opened(self.path) as (file, _):
            del data[read_exactly(file, memoryview(data)) :]
        return bytes(data)

    def position(self, difference: TensorDifference) -> int:
        """Where in the planned file the first differing element lies."""
        info, start = difference.info, len(self.header)
        for tensor in stored_tensors(self.plan):
            if tensor.info.name == info.name:
                start += tensor.start
        flat = 0
        for index, size in zip(difference.index, info.shape, strict=True):
            flat = flat * size + index
        return start + flat * info.dtype.itemsize

    def last_nonzero(self) -> int:
        """Where the last byte that is not 0 lies, found from the end; -1 if there is none."""
        buffer = np.empty(BLOCK_BYTES, np.uint8)
        with opened(self.path) as (file, size):
            for end in range(size, 0, -BLOCK_BYTES):
                start = max(end - BLOCK_BYTES, 0)
                file.seek(start)
                block = buffer[: read_exactly(file, buffer[: end - start].data)]
                places = np.flatnonzero(block)
                if len(places):
                    return start + int(places[-1])
        return -1

    def flipped_header_bytes(self) -> Buffer:
        """The bits that differ in the header, byte by byte."""
        found = np.frombuffer(self.start(len(self.header)), np.uint8)
        return np.frombuffer(self.header, np.uint8)[: len(found)] ^ found


def evidence_of_file(plan: Plan, path: Path, comparison: Comparison) -> FileEvidence:
    """What is known of one file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        stored = read_single(path)
    except CheckpointError:
        stored = None
    return FileEvidence(
        plan=plan,
        stored=stored,
        differences=comparison.differences,
        path=path,
        comparison=comparison,
    )


def evidence_of_folder(plan: Plan, folder: Path) -> Evidence:
    """What is known of a folder's tensors, whatever shards they lie in.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: a file changed while it was read.
    """
    try:
        stored = read_checkpoint(folder)
    except CheckpointError:
        return Evidence(plan=plan, stored=None, differences=())
    planned, found = PlannedContents("", plan), StoredContents(stored)
    infos = {info.name: info for info in found.tensors}
    with found.reading():
        differences = [
            compare_tensor(planned, found, info)
            for info in planned.tensors
            if infos.get(info.name) == info
        ]
    return Evidence(
        plan=plan,
        stored=stored,
        differences=tuple(each for each in differences if each is not None),
    )

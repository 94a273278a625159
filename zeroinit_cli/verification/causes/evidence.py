"""What is known of a file that differs from its plan, gathered once for all guesses."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from zeroinit_cli.checkpoint.compare import Comparison
from zeroinit_cli.checkpoint.differences import TensorDifference
from zeroinit_cli.checkpoint.hashing import BLOCK_BYTES, Buffer
from zeroinit_cli.checkpoint.stored import StoredCheckpoint, placed, read_file
from zeroinit_cli.checkpoint.stream import plan_header, stored_tensors
from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files.reading import opened, read_exactly
from zeroinit_cli.plans import Plan, TensorInfo


@dataclass(frozen=True)
class Evidence:
    """A file, its plan, and where they differ.

    Attributes:
        plan: what should be there.
        path: the file.
        comparison: of the two.
    """

    plan: Plan
    path: Path
    comparison: Comparison

    @property
    def differences(self) -> tuple[TensorDifference, ...]:
        """Tensors with other bytes, in file order."""
        return self.comparison.differences

    @cached_property
    def header(self) -> bytes:
        """The planned file up to its first tensor."""
        return plan_header(self.plan)

    @cached_property
    def header_is_right(self) -> bool:
        """As far as the file goes."""
        found = self.start(len(self.header))
        return self.header.startswith(found)

    @cached_property
    def stored(self) -> StoredCheckpoint | None:
        """What the file's own header says, if it is sound."""
        try:
            file = read_file(self.path)
        except CheckpointError:
            return None
        return StoredCheckpoint(path=self.path, files=(file,), tensors=placed(file, 0))

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        """The file's tensors by name; none if its header is not sound."""
        return {each.info.name: each.info for each in self.stored.tensors} if self.stored else {}

    @cached_property
    def planned(self) -> dict[str, TensorInfo]:
        """The plan's tensors by name."""
        return {each.info.name: each.info for each in self.plan.tensors}

    @cached_property
    def same_form(self) -> bool:
        """The file has the planned tensors, each with its type and shape."""
        return self.infos == self.planned

    @property
    def floats(self) -> set[str]:
        """Names of the planned floating tensors."""
        return {name for name, info in self.planned.items() if info.dtype in FLOATS}

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

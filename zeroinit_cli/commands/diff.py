"""What differs between two checkpoints, each a file, a folder of shards, or a source."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.progress import Progress, no_progress
from zeroinit_cli.store.contents import Contents, compare_tensor, nbytes
from zeroinit_cli.store.differences import TensorDifference


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """All that differs, A first.

    Attributes:
        only_a: tensors that B lacks, sorted by name.
        only_b: tensors that A lacks, likewise.
        reshaped: tensors of another shape or type: as in A, as in B.
        differing: tensors of the same form with other bytes; `expected` is A's value, `found` B's.
        same: names of tensors with the same form and bytes.
        metadata: key -> its value in A and in B, where they are not the same.
        order: the tensors they share come in another order; only between single files.
        headers: both are single files, and the bytes of their headers are not the same.
        files: files of A and of B.
    """

    only_a: tuple[TensorInfo, ...]
    only_b: tuple[TensorInfo, ...]
    reshaped: tuple[tuple[TensorInfo, TensorInfo], ...]
    differing: tuple[TensorDifference, ...]
    same: tuple[str, ...]
    metadata: Mapping[str, tuple[str | None, str | None]]
    order: bool
    headers: bool
    files: tuple[int, int]

    @property
    def nothing(self) -> bool:
        """No tensor, metadata or header differs; how many files hold them does not matter."""
        return not (
            self.only_a
            or self.only_b
            or self.reshaped
            or self.differing
            or self.metadata
            or self.order
            or self.headers
        )

    @property
    def identical(self) -> bool:
        """The same bytes: one file each, the same header, the same tensors."""
        return self.nothing and self.files == (1, 1)


def diff(a: Contents, b: Contents, progress: Progress = no_progress) -> Difference:
    """Compare two checkpoints, block by block.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: a file changed while it was read.
    """
    of_a, of_b = ({info.name: info for info in side.tensors} for side in (a, b))
    shared = [info for info in a.tensors if info.name in of_b]
    reshaped = [(info, of_b[info.name]) for info in shared if info != of_b[info.name]]
    comparable = [info for info in shared if info == of_b[info.name]]
    advance = progress("comparing", sum(map(nbytes, comparable)))
    with ExitStack() as stack:
        for side in (a, b):
            stack.enter_context(side.reading())
        found = [compare_tensor(a, b, info, advance) for info in comparable]
    single = len(a.headers) == len(b.headers) == 1
    in_b = [info.name for info in b.tensors if info.name in of_a]
    return Difference(
        only_a=tuple(of_a[name] for name in sorted(of_a.keys() - of_b.keys())),
        only_b=tuple(of_b[name] for name in sorted(of_b.keys() - of_a.keys())),
        reshaped=tuple(reshaped),
        differing=tuple(each for each in found if each is not None),
        same=tuple(info.name for info, each in zip(comparable, found, strict=True) if each is None),
        metadata=_metadata(a.metadata, b.metadata),
        order=single and [info.name for info in shared] != in_b,
        headers=single and a.headers != b.headers,
        files=(len(a.headers), len(b.headers)),
    )


def _metadata(
    a: Mapping[str, str], b: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    keys = sorted(a.keys() | b.keys())
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}

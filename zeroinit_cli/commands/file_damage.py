"""Damage to one file, guessed from its bytes: cut, extended, flipped, converted, or rewritten."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.findings import Cause
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files import opened, read_exactly, read_part, size_of
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.store.safetensors import PREFIX_BYTES, decode_header, header_length
from zeroinit_cli.text import abridged, counted, listed

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison
    from zeroinit_cli.store.diff import Difference, TensorDifference

_MOST_FLIPPED = 8  # more flipped bits are no single accident
_LEAST_HOLE = 4096  # a page; no edit of one element leaves so many zero bytes at the end
_MOST_KEYS, _MOST_VALUE = 5, 80  # of metadata, and characters of one
_WINDOW_BYTES = 1 << 20  # in which a conversion of line ends must show


@dataclass(frozen=True, kw_only=True, slots=True)
class _FileBytes:
    """A file beside its plan.

    Attributes:
        path: of the file.
        plan: of its tensors.
        comparison: of the two.
        header: the planned file up to its first tensor.
        start: as many bytes of the file.
    """

    path: Path
    plan: Plan
    comparison: "Comparison"
    header: bytes
    start: bytes

    @property
    def missing(self) -> int:
        """Bytes that the file lacks; below 0 if it has too many."""
        return self.comparison.expected_size - self.comparison.size

    @property
    def header_is_right(self) -> bool:
        """Whether the planned header is there, as far as the file goes."""
        return self.header.startswith(self.start)


def damage(path: Path, plan: Plan, comparison: "Comparison") -> Cause | None:
    """Guess what happened to a file whose bytes are not its plan's; the surest guess first.

    Args:
        path: the file.
        plan: of its tensors.
        comparison: of the two.

    Raises:
        InputError: it cannot be read.
    """
    from zeroinit_cli.store.stream import plan_header

    header = plan_header(plan)
    start = read_part(path, 0, len(header))
    file = _FileBytes(path=path, plan=plan, comparison=comparison, header=header, start=start)
    guesses: tuple[Callable[[_FileBytes], Cause | None], ...] = (
        _cut_short,
        _appended,
        _converted_line_ends,
        _flipped,
        _never_written,
        _written_again,
    )
    return next((cause for guess in guesses if (cause := guess(file)) is not None), None)


def shortened(path: Path, expected: int) -> Cause | None:
    """Tell whether a file is shorter than its own header announces; no plan is needed.

    Args:
        path: the file.
        expected: bytes that it should have.

    Raises:
        InputError: it cannot be read.
    """
    size = size_of(path)
    if size >= expected:
        return None
    try:
        length = header_length(read_part(path, 0, PREFIX_BYTES), size, str(path))
        decode_header(read_part(path, PREFIX_BYTES, length), expected, str(path))
    except CheckpointError:
        return None
    return _truncated(size, expected)


def _cut_short(file: _FileBytes) -> Cause | None:
    """Detect a file whose bytes are right but whose end is missing."""
    if file.missing > 0 and not file.comparison.differences and file.header_is_right:
        return _truncated(file.comparison.size, file.comparison.expected_size)
    return None


def _truncated(size: int, expected: int) -> Cause:
    return Cause(
        kind="truncated",
        text=f"a copy or download that stopped after {size:,} of {expected:,} bytes",
    )


def _appended(file: _FileBytes) -> Cause | None:
    """Detect a file with all planned bytes and more behind them."""
    if file.missing < 0 and not file.comparison.differences and file.header_is_right:
        more = counted(-file.missing, "byte")
        text = f"{more} appended by something; all before them are right"
        return Cause(kind="appended", text=text)
    return None


def _converted_line_ends(file: _FileBytes) -> Cause | None:
    """Detect a conversion of line ends, which Git makes of files marked as `text`."""
    found, expected = read_part(file.path, 0, _WINDOW_BYTES), _planned_start(file.plan, file.header)
    for old, new in ((b"\n", b"\r\n"), (b"\r\n", b"\n")):
        converted = expected.replace(old, new)
        window = min(len(converted), len(found), _WINDOW_BYTES // 2)
        if converted[:window] != expected[:window] and converted[:window] == found[:window]:
            return Cause(
                kind="line-ends",
                text="a conversion of line ends, as Git makes of files that it takes for text",
                hint="write '*.safetensors -text' into .gitattributes, and check it out again",
            )
    return None


def _flipped(file: _FileBytes) -> Cause | None:
    """Detect a few flipped bits, each in one element of one tensor or in one byte of the header."""
    if file.missing:
        return None
    flips = [one ^ other for one, other in zip(file.header, file.start, strict=False)]
    differences = file.comparison.differences
    in_header = sum(flip != 0 for flip in flips)
    bits = sum(flip.bit_count() for flip in flips) + sum(tensor.bits for tensor in differences)
    spots = in_header + sum(tensor.count for tensor in differences)
    if len(differences) + bool(in_header) != 1 or bits > _MOST_FLIPPED or bits != spots:
        return None
    where = f"tensor {differences[0].info.name!r}" if differences else "the header"
    what = "1 bit of the file is" if bits == 1 else f"{bits} bits of the file are"
    return Cause(
        kind="bit-rot",
        text=f"bit rot: {what} flipped, in {where}",
        hint="copy the file again; if it happens again, check the disk and the memory",
    )


def _never_written(file: _FileBytes) -> Cause | None:
    """Detect a file that holds only zeros from some byte on where it should not."""
    differences, size = file.comparison.differences, file.comparison.size
    if not file.header_is_right or not differences or file.missing:
        return None
    if not all(tensor.found in ("0", "0.0", "false") for tensor in differences):
        return None
    end = _last_nonzero(file.path) + 1
    first = _position_in_file(file.plan, len(file.header), differences[0])
    if end > first or size - end < _LEAST_HOLE:
        return None
    return Cause(
        kind="unwritten",
        text="a download or write that stopped in a file whose size was set before: "
        f"from byte {end:,} on all is 0",
    )


def _written_again(file: _FileBytes) -> Cause | None:
    """Detect the same tensors with the same values under another header."""
    difference = file.comparison.difference
    if difference is None or not file.comparison.sound:
        return None
    if not difference.same_form or difference.differing:
        return None
    what = []
    if difference.metadata:
        what.append(f"metadata {_metadata_words(difference)} instead of format=pt")
    if difference.order:
        what.append("the tensors in another order")
    return Cause(
        kind="other-writer",
        text="written again by another tool: the same tensors and values, but "
        + (" and ".join(what) or "a header with other bytes"),
        hint="zeroinit generate --force writes the locked bytes",
    )


def _metadata_words(difference: "Difference") -> str:
    """Write all metadata of the file's header as words."""
    from zeroinit_cli.store.safetensors import METADATA

    kept = {key: value for key, value in METADATA.items() if key not in difference.metadata}
    found = {key: value for key, (_, value) in difference.metadata.items() if value is not None}
    pairs = [
        f"{abridged(key, _MOST_VALUE)}={abridged(value, _MOST_VALUE)}"
        for key, value in sorted((kept | found).items())
    ]
    return listed(pairs, _MOST_KEYS) or "none"


def _planned_start(plan: Plan, header: bytes) -> bytes:
    import numpy as np

    from zeroinit_cli.store.hashing import BLOCK_BYTES
    from zeroinit_cli.store.stream import data_blocks

    start = bytearray(header[:_WINDOW_BYTES])
    buffer = np.empty(BLOCK_BYTES, np.uint8)
    for block in data_blocks(plan, lambda: buffer):
        room = _WINDOW_BYTES - len(start)
        if not room:
            break
        start += bytes(min(block, room)) if isinstance(block, int) else block[:room].tobytes()
    return bytes(start)


def _position_in_file(plan: Plan, header_bytes: int, difference: "TensorDifference") -> int:
    """Find the byte of the planned file where the first differing element begins."""
    start = header_bytes
    for tensor in plan.tensors:
        if tensor.info.name == difference.info.name:
            break
        start += tensor.info.nbytes
    flat = 0
    for index, size in zip(difference.index, difference.info.shape, strict=True):
        flat = flat * size + index
    return start + flat * difference.info.dtype.itemsize


def _last_nonzero(path: Path) -> int:
    """Find the last byte that is not 0, from the end; -1 if there is none."""
    buffer = bytearray(1 << 20)
    with opened(path) as (file, size):
        for end in range(size, 0, -len(buffer)):
            start = max(end - len(buffer), 0)
            file.seek(start)
            view = memoryview(buffer)[: end - start]
            left = bytes(view[: read_exactly(file, view)]).rstrip(b"\0")
            if left:
                return start + len(left) - 1
    return -1

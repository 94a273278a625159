"""Bytes that were lost, added, flipped or converted on the way."""

import numpy as np

from zeroinit_cli.commands.verification.causes.evidence import FileEvidence
from zeroinit_cli.commands.verification.causes.openings import truncated
from zeroinit_cli.commands.verification.findings import Cause
from zeroinit_cli.store.hashing import BLOCK_BYTES
from zeroinit_cli.store.stream import data_blocks
from zeroinit_cli.text import counted

_MOST_FLIPPED = 8  # bits that rot; more of them are more than one accident
_LEAST_HOLE = 4096  # bytes of 0 at the end that no edit of an element explains: a page
_WINDOW_BYTES = 1 << 20  # in which a conversion of line ends must show


def cut_short(evidence: FileEvidence) -> Cause | None:
    """All bytes that are there are right, and the last are not there."""
    comparison = evidence.comparison
    missing = comparison.size < comparison.expected_size
    if missing and not evidence.differences and evidence.header_is_right:
        return truncated(comparison.size, comparison.expected_size)
    return None


def appended(evidence: FileEvidence) -> Cause | None:
    """All bytes are right, and others follow."""
    more = evidence.comparison.size - evidence.comparison.expected_size
    if more > 0 and not evidence.differences and evidence.header_is_right:
        text = f"{counted(more, 'byte')} appended by something; all before them are right"
        return Cause(kind="appended", text=text)
    return None


def flipped(evidence: FileEvidence) -> Cause | None:
    """A few bits, each in an element or byte of its own, of one tensor or of the header."""
    if evidence.comparison.size != evidence.comparison.expected_size:
        return None
    header = np.bitwise_count(evidence.flipped_header_bytes())
    bits = int(header.sum(dtype=np.int64))
    places = int(np.count_nonzero(header))
    for difference in evidence.differences:
        bits += difference.bits
        places += difference.count
    spots = len(evidence.differences) + bool(header.any())
    if spots != 1 or bits > _MOST_FLIPPED or bits != places:
        return None
    where = (
        f"tensor {evidence.differences[0].info.name!r}" if evidence.differences else "the header"
    )
    what = "1 bit of the file is" if bits == 1 else f"{bits} bits of the file are"
    return Cause(
        kind="bit-rot",
        text=f"bit rot: {what} flipped, in {where}",
        hint="copy the file again; if it happens again, check the disk and the memory",
    )


def never_written(evidence: FileEvidence) -> Cause | None:
    """From somewhere on all is 0, although it should not be."""
    if not evidence.header_is_right or not evidence.differences:
        return None
    size = evidence.comparison.size
    if size != evidence.comparison.expected_size or not _all_found_zero(evidence):
        return None
    end = evidence.last_nonzero() + 1
    if end > evidence.position(evidence.differences[0]) or size - end < _LEAST_HOLE:
        return None
    return Cause(
        kind="unwritten",
        text="a download or write that stopped in a file whose size was set before: "
        f"from byte {end:,} on all is 0",
    )


def _all_found_zero(evidence: FileEvidence) -> bool:
    return all(each.found in ("0", "0.0", "false") for each in evidence.differences)


def converted_line_ends(evidence: FileEvidence) -> Cause | None:
    """The bytes after a conversion of line ends, which Git makes where it is told `text`."""
    found = evidence.start(_WINDOW_BYTES)
    expected = _expected_start(evidence)
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


def _expected_start(evidence: FileEvidence) -> bytes:
    parts, size = [evidence.header[:_WINDOW_BYTES]], len(evidence.header)
    buffer = np.empty(BLOCK_BYTES, np.uint8)
    for block in data_blocks(evidence.plan, lambda: buffer):
        if size >= _WINDOW_BYTES:
            break
        room = _WINDOW_BYTES - size
        part = bytes(min(block, room)) if isinstance(block, int) else block[:room].tobytes()
        parts.append(part)
        size += len(part)
    return b"".join(parts)

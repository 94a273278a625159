"""Read the header of a checkpoint that a stranger made: no claim of it is believed."""

from typing import IO

from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.files import read_exactly
from zeroinit_cli.store.header import PREFIX_BYTES, Header, decode_header, header_length


def read_header(file: IO[bytes], size: int, where: str) -> Header:
    """The validated header of an open file that stands at its start.

    Raises:
        CheckpointError: it is not a sound checkpoint.
    """
    return decode_header(header_bytes(file, size, where)[PREFIX_BYTES:], size, where)


def header_bytes(file: IO[bytes], size: int, where: str) -> bytes:
    """All bytes before the first tensor, of an open file that stands at its start.

    Raises:
        CheckpointError: the file does not hold as many as it announces.
    """
    prefix = bytearray(PREFIX_BYTES)
    count = read_exactly(file, memoryview(prefix))
    length = header_length(bytes(prefix[:count]), size, where)
    text = bytearray(length)  # at most what the file holds: no claim is believed
    if read_exactly(file, memoryview(text)) < length:
        raise CheckpointError("the file shrank while it was read", where=where)
    return bytes(prefix + text)

"""Standard streams that may be closed, full or gone: lost data is an error, a lost message is not.

All output goes through these streams, also that of rich, typer and of libraries' warnings.
"""

import io
import os
import select
import sys
from typing import Any, TextIO

from zeroinit_cli.errors import OutputError, reason_of


class ClosedPipeError(BaseException):
    """The reader of our output has gone. No Exception: nothing on the way may handle it."""


def prepare_streams() -> None:
    """Replace the interpreter's standard streams by ours."""
    for number in range(3):
        if not _is_open(number):
            # Else the next file opened, even a checkpoint, would get this number, and a library's
            # output would go into it. Read-only, so that writing still fails.
            os.open(os.devnull, os.O_RDONLY)
    sys.stdout = _stream(sys.stdout, 1, _Data)
    sys.stderr = _stream(sys.stderr, 2, _Messages)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _stream(old: TextIO | None, number: int, kind: "type[_Raw]") -> TextIO:
    if old is None:  # it was closed when we were started
        return io.TextIOWrapper(io.BufferedWriter(kind(io.FileIO(number, "w", closefd=False))))
    buffer = getattr(old, "buffer", None)
    if buffer is None:  # no stream of the interpreter's own
        return old
    old.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(getattr(buffer, "raw", buffer))),
        encoding=old.encoding,
        errors="backslashreplace",  # a name that the terminal's encoding lacks is shown escaped
        line_buffering=getattr(old, "line_buffering", False),
        write_through=getattr(old, "write_through", False),
    )


class _Raw(io.RawIOBase):
    """A stream that reports its first failure; later writes go nowhere.

    The interpreter flushes its streams when it ends, and would complain a second time.
    """

    def __init__(self, file: Any):
        self._file = file
        self._lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._file.fileno())

    def isatty(self) -> bool:
        return bool(self._file.isatty())

    def write(self, data: Any) -> int:
        if self._lost:
            return len(data)
        try:
            while (count := self._file.write(data)) is None:
                select.select([], [self], [])  # a pipe that another program made non-blocking
        except OSError as error:
            self._lost = True
            self.lose(error)
            return len(data)
        return int(count)

    def lose(self, error: OSError) -> None:
        """Handle the first failure of a write."""


class _Messages(_Raw):
    """Standard error: its failures cannot be reported anywhere."""


class _Data(_Raw):
    """Standard output: a failure ends the command, since data was not delivered."""

    def lose(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise ClosedPipeError from error
        raise OutputError("cannot write to standard output", found=reason_of(error)) from error

"""The entry point: signals, exit codes, and the one place where errors are rendered.

Exit codes: 0 all well; 1 a verification that failed; 2 usage, source, lock or I/O; 70 a fault of
ours; 130 SIGINT; 143 SIGTERM; 141 a closed pipe.
"""

import os
import signal
import sys
from types import FrameType

from typer.exceptions import TyperException

from zeroinit_cli import __version__
from zeroinit_cli.cli.app import app
from zeroinit_cli.cli.console import ClosedPipeError, say
from zeroinit_cli.errors import UsageError, ZeroinitError, printable, reason_of

_USAGE, _FAULT, _CLOSED_PIPE, _SIGNALLED = 2, 70, 141, 128
_ISSUES = "https://github.com/zeroinit/zeroinit/issues"


class _InterruptedError(BaseException):
    """A signal asked us to stop. Not an Exception: nothing on the way may swallow it."""

    def __init__(self, number: int):
        self.number = number
        super().__init__()


def main() -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that the terminal's encoding lacks is shown escaped, in every locale.
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        code = run()
    except ClosedPipeError:
        code = _CLOSED_PIPE
    if code == _CLOSED_PIPE:
        # The interpreter flushes standard output when it ends, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _InterruptedError(number)


def run() -> int:
    """Run the command line and return its exit code; what goes wrong is rendered here."""
    try:
        # Not standalone: Typer would exit 1 for our exceptions and print its own boxes.
        return int(app(standalone_mode=False) or 0)
    except ZeroinitError as error:
        say(str(error))
        return error.exit_code
    except TyperException as error:
        return _report_usage(error)
    except _InterruptedError as error:
        say(f"interrupted by {signal.Signals(error.number).name}; no file is left half written")
        return _SIGNALLED + error.number
    except MemoryError:
        say("error: out of memory")
        return _USAGE
    except OSError as error:
        place = printable(str(error.filename)) if error.filename else "an operation on a file"
        say(f"error: the system refused in {place}\n  found: {reason_of(error)}")
        return _USAGE
    except Exception as error:  # noqa: BLE001 - the one place; anything here is our fault
        return _report_fault(error)


def _report_usage(error: TyperException) -> int:
    """What Typer found wrong with the words of the command line, in our shape."""
    message = error.format_message().strip().rstrip(".")
    if not message:  # the help was asked for by giving no arguments, and has been printed
        return _USAGE
    say(
        str(
            UsageError(
                message[0].lower() + message[1:],
                where="the command line",
                hint="zeroinit --help, or zeroinit COMMAND --help",
            )
        )
    )
    return _USAGE


def _report_fault(error: Exception) -> int:
    import traceback

    lines = "".join(traceback.format_exception(error)).rstrip()
    say(
        f"{lines}\n\nerror: a fault of zeroinit {__version__}, not of yours\n"
        f"  found: {type(error).__name__}: {printable(str(error))}\n\n"
        f"hint: please report it with the lines above: {_ISSUES}"
    )
    return _FAULT


if __name__ == "__main__":
    main()

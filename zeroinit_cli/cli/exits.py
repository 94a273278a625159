"""The exit code and the message of every exception that ends a command."""

import traceback
from pathlib import Path

from typer.exceptions import TyperException

from zeroinit_cli import __version__
from zeroinit_cli.cli.streams import ClosedPipeError
from zeroinit_cli.errors import UsageError, ZeroinitError, printable, reason_of

USAGE, FAULT, CLOSED_PIPE = 2, 70, 141
_ISSUES = "https://github.com/zeroinit/zeroinit/issues"


def ending_of(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the message of an exception; the message may be empty.

    Raises:
        BaseException: the same, if it is nothing that ends a command.
    """
    match error:
        case ClosedPipeError():
            return CLOSED_PIPE, ""
        case SystemExit(code=code):  # Typer's, after printing a shell's completions
            return code if isinstance(code, int) else USAGE if code else 0, ""
        case Exception():
            known = _known(error)
            return (known.exit_code, str(known)) if known else (FAULT, _report(error))
    raise error


def _known(error: Exception) -> ZeroinitError | None:
    """Turn an exception that a person can mend into our error; None for a fault of ours."""
    match error:
        case ZeroinitError():
            return error
        case TyperException():
            message = error.format_message().strip().rstrip(".")
            return UsageError(
                message[0].lower() + message[1:],
                where="the command line",
                hint="zeroinit --help, or zeroinit COMMAND --help",
            )
        case MemoryError():
            return ZeroinitError("out of memory")
        case ImportError() if (error.name or "").partition(".")[0] != __name__.partition(".")[0]:
            library = error.name or "a library"
            return ZeroinitError(
                f"{library} cannot be imported",
                found=f"{type(error).__name__}: {error}",
                hint="install zeroinit again with what it depends on; without torch there is "
                "zeroinit verify --hash-only",
            )
        case OSError():
            place = str(error.filename) if error.filename else _nameless_place()
            return ZeroinitError("the system refused", where=place, found=reason_of(error))
    return None


def _nameless_place() -> str:
    try:
        Path.cwd()
    except OSError:
        return "the current folder, which is gone"
    return "an operation on a file"


def _report(error: Exception) -> str:
    text = "".join(traceback.format_exception(error)).rstrip()
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return (
        f"{lines}\n\n"
        f"error: a fault of zeroinit {__version__}, not of yours\n"
        f"  found: {type(error).__name__}: {printable(str(error))}\n\n"
        f"hint: please report it with the lines above: {_ISSUES}"
    )

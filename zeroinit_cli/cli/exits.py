"""The exit code and the message of every exception that ends a command."""

import re
import traceback
from pathlib import Path

from typer.exceptions import TyperException

from zeroinit_cli import __version__
from zeroinit_cli.cli.streams import ClosedPipeError
from zeroinit_cli.errors import UsageError, ZeroinitError, printable, reason_of

USAGE, FAULT, CLOSED_PIPE = 2, 70, 141
_NEAR = re.compile(r"(.*?)(?:\. Did you mean (.*)\?| \(Possible options: (.*)\))")
_WANTED = {
    "version": "zeroinit --version",
    "help": "zeroinit --help, or zeroinit COMMAND --help",
    "init": "zeroinit generate SOURCE -o FILE",
}
"""Commands of other tools that people type, and what they are here."""
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
            from zeroinit_cli.commands.foreign_files import named

            return named(error)
        case TyperException():
            return _misused(error.format_message())
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


def _misused(message: str) -> UsageError:
    """Turn Typer's message into ours: what it guesses is a hint."""
    problem, guesses = message.strip().rstrip("."), list[str]()
    if (near := _NEAR.fullmatch(problem)) is not None:
        problem = near[1]
        guesses = re.split(r", | or ", (near[2] or near[3]).replace("'", ""))
    command = re.fullmatch(r"No such command '(.*)'", problem)
    if command is not None and command[1] in _WANTED:
        hint = _WANTED[command[1]]
    elif guesses:
        hint = f"did you mean {' or '.join(guesses)}?"
    else:
        hint = "zeroinit --help, or zeroinit COMMAND --help"
    return UsageError(problem[0].lower() + problem[1:], where="the command line", hint=hint)


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

"""The entry point: signals, exit codes, and the one place where errors are rendered.

Exit codes: 0 all well; 1 a verification that failed; 2 usage, source, lock or I/O; 70 a fault of
ours; 130 SIGINT; 143 SIGTERM; 141 a closed pipe.

Signal handlers are set before other imports, so that a signal during an import is handled, too.
"""

import gc
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALLED = 128
_OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""Importing torch makes some 500,000 objects that all stay: Python's default of 700 walks them
again and again, for a fifth of the time of `generate resnet18`. Garbage stays bounded: some MB."""
_arrived: list[int] = []
"""Signals, first to last: code on the way can turn our exception into one of its own."""


class _InterruptedError(BaseException):
    """A signal to stop. Not an Exception: nothing on the way may swallow it."""


def main() -> None:
    """Run the command line and exit with its code."""
    _on_signals(_interrupt)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        code = run(_prepare)
    except _InterruptedError:  # another signal, while an error was printed
        code = _SIGNALLED + _arrived[0]
    _on_signals(signal.SIG_IGN)  # the exit code is decided; no signal may change it
    sys.exit(code)


def _on_signals(action: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _arrived.append(number)
    raise _InterruptedError


def _prepare() -> None:
    from zeroinit_cli.cli.streams import prepare_streams

    prepare_streams()


def run(prepare: Callable[[], None] = lambda: None) -> int:
    """Run the command line and return its exit code; what goes wrong is rendered here.

    Args:
        prepare: what a process of its own does first.
    """
    try:
        prepare()
        code = _run_app()
        sys.stdout.flush()  # help is printed past our `out`
    except BaseException as error:  # noqa: BLE001 - the one place; what is not ours is raised again
        from zeroinit_cli.cli.console import say

        code, words = _ending(error)
        if words:
            say(words)
    return code


def _ending(error: BaseException) -> tuple[int, str]:
    if _arrived:
        name = signal.Signals(_arrived[0]).name
        return _SIGNALLED + _arrived[0], f"interrupted by {name}; no file is left half written"
    from zeroinit_cli.cli.exits import ending_of

    return ending_of(error)


def _run_app() -> int:
    from typer.exceptions import TyperException

    from zeroinit_cli.cli.app import app
    from zeroinit_cli.cli.exits import USAGE

    try:
        # Not standalone: Typer would exit 1 for our exceptions and print its own boxes.
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        if error.format_message().strip():
            raise
        return USAGE  # no arguments were given, and the help has been printed


if __name__ == "__main__":
    main()

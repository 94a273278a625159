"""Do independent tasks in several processes, with one answer whatever their number.

Processes are started anew, so nothing of ours is copied into them but what a task holds. They
listen to no signal: whoever started them ends them, and they end by themselves once it is gone.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.progress import Advance, no_advance

Task = TypeVar("Task")
Answer = TypeVar("Answer")
_TOLD_EVERY = 0.1  # seconds between what a process tells of its progress
_PER_CORE = 2  # processes of each core at most: more would only cost memory


def in_order(
    work: Callable[[Task, Advance], Answer],
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    advance: Advance = no_advance,
) -> list[Answer]:
    """The answers to the tasks, in their order.

    Args:
        work: a module's function. What it raises ends all tasks: it is raised here.
        tasks: what can be pickled, if there are several processes.
        jobs: processes to use; with one, or one task, all is done in this one.
        advance: told the bytes that any task has done.

    Raises:
        ZeroinitError: of a task, or a process was killed.
        Exception: of a task.
    """
    count = min(jobs, len(tasks), _PER_CORE * (os.cpu_count() or 1))
    if count <= 1:
        return [work(task, advance) for task in tasks]
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(tasks))
    with _workers(work, count) as workers:
        busy = {connection for connection in workers if _hand_out(connection, waiting)}
        while busy:
            for connection in cast(list[Connection], wait(list(busy))):
                number, answer = _heard(connection, workers, advance)
                if number is None:
                    continue
                answers[number] = answer
                if not _hand_out(connection, waiting):
                    busy.discard(connection)
    return [answers[number] for number in range(len(tasks))]


@contextmanager
def _workers(work: Any, count: int) -> Iterator[dict[Connection, Any]]:
    """Processes by our ends of their pipes; none outlives the block."""
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, Any] = {}
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True)
            with _deaf():
                workers[ours] = process
                process.start()
            theirs.close()
        yield workers
    finally:
        for connection, process in workers.items():
            connection.close()
            if process.pid is not None:
                process.kill()
                process.join()


@contextmanager
def _deaf() -> Iterator[None]:
    """Signals wait, here until the block ends, and for ever in a process that starts in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where Ctrl-C is no signal to a child
        yield
        return
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_out(connection: Connection, waiting: Iterator[tuple[int, Any]]) -> bool:
    """Give a process its next task, if there is one."""
    task = next(waiting, None)
    if task is not None:
        with suppress(BrokenPipeError):  # it is gone, which is heard next
            connection.send(task)
    return task is not None


def _heard(
    connection: Connection, workers: dict[Connection, Any], advance: Advance
) -> tuple[int | None, Any]:
    """What a process says: how far it is, an answer with its number, or what went wrong."""
    try:
        kind, value = connection.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _killed(workers[connection]) from error
    if kind == "advance":
        advance(value)
        return None, None
    if kind == "raised":
        raise value
    number, answer = value
    return number, answer


def _killed(process: Any) -> ZeroinitError:
    process.join()
    code = process.exitcode
    return ZeroinitError(
        "a process that --jobs started has died",
        found=f"signal {-code}" if code < 0 else f"exit code {code}",
        hint="fewer processes need less memory",
    )


def _serve(connection: Connection, work: Callable[[Any, Advance], Any]) -> None:
    """The life of a process: tasks come until the pipe is closed."""
    told = _Told(connection)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # whoever asked is gone
        for number, task in _received(connection):
            try:
                answer = work(task, told.advance)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
                _tell_error(connection, error)
                return
            told.flush()
            connection.send(("done", (number, answer)))


def _received(connection: Connection) -> Iterable[tuple[int, Any]]:
    while True:
        yield connection.recv()


def _tell_error(connection: Connection, error: BaseException) -> None:
    error.add_note("".join(traceback.format_exception(error)))  # a traceback is not pickled
    connection.send(("raised", error))


class _Told:
    """Tells of progress, but not of every block."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._nbytes = 0
        self._last = time.monotonic()

    def advance(self, nbytes: int) -> None:
        self._nbytes += nbytes
        if time.monotonic() - self._last > _TOLD_EVERY:
            self.flush()

    def flush(self) -> None:
        self._connection.send(("advance", self._nbytes))
        self._nbytes, self._last = 0, time.monotonic()

"""Independent tasks in several processes, with the same answers whatever the number of processes.

Processes are started anew (spawn): they get nothing from this one but their tasks. They ignore
signals: the process that started them ends them, and they end by themselves if it is gone.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.progress import Advance, no_advance

Task = TypeVar("Task")
Answer = TypeVar("Answer")
_REPORT_SECONDS = 0.1
"""Between two reports of a process on its progress."""
_MOST_PER_CORE = 2
"""Processes for each core: more would only cost memory."""


def in_order(
    work: Callable[[Task, Advance], Answer],
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    advance: Advance = no_advance,
) -> list[Answer]:
    """Do tasks in several processes, and return the answers in the order of the tasks.

    Args:
        work: a function of a module. What it raises ends all tasks, and is raised here.
        tasks: values that can be pickled, if there are several processes.
        jobs: processes to use; with one, or one task, all is done in this process.
        advance: told the bytes that any task has done.

    Raises:
        ZeroinitError: a process was killed, or a task raised it.
        Exception: a task raised it.
    """
    count = min(jobs, len(tasks), _MOST_PER_CORE * (os.cpu_count() or 1))
    if count <= 1:
        return [work(task, advance) for task in tasks]
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(tasks))
    with _workers(work, count) as workers:
        busy = {connection for connection in workers if _hand_out(connection, waiting)}
        while busy:
            for connection in cast(list[Connection], wait(list(busy))):
                answered = _receive(connection, workers[connection], advance)
                if answered is None:
                    continue
                number, answer = answered
                answers[number] = answer
                if not _hand_out(connection, waiting):
                    busy.discard(connection)
    return [answers[number] for number in range(len(tasks))]


@contextmanager
def _workers(work: Any, count: int) -> Iterator[dict[Connection, Any]]:
    """Start processes, and yield them by our ends of their pipes; all are ended with the block."""
    from zeroinit_cli.atomic import undisturbed  # it imports filelock, which takes time

    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, Any] = {}
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True)
            with undisturbed(), _signals_blocked():  # a signal would leave a process half started
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
def _signals_blocked() -> Iterator[None]:
    """Block signals in the block; a process that is started in it never gets them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows sends no Ctrl-C to a child
        yield
        return
    # Python starts this helper with the first process, and before 3.13 then unblocks the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_out(connection: Connection, waiting: Iterator[tuple[int, Any]]) -> bool:
    """Send a process its next task, if there is one."""
    task = next(waiting, None)
    if task is not None:
        with suppress(BrokenPipeError):  # the process is gone: the next receive reports it
            connection.send(task)
    return task is not None


def _receive(connection: Connection, process: Any, advance: Advance) -> tuple[int, Any] | None:
    """Receive what a process sends.

    Returns:
        a task's number and its answer, or None if the process only reported its progress.

    Raises:
        Exception: a task raised it.
        ZeroinitError: the process was killed.
    """
    try:
        kind, value = connection.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _killed(process) from error
    match kind:
        case "raised":
            raise value
        case "advance":
            advance(value)
            return None
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
    """Do tasks until the pipe is closed: the whole life of a process."""
    progress = _ProgressReports(connection)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            number, task = connection.recv()
            try:
                answer = work(task, progress.advance)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except BaseException as error:  # noqa: BLE001 - raised again in the parent
                _send_error(connection, error)
                return
            progress.flush()
            connection.send(("done", (number, answer)))


def _send_error(connection: Connection, error: BaseException) -> None:
    error.add_note("".join(traceback.format_exception(error)))  # a traceback is not pickled
    connection.send(("raised", error))


class _ProgressReports:
    """Progress reports through a pipe, at most ten a second."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._nbytes = 0
        self._last = time.monotonic()

    def advance(self, nbytes: int) -> None:
        self._nbytes += nbytes
        if time.monotonic() - self._last > _REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._connection.send(("advance", self._nbytes))
        self._nbytes, self._last = 0, time.monotonic()

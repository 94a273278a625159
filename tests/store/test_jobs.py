"""Tasks in several processes: answers in order, errors raised here, a killed process noticed."""

import subprocess
import sys

import pytest

from tests import tasks
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.store.jobs import in_order


def test_a_tasks_error_is_raised_where_it_was_asked_for() -> None:
    for jobs in (1, 2):
        with pytest.raises(tasks.WrongError, match="task 1"):
            in_order(tasks.fail_at_1, [0, 1, 2, 3], jobs=jobs)


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(ZeroinitError) as caught:
        in_order(tasks.die, [0, 1], jobs=2)
    error = caught.value
    assert (error.problem, error.found) == ("a process that --jobs started has died", "signal 9")


def test_answers_come_in_the_tasks_order() -> None:
    assert in_order(tasks.slow_first, list(range(5)), jobs=3) == [0, 1, 4, 9, 16]


def test_no_signal_reaches_a_process_the_first_one_of_a_run_included() -> None:
    """In a new process: there Python starts its resource tracker with the first task's process."""
    script = (
        "from tests import tasks; from zeroinit_cli.store.jobs import in_order;"
        "print(in_order(tasks.are_signals_blocked, [0, 1, 2, 3], jobs=2))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[True, True, True, True]\n"

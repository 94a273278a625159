"""Steps that belong together: a signal between them is answered behind them."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from zeroinit_cli.atomic import undisturbed


class Interrupted(BaseException):
    pass


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal that raises, as ours do."""

    def interrupt(number: int, _: object) -> None:
        raise Interrupted(number)

    before = signal.signal(request.param, interrupt)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_is_answered_at_the_end(number: int) -> None:
    steps = []
    with pytest.raises(Interrupted, match=str(int(number))):  # noqa: PT012 - the steps are the test
        with undisturbed():
            steps.append("first")
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            steps.append("second")
        steps.append("behind")
    assert steps == ["first", "second"]
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), number)


def test_without_a_signal_all_goes_on_and_an_error_is_kept(number: int) -> None:
    before = signal.getsignal(number)
    with undisturbed():
        pass
    with pytest.raises(ValueError, match="ours"), undisturbed():
        raise ValueError("ours")
    assert signal.getsignal(number) is before


def test_in_another_thread_it_changes_nothing(number: int) -> None:
    before, seen = signal.getsignal(number), []

    def run() -> None:
        with undisturbed():
            seen.append(signal.getsignal(number))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]

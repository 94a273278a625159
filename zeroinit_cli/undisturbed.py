"""A few steps that belong together, whatever signal arrives between them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Answer SIGINT and SIGTERM at the end of the block, which should be a short one.

    They are taken by a handler of ours: one that is only blocked in this thread would be given to
    another, numpy's have some, and Python answers it here all the same. Handlers can be set in the
    main thread alone; in another nothing interrupts the block anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, signal.SIG_DFL if action is None else action)
        if arrived:
            signal.raise_signal(arrived[0])

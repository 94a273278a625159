"""Work for several processes, which can only be found by name in a module."""

import os
import signal
import sys
import time

from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.progress import Advance


class WrongError(Exception):
    """What a task raises."""


def fail_at_1(task: int, advance: Advance) -> int:
    if task == 1:
        raise WrongError("task 1")
    return task


def die(task: int, advance: Advance) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def slow_first(task: int, advance: Advance) -> int:
    time.sleep(0.5 if task == 0 else 0)
    advance(1)
    return task * task


def refuse(task: int, advance: Advance) -> int:
    raise ZeroinitError("no", where="x", expected="y", found="z", hint="h")


def modules(task: int, advance: Advance) -> list[str]:
    """Packages that a process has imported when it has written a shard's bytes."""
    from tests.plans import plan, tensor
    from zeroinit_cli.store.shards import digest_shards, split

    digest_shards(split(plan(tensor("a", (2,))), None), advance=advance)
    return sorted({name.partition(".")[0] for name in sys.modules})


def are_signals_blocked(task: int, advance: Advance) -> bool:
    return {signal.SIGINT, signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())

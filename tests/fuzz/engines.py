"""Two ways to come by mutants: blind, by a seed, or led by the coverage of the reader (atheris)."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.session import Session
from tests.fuzz.target import Target

_PURE = ["zeroinit_cli", "tomllib", "yaml"]  # what coverage is measured of: the readers
_NATIVE_SHARE = 0.3  # of mutants that libFuzzer makes itself


def blind(session: Session, executions: int, seconds: float, seed: int) -> None:
    """The same mutants for the same seed, everywhere."""
    chance, corpus = random.Random(seed), session.target.seeds()
    for _ in range(executions):
        if time.monotonic() - session.began > seconds:
            break
        session.execute(session.target.mutate(chance.choice(corpus), corpus, chance))


def guided(
    load: Callable[[], Target], output: Path, executions: int, seconds: float, seed: int
) -> None:
    """Mutants of what was found to reach new lines; prints the figures and ends the process.

    Args:
        load: imports the target, whose readers are instrumented on the way.
        output: the folder for findings.
        executions: at most so many.
        seconds: at most so long.
        seed: of libFuzzer.
    """
    import atheris

    with atheris.instrument_imports(include=_PURE, enable_loader_override=False):
        target = load()
    session, corpus = Session(target, output), target.seeds()

    def mutate(data: bytes, most: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < _NATIVE_SHARE:
            return bytes(atheris.Mutate(data, most))
        return target.mutate(data, corpus, chance)[:most]

    def execute(data: bytes) -> None:
        session.execute(data)
        if session.executions >= executions or time.monotonic() - session.began > seconds:
            print(session.report(), flush=True)
            os._exit(bool(session.findings))  # libFuzzer knows no other end that lets us speak

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(corpus):
            (Path(folder) / str(number)).write_bytes(data)
        # a seed of 0 means a random one to it
        options = [f"-seed={seed + 1}", "-max_len=20000", "-verbosity=0", "-timeout=60"]
        atheris.Setup([sys.argv[0], *options, folder], execute, custom_mutator=mutate)
        atheris.Fuzz()

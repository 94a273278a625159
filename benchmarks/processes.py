"""Run one measurement in a fresh process: how long it took and how much memory it held at most."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Process

ROOT = Path(__file__).resolve().parents[1]
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def run_python(module: str, *arguments: str) -> tuple[Process, str]:
    """Run `python -m module arguments...` with this interpreter, as `run` does."""
    return run([sys.executable, "-m", module, *arguments])


def run(command: Sequence[str]) -> tuple[Process, str]:
    """Run a command in the repository's root and wait for it; its messages pass through.

    The peak is never less than this process's own, which the child is forked from: import nothing
    large here.

    Returns:
        what it used, interpreter and imports included, and what it printed to standard output.

    Raises:
        subprocess.CalledProcessError: it ended with another exit code than 0.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        output = child.stdout.read() if child.stdout else ""
        # wait4 rather than wait: it also tells what this one child used.
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Process(seconds=seconds, peak_bytes=usage.ru_maxrss * _MAXRSS_UNIT), output

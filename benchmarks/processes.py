"""Run one measurement in a fresh process: how long it took and how much memory it held at most."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A whole process: seconds from start to end, its largest resident set, what it printed."""

    seconds: float
    peak_bytes: int
    output: str


def run_child(module: str, *arguments: str | Path) -> tuple[Process, Any]:
    """Run `python -m benchmarks.children.MODULE arguments...`, and read the JSON that it prints."""
    process = run_python("-m", f"benchmarks.children.{module}", *map(str, arguments))
    return process, json.loads(process.output)


def run_python(*arguments: str) -> Process:
    """Run this interpreter with these arguments, as `run` does."""
    return run([sys.executable, *arguments])


def run(command: Sequence[str]) -> Process:
    """Run a command in the repository's root and wait for it; its messages pass through.

    The peak is never less than this process's own, which the child is forked from: import nothing
    large here.

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
    return Process(seconds=seconds, peak_bytes=usage.ru_maxrss * _MAXRSS_UNIT, output=output)


def sha256_seconds(path: Path, expected: str) -> dict[str, float]:
    """`openssl dgst -sha256` of a file, the second of two runs; empty without openssl.

    The first read of a new file can cost the kernel a second more, which would flatter us.

    Raises:
        RuntimeError: the file's SHA-256 is not the expected one.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        return {}
    command = [openssl, "dgst", "-sha256", "-r", str(path)]
    run(command)
    process = run(command)
    if process.output.split()[0] != expected:
        raise RuntimeError(f"openssl found {process.output.split()[0]}, the writer {expected}")
    return {"sha256_seconds": process.seconds}

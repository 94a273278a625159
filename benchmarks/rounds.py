"""One round of one model: ours, SHA-256 alone, the whole command, the reference."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import OursRun, Process, ReferenceRun, Round
from benchmarks.processes import run, run_python


def measure_round(name: str, *, with_reference: bool) -> Round:
    """Measure everything for one model, each part in a process and a folder of its own.

    Raises:
        subprocess.CalledProcessError: a part failed.
        RuntimeError: the file's SHA-256 is not what was computed while it was written.
    """
    with _new_file() as path:
        _, output = run_python("benchmarks.ours", name, str(path))
        ours = OursRun(**json.loads(output))
        sha256_seconds = _measure_sha256(path, ours.sha256)
    with _new_file() as path:
        command, _ = run_python(
            "zeroinit_cli", "generate", name, "-o", str(path), "--no-lock", "--quiet"
        )
    reference, reference_process = _measure_reference(name) if with_reference else (None, None)
    return Round(
        ours=ours,
        sha256_seconds=sha256_seconds,
        command=command,
        reference=reference,
        reference_process=reference_process,
    )


@contextmanager
def _new_file() -> Iterator[Path]:
    """A path in the temporary folder (TMPDIR chooses the disk); all is removed afterwards."""
    with TemporaryDirectory(prefix="zeroinit-bench-") as folder:
        yield Path(folder) / "init.safetensors"


def _measure_sha256(path: Path, expected: str) -> float | None:
    """The second of two runs: the first read of a new file can cost the kernel a second more."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    command = [openssl, "dgst", "-sha256", "-r", str(path)]
    run(command)
    process, output = run(command)
    if output.split()[0] != expected:
        raise RuntimeError(f"openssl found {output.split()[0]}, the writer {expected}")
    return process.seconds


def _measure_reference(name: str) -> tuple[ReferenceRun, Process]:
    with _new_file() as path:
        process, output = run_python("benchmarks.reference", name, str(path))
    return ReferenceRun(**json.loads(output)), process

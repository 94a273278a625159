"""A child process: plan a model, then time values + write + hash alone.

python -m benchmarks.ours MODEL PATH
"""

import gc
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import OursRun
from benchmarks.memory import growth, reset_peak
from zeroinit_cli.architectures import plan_source
from zeroinit_cli.architectures.importing import import_torchvision
from zeroinit_cli.checkpoint.writer import write_checkpoint
from zeroinit_cli.files.replacing import guarded
from zeroinit_cli.options import Options
from zeroinit_cli.source import parse_source


def measure(name: str, path: Path) -> OursRun:
    """Plan the model and write its checkpoint to `path`."""
    import_torchvision()  # the imports are part of the whole command, not of the plan
    started = time.perf_counter()
    plan = plan_source(parse_source(name), Options())
    plan_seconds = time.perf_counter() - started
    gc.collect()  # what building left behind must not make room for the writer
    before = reset_peak()
    started = time.perf_counter()
    with guarded(path):
        sha256 = write_checkpoint(plan, path)
    return OursRun(
        write_seconds=time.perf_counter() - started,
        plan_seconds=plan_seconds,
        growth_bytes=growth(before),
        file_bytes=path.stat().st_size,
        sha256=sha256,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], Path(sys.argv[2])))))

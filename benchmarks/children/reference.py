"""A child process: PyPI's zero_init on a torchvision model, as its own README applies it.

python -m benchmarks.reference MODEL PATH
"""

import hashlib
import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.figures import ReferenceRun
from zeroinit_cli.architectures.importing import import_torchvision


def measure(name: str, path: Path) -> ReferenceRun:
    """Build, initialise, save and hash the model, the file at `path`."""
    models = import_torchvision().models
    # By name: whoever runs only the tests does not have it, and it ships no types.
    zero_init = importlib.import_module("zero_init")
    seconds: dict[str, float] = {}
    with _timed(seconds, "build_seconds"):
        model = models.get_model(name, weights=None)
    with _timed(seconds, "initialise_seconds"):
        model.apply(zero_init.ZerO_Init)
    with _timed(seconds, "save_seconds"):
        save_file(model.state_dict(), path, metadata={"format": "pt"})
    with _timed(seconds, "hash_seconds"), path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return ReferenceRun(**seconds)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], Path(sys.argv[2])))))

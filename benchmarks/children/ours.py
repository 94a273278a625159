"""Plan a model; then values + write + hash, verify and digest, each alone.

python -m benchmarks.children.ours MODEL PATH
"""

import json
import sys
from pathlib import Path

from benchmarks.children.timing import Figures, timed, weighed
from zeroinit_cli.architectures import plan_source
from zeroinit_cli.architectures.importing import import_torchvision
from zeroinit_cli.checkpoint.compare import compare_with_plan
from zeroinit_cli.checkpoint.stream import plan_sha256
from zeroinit_cli.checkpoint.writer import write_checkpoint
from zeroinit_cli.files.replacing import guarded
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Plan
from zeroinit_cli.source import parse_source


def measure(name: str, path: Path) -> tuple[Figures, str]:
    """Figures, and the SHA-256 of the checkpoint that is left at `path`."""
    import_torchvision()  # the imports are part of the whole command, not of the plan
    figures: Figures = {}
    with timed(figures, "plan"):
        plan = plan_source(parse_source(name), Options())
    sha256 = measure_plan(figures, plan, path)
    return figures, sha256


def measure_plan(figures: Figures, plan: Plan, path: Path) -> str:
    """Write, verify and hash the plan's file.

    Raises:
        RuntimeError: the file is not what the plan gives.
    """
    with weighed(figures, "write"), guarded(path):
        sha256 = write_checkpoint(plan, path)
    with weighed(figures, "verify"):
        comparison = compare_with_plan(plan, path)
    with weighed(figures, "digest"):
        digest = plan_sha256(plan)
    if not comparison.same or digest != sha256:
        raise RuntimeError("the file is not what the plan gives")
    figures["file_bytes"] = path.stat().st_size
    return sha256


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))

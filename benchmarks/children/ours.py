"""Plan a model; then values + write + hash, verify and digest, each alone.

python -m benchmarks.children.ours MODEL PATH
"""

import json
import sys
from pathlib import Path

from benchmarks.children.steps import measure_plan
from benchmarks.children.timing import Figures, timed
from zeroinit_cli.models import plan_source
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source


def measure(name: str, path: Path) -> tuple[Figures, str]:
    """Figures, and the SHA-256 of the checkpoint that is left at `path`."""
    import_torchvision()  # the imports are part of the whole command, not of the plan
    figures: Figures = {}
    with timed(figures, "plan"):
        plan = plan_source(parse_source(name), Options())
    sha256 = measure_plan(figures, plan, path)
    return figures, sha256


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))

"""A model of very many small tensors: what each step costs for one of them.

python -m benchmarks.children.many COUNT PATH
"""

import json
import sys
from pathlib import Path

from torch import nn

from benchmarks.children.steps import measure_plan
from benchmarks.children.timing import Figures, timed, weighed
from zeroinit_cli import api


def measure(count: int, path: Path) -> Figures:
    """Plan, write and verify a module of `count` tensors, half weights and half biases."""
    figures: Figures = {"tensors": count}

    def build() -> nn.Module:
        return nn.Sequential(*(nn.Linear(8, 8) for _ in range(count // 2)))

    with timed(figures, "build"):
        build()
    with weighed(figures, "plan"):
        plan = api.plan(build)
    with timed(figures, "canonical"):
        plan.digest()
    measure_plan(figures, plan, path)
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))

"""The steps that need a plan and no torch, which processes that `--jobs` starts must not import."""

from pathlib import Path

from benchmarks.children.timing import Figures, weighed
from zeroinit_cli.atomic import guarded
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.store.compare import compare_with_plan
from zeroinit_cli.store.stream import plan_sha256
from zeroinit_cli.store.write import write_checkpoint


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

"""The figures of docs/reliability.md: python -m tests.reliability [--quick]

A small checkpoint is generated, and then its bytes, its lock and its sidecar are changed in every
way that tests/reliability/mutants.py knows. Prints how many changes were tried and how many each
judge accepted; exits 1 if one was. With --faults it kills instead: `generate` and updates of a
lock, at random moments.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.reliability.faults import killed
from tests.reliability.matrix import all_rows
from tests.reliability.small import small_checkpoint


def main() -> None:
    """Run, and print a table as the page has it."""
    arguments = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="some changes of each class")
    arguments.add_argument("--faults", type=int, metavar="MOMENTS", help="kill so many times")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.faults:
            seen = killed(Path(folder), chosen.faults, chosen.seed)
            print(
                f"{seen.kills} kills: every file whole, no entry lost; after {seen.new} a file was "
                f"the new one, after {seen.behind} its sidecar still the old one's, after "
                f"{seen.litter} there was litter, which the next run cleared"
            )
            return
        sys.exit(_matrix(Path(folder), quick=chosen.quick))


def _matrix(folder: Path, *, quick: bool) -> int:
    total: Counter[str] = Counter()
    print("| change | tried | of no meaning | accepted |\n| --- | ---: | ---: | --- |")
    with small_checkpoint(folder) as data:
        for row in all_rows(data, quick=quick):
            tried, accepted = row.tried - row.meaningless, row.accepted.total()
            total.update({"tried": tried, "accepted": accepted})
            by = ", ".join(f"{count} by {judge}" for judge, count in row.accepted.items())
            print(f"| {row.name} | {tried:,} | {row.meaningless:,} | {by} |", flush=True)
    print(f"\n{total['tried']:,} changes, {total['accepted']} accepted")
    return 1 if total["accepted"] else 0


if __name__ == "__main__":
    main()

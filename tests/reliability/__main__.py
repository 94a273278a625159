"""The figures of docs/reliability.md: python -m tests.reliability [--quick]

A small checkpoint is generated, as one file and as a folder with shards, and then its bytes, its
lock and its sums are changed in every way that the modules of mutants here know. Prints how many
changes were tried and how many each judge accepted; exits 1 if one was. With --faults it kills
instead: `generate` and updates of a lock, at random moments.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.reliability.faults import killed
from tests.reliability.matrix import all_rows
from tests.reliability.rows import Row
from tests.reliability.sharded import all_folder_rows
from tests.reliability.small import small_checkpoint, small_shards


def main() -> None:
    """Run, and print tables as the page has them."""
    arguments = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="some changes of each class")
    arguments.add_argument("--faults", type=int, metavar="MOMENTS", help="kill so many times")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.faults:
            print(killed(Path(name), chosen.faults, chosen.seed))
            return
        sys.exit(_matrices(Path(name), quick=chosen.quick))


def _matrices(folder: Path, *, quick: bool) -> int:
    for name in ("file", "shards"):
        (folder / name).mkdir()
    with small_checkpoint(folder / "file") as data:
        accepted = _printed(all_rows(data, quick=quick))
    print()
    with small_shards(folder / "shards") as files:
        accepted += _printed(all_folder_rows(files, quick=quick))
    return 1 if accepted else 0


def _printed(rows: Iterable[Row]) -> int:
    """Print a table; how many changes of it were accepted."""
    total: Counter[str] = Counter()
    print("| change | tried | of no meaning | accepted |\n| --- | ---: | ---: | --- |")
    for row in rows:
        tried, accepted = row.tried - row.meaningless, row.accepted.total()
        total.update({"tried": tried, "accepted": accepted})
        by = ", ".join(f"{count} by {judge}" for judge, count in row.accepted.items())
        print(f"| {row.name} | {tried:,} | {row.meaningless:,} | {by} |", flush=True)
    print(f"\n{total['tried']:,} changes, {total['accepted']} accepted")
    return total["accepted"]


if __name__ == "__main__":
    main()

"""Write a checkpoint of a hand-made plan in shards of 1 GB, by some jobs on some cores.

python -m benchmarks.children.shards BYTES JOBS CORES FOLDER
"""

import json
import os
import sys
from pathlib import Path

from benchmarks.children.made import mixed
from benchmarks.children.timing import Figures, timed
from zeroinit_cli.commands.exchange import write_files
from zeroinit_cli.commands.location import Location
from zeroinit_cli.store.shards import split

_SHARD_BYTES = 1_000_000_000


def measure(nbytes: int, jobs: int, cores: int, folder: Path) -> Figures:
    """Write all shards; starting the jobs is a part of it, and so is the last flush."""
    if hasattr(os, "sched_setaffinity"):  # Linux; the jobs inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    shards = split(mixed(nbytes), _SHARD_BYTES)
    figures: Figures = {}
    with timed(figures, "write"):
        files, _ = write_files(shards, Location(path=folder, own_folder=True), jobs=jobs)
    figures["file_bytes"] = sum(file.size for file in files)
    return figures


if __name__ == "__main__":
    nbytes, jobs, cores = map(int, sys.argv[1:4])
    print(json.dumps(measure(nbytes, jobs, cores, Path(sys.argv[4]))))

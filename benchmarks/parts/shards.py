"""One job pinned to one core beside two jobs on two cores, over a checkpoint in shards."""

from collections.abc import Callable

from benchmarks.processes import run_child
from benchmarks.samples import (
    Part,
    Row,
    Series,
    as_megabytes,
    as_ratio,
    as_seconds,
    new_file,
    value,
)

_ROUNDS = 3

ROWS = (
    Row(label="two jobs, times faster", figure=value("speedup"), form=as_ratio),
    Row(label="one job on one core, s", figure=value("one_seconds"), form=as_seconds),
    Row(label="one job on two cores, s", figure=value("free_seconds"), form=as_seconds),
    Row(label="two jobs on two cores, s", figure=value("two_seconds"), form=as_seconds),
    Row(label="all files, MB", figure=value("file_bytes"), form=as_megabytes),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """Shards of 1 GB."""
    series = []
    for nbytes in (2_500_000_000, 10_000_000_000):
        name = f"{nbytes / 1e9:g} GB"
        samples = []
        for index in range(_ROUNDS):
            say(f"{name} in shards: round {index + 1}")
            sample = {}
            for key, jobs, cores in (("one", 1, 1), ("free", 1, 2), ("two", 2, 2)):
                with new_file() as path:
                    _, figures = run_child(
                        "shards", str(nbytes), str(jobs), str(cores), path.parent
                    )
                sample[f"{key}_seconds"] = figures["write_seconds"]
                sample["file_bytes"] = figures["file_bytes"]
            sample["speedup"] = sample["one_seconds"] / sample["two_seconds"]
            samples.append(sample)
        series.append(Series(name=name, samples=tuple(samples)))
    return Part(key="shards", title="Shards", rows=ROWS, series=tuple(series))

"""One enormous tensor in every type, and very many small ones."""

from collections.abc import Callable

from benchmarks.processes import run_child
from benchmarks.samples import (
    Part,
    Row,
    Series,
    as_megabytes,
    as_seconds,
    new_file,
    value,
)

_DTYPES = ("bfloat16", "float16", "float32", "float64")

COSTS = (
    Row(label="file, MB", figure=value("file_bytes"), form=as_megabytes),
    Row(label="values + hash, s", figure=value("digest_seconds"), form=as_seconds),
    Row(label="values + write + hash, s", figure=value("write_seconds"), form=as_seconds),
    Row(label="verify, s", figure=value("verify_seconds"), form=as_seconds),
    Row(label="memory of write, MB", figure=value("write_growth"), form=as_megabytes),
    Row(label="memory of verify, MB", figure=value("verify_growth"), form=as_megabytes),
)


MANY_ROWS = (
    Row(label="torch builds the module, s", figure=value("build_seconds"), form=as_seconds),
    Row(label="build twice + plan, s", figure=value("plan_seconds"), form=as_seconds),
    Row(label="memory of build + plan, MB", figure=value("plan_growth"), form=as_megabytes),
    Row(label="the plan's digest, s", figure=value("canonical_seconds"), form=as_seconds),
    *COSTS,
)


def measure_embedding(full: bool, say: Callable[[str], None]) -> Part:
    """A table of 256,000 x 8,192, whose 2^18 x 2^13 matrix nobody may make."""
    series = []
    for dtype in _DTYPES if full else _DTYPES[:1]:
        say(f"embedding of {dtype}")
        with new_file() as path:
            _, (sample, _) = run_child("made", "embedding", dtype, path)
        series.append(Series(name=dtype, samples=(sample,)))
    title = "An embedding of 256,000 x 8,192"
    return Part(key="embedding", title=title, rows=COSTS, series=tuple(series))


def measure_many(full: bool, say: Callable[[str], None]) -> Part:
    """Modules of many small tensors, built by torch."""
    series = []
    for count in (1_000, 10_000, 100_000) if full else (1_000, 10_000):
        say(f"{count:,} tensors")
        with new_file() as path:
            _, sample = run_child("many", str(count), path)
        series.append(Series(name=f"{count:,}", samples=(sample,)))
    return Part(key="many", title="Very many tensors", rows=MANY_ROWS, series=tuple(series))

"""One enormous tensor in every type, very many small ones, and one by each rule."""

from collections.abc import Callable

from benchmarks.processes import run_child, sha256_seconds
from benchmarks.samples import (
    Part,
    Row,
    Series,
    as_megabytes,
    as_ratio,
    as_seconds,
    new_file,
    ratio,
    value,
)

# Those of benchmarks.children.made, which would weigh on every child's peak if it were imported.
_RULES = (
    "Sylvester's expansion",
    "twisted expansion",
    "twisted contraction",
    "token table of signs",
    "signs around an identity",
    "signs around an expansion",
    "depthwise signs",
    "block means",
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


RULE_ROWS = (
    Row(label="file, MB", figure=value("file_bytes"), form=as_megabytes),
    Row(label="values + hash, s", figure=value("digest_seconds"), form=as_seconds),
    Row(label="openssl dgst -sha256, s", figure=value("sha256_seconds"), form=as_seconds),
    Row(
        label="values + hash / SHA-256 alone",
        figure=ratio(value("digest_seconds"), value("sha256_seconds")),
        form=as_ratio,
    ),
)


def measure_rules(full: bool, say: Callable[[str], None]) -> Part:
    """Values of each rule beside the hash of the same bytes."""
    series = []
    for name in _RULES:
        say(name)
        samples = []
        for _ in range(5 if full else 3):
            with new_file() as path:
                _, (sample, sha256) = run_child("made", "rule", name, path)
                samples.append(sample | sha256_seconds(path, sha256))
        series.append(Series(name=name, samples=tuple(samples)))
    return Part(key="rules", title="A tensor by each rule", rows=RULE_ROWS, series=tuple(series))

"""Cost against bytes: checkpoints of one kind from 1 MB to 25 GB, and the line through them."""

from collections.abc import Callable, Sequence
from statistics import median

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

QUICK = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 2_500_000_000)
FULL = (*QUICK, 10_000_000_000, 25_000_000_000)
_ROUNDS = 3

ROWS = (
    Row(label="file, MB", figure=value("file_bytes"), form=as_megabytes),
    Row(label="values + hash, s", figure=value("digest_seconds"), form=as_seconds),
    Row(label="values + write + hash, s", figure=value("write_seconds"), form=as_seconds),
    Row(label="verify, s", figure=value("verify_seconds"), form=as_seconds),
    Row(label="openssl dgst -sha256, s", figure=value("sha256_seconds"), form=as_seconds),
    Row(
        label="values + hash / SHA-256 alone",
        figure=ratio(value("digest_seconds"), value("sha256_seconds")),
        form=as_ratio,
    ),
    Row(
        label="values + write + hash / SHA-256 alone",
        figure=ratio(value("write_seconds"), value("sha256_seconds")),
        form=as_ratio,
    ),
    Row(
        label="verify / SHA-256 alone",
        figure=ratio(value("verify_seconds"), value("sha256_seconds")),
        form=as_ratio,
    ),
    Row(label="memory of write, MB", figure=value("write_growth"), form=as_megabytes),
    Row(label="memory of verify, MB", figure=value("verify_growth"), form=as_megabytes),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """Every size."""
    series = []
    for nbytes in FULL if full else QUICK:
        name = f"{nbytes / 1e9:g} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:g} MB"
        samples = []
        for index in range(_ROUNDS if nbytes < 1e10 else 1):
            say(f"{name}: round {index + 1}")
            samples.append(_round(nbytes))
        series.append(Series(name=name, samples=tuple(samples)))
    notes = tuple(
        f"{label}: {fit(series, figure)}"
        for label, figure in (
            ("values + hash", "digest_seconds"),
            ("values + write + hash", "write_seconds"),
        )
    )
    return Part(
        key="sizes", title="Cost against bytes", rows=ROWS, series=tuple(series), notes=notes
    )


def _round(nbytes: int) -> dict[str, float]:
    with new_file() as path:
        _, (sample, sha256) = run_child("made", "mixed", str(nbytes), path)
        sample |= sha256_seconds(path, sha256)
    figures: dict[str, float] = sample
    return figures


def fit(series: Sequence[Series], figure: str) -> str:
    """The line seconds = a + bytes / rate through the medians, by least relative squares."""
    points = [
        (
            median(sample["file_bytes"] for sample in one.samples),
            median(sample[figure] for sample in one.samples),
        )
        for one in series
    ]
    start, slope = line(points)
    worst = max(abs((start + slope * nbytes) / seconds - 1) for nbytes, seconds in points)
    return (
        f"{start * 1e3:.1f} ms + bytes / ({1 / slope / 1e9:.2f} GB/s), "
        f"every point within {worst:.0%} of it"
    )


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Start and slope of y = start + slope * x with the least sum of (y'/y - 1)^2."""
    # Each equation is divided by y: start / y + slope * x / y = 1.
    rows = [(1 / y, x / y) for x, y in points]
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    ra, rb = sum(row[0] for row in rows), sum(row[1] for row in rows)
    determinant = aa * bb - ab * ab
    return (ra * bb - rb * ab) / determinant, (rb * aa - ra * ab) / determinant

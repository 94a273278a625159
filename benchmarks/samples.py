"""What was measured, and medians, spreads and ratios of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

Sample = Mapping[str, float]
"""The figures of one round by name: seconds or bytes. Absent where it was not measured."""

Figure = Callable[[Sample], float | None]
"""A figure of one round, or None where it was not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """All rounds of one subject: a model, a size, a command."""

    name: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of a table: one figure of every subject, or with no figure a heading."""

    label: str
    figure: Figure | None = None
    form: Callable[[float], str] = str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A table: its rows, and the subjects that are its columns."""

    key: str
    title: str
    rows: tuple[Row, ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()

    def named(self, name: str) -> Series | None:
        """The series of one subject, if it was measured."""
        return next((one for one in self.series if one.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Median, least and most of so many repetitions."""

    median: float
    least: float
    most: float
    count: int


def spread(samples: Sequence[Sample], figure: Figure) -> Spread | None:
    """A figure over the rounds that have it; None if none has."""
    values = [value for one in samples if (value := figure(one)) is not None]
    if not values:
        return None
    return Spread(median=median(values), least=min(values), most=max(values), count=len(values))


def value(name: str) -> Figure:
    """A figure as it was measured."""
    return lambda sample: sample.get(name)


def total(*names: str) -> Figure:
    """The sum of figures that were all measured."""

    def added(sample: Sample) -> float | None:
        return sum(sample[name] for name in names) if all(n in sample for n in names) else None

    return added


def ratio(above: Figure, below: Figure) -> Figure:
    """One figure over another of the same round, so that both saw the same machine."""

    def divided(sample: Sample) -> float | None:
        numerator, denominator = above(sample), below(sample)
        return numerator / denominator if numerator is not None and denominator else None

    return divided


@contextmanager
def new_file() -> Iterator[Path]:
    """A path in the temporary folder (TMPDIR chooses the disk); all is removed afterwards."""
    with TemporaryDirectory(prefix="zeroinit-bench-") as folder:
        yield Path(folder) / "init.safetensors"


def as_seconds(number: float) -> str:
    """Three digits."""
    return f"{number:.3f}" if number < 1 else f"{number:.2f}" if number < 10 else f"{number:.1f}"


def as_megabytes(number: float) -> str:
    """Of 10^6 bytes."""
    return f"{number / 1e6:,.1f}" if number < 1e8 else f"{number / 1e6:,.0f}"


def as_ratio(number: float) -> str:
    """Three digits."""
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:.0f}"

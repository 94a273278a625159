"""Which figures the table shows, in which order and unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import ModelResult, Round
from benchmarks.spreads import Figure, Spread, of_reference, of_reference_process, ratio, spread

Format = Callable[[float], str]


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f}" if value < 1e8 else f"{value / 1e6:,.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table: one figure of every model, or with no figure a heading."""

    label: str
    figure: Figure | None = None
    form: Format = str


_WORK = of_reference(lambda reference: reference.work_seconds)
_REFERENCE_SECONDS = of_reference_process(lambda process: process.seconds)
_REFERENCE_PEAK = of_reference_process(lambda process: process.peak_bytes)

ROWS = (
    Row(label="our file, MB", figure=lambda one: one.ours.file_bytes, form=_megabytes),
    Row(label="ratios"),
    Row(
        label="values + write + hash / SHA-256 alone",
        figure=ratio(lambda one: one.ours.write_seconds, lambda one: one.sha256_seconds),
        form=_ratio,
    ),
    Row(
        label="reference's initialise + save + hash / our values + write + hash",
        figure=ratio(_WORK, lambda one: one.ours.write_seconds),
        form=_ratio,
    ),
    Row(
        label="reference's whole process / zeroinit generate",
        figure=ratio(_REFERENCE_SECONDS, lambda one: one.command.seconds),
        form=_ratio,
    ),
    Row(
        label="reference's peak memory / that of zeroinit generate",
        figure=ratio(_REFERENCE_PEAK, lambda one: one.command.peak_bytes),
        form=_ratio,
    ),
    Row(label="ours"),
    Row(label="build + plan, s", figure=lambda one: one.ours.plan_seconds, form=_seconds),
    Row(label="values + write + hash, s", figure=lambda one: one.ours.write_seconds, form=_seconds),
    Row(
        label="memory of values + write + hash above the plan, MB",
        figure=lambda one: one.ours.growth_bytes,
        form=_megabytes,
    ),
    Row(label="zeroinit generate, s", figure=lambda one: one.command.seconds, form=_seconds),
    Row(
        label="zeroinit generate, peak memory, MB",
        figure=lambda one: one.command.peak_bytes,
        form=_megabytes,
    ),
    Row(label="SHA-256 alone"),
    Row(label="openssl dgst -sha256, s", figure=lambda one: one.sha256_seconds, form=_seconds),
    Row(label="reference"),
    Row(label="build, s", figure=of_reference(lambda one: one.build_seconds), form=_seconds),
    Row(label="initialise + save + hash, s", figure=_WORK, form=_seconds),
    Row(label="whole process, s", figure=_REFERENCE_SECONDS, form=_seconds),
    Row(label="whole process, peak memory, MB", figure=_REFERENCE_PEAK, form=_megabytes),
)


def cells(row: Row, results: Sequence[ModelResult]) -> list[str]:
    """The row's text for every model; a heading's are empty."""
    return [_cell(row, result.rounds) for result in results]


def _cell(row: Row, rounds: Sequence[Round]) -> str:
    if row.figure is None:
        return ""
    found = spread(rounds, row.figure)
    return "n/a" if found is None else _text(found, row.form) + _fewer(found, rounds)


def _text(found: Spread, form: Format) -> str:
    middle, least, most = (form(value) for value in (found.median, found.least, found.most))
    return middle if least == most else f"{middle} ({least} - {most})"


def _fewer(found: Spread, rounds: Sequence[Round]) -> str:
    """Said only where a figure was measured in fewer rounds than the column has."""
    if found.count == len(rounds):
        return ""
    return ", once" if found.count == 1 else f", {found.count} rounds"

"""The records as Markdown: one table for all models, and what stands out below it."""

import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from evidence.records import ModelRecord, StartRecord

_MARKED = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- /table -->)", re.DOTALL)
_EVERYWHERE = "equal-rows"  # every model has it, so that it would tell no two apart
_LARGE = 100  # times torch's own largest gradient
_SIZES = (
    "model",
    "plan warns of",
    "gradient: torch",
    "ZerO",
    "ratio",
    "paper",
    "flat, %: ZerO",
    "paper",
    "loss: torch",
    "ZerO",
)
_ARRIVALS = (
    "model",
    "first gradient: torch",
    "ZerO",
    "never: torch",
    "ZerO",
    "idle rows, %: torch",
    "ZerO",
)


def markdown(records: Sequence[ModelRecord]) -> str:
    """Everything that is written between the markers of the document."""
    parts = (
        _conditions(records),
        ["## How large"],
        _table(_SIZES, 2, map(_sizes, records)),
        _largest(records),
        ["## Who gets a gradient"],
        _table(_ARRIVALS, 1, map(_arrivals, records)),
        _reasons(records),
        ["## What the branches add"],
        _branches(records),
    )
    return "\n".join(line for part in parts for line in (*part, "")).rstrip("\n") + "\n"


def update_document(path: Path, records: Sequence[ModelRecord]) -> None:
    """Put the records between the document's two markers.

    Raises:
        ValueError: the markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    if not _MARKED.search(text):
        raise ValueError(f"{path.name} has no <!-- table --> and <!-- /table -->")
    path.write_text(_MARKED.sub(lambda _: markdown(records), text), encoding="utf-8")


def _sizes(record: ModelRecord) -> list[str]:
    zero, own, paper = record.zero, record.own, record.paper
    ratio = _ratio(record)
    return [
        record.model,
        ", ".join(_warned(record)) or "-",
        _number(own.largest_gradient),
        _number(zero.largest_gradient),
        _number(ratio) if ratio is not None and ratio < _LARGE else f"**{_number(ratio)}**",
        _number(paper.largest_gradient),
        _percent(zero.flat_channels, zero.channels),
        _percent(paper.flat_channels, paper.channels),
        _losses(own),
        _losses(zero),
    ]


def _arrivals(record: ModelRecord) -> list[str]:
    zero, own = record.zero, record.own
    return [
        record.model,
        _by_step(own),
        _by_step(zero),
        str(sum(map(len, own.never.values()))),
        str(sum(map(len, zero.never.values()))),
        _percent(sum(own.idle.values()), own.units),
        _percent(sum(zero.idle.values()), zero.units),
    ]


def _ratio(record: ModelRecord) -> float | None:
    zero, own = record.zero.largest_gradient, record.own.largest_gradient
    return zero / own if zero is not None and own else None


def _number(value: float | None) -> str:
    if value is None:
        return "not finite"
    if value < 1000:
        return f"{value:.2g}" if value < 10 else f"{value:.0f}"
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "-"
    if not part:
        return "0"
    share = 100 * part / whole
    return f"{share:.0f}" if share >= 10 else f"{share:.1f}" if share >= 0.1 else "< 0.1"


def _losses(start: StartRecord) -> str:
    first, last = start.losses[0], start.losses[-1]
    return " -> ".join("not finite" if each is None else f"{each:.2f}" for each in (first, last))


def _by_step(start: StartRecord) -> str:
    most = max((int(step) for step in start.arrivals), default=0)
    return " / ".join(str(start.arrivals.get(str(step), 0)) for step in range(most + 1))


def _largest(records: Sequence[ModelRecord]) -> Iterator[str]:
    """What explodes and whether the plan says so, and what is not finite in the end."""
    found = [each for each in records if (_ratio(each) or _LARGE) >= _LARGE]
    silent = [each for each in found if not _warned(each)]
    calm = [each for each in records if each not in found and _warned(each)]
    yield (
        f"Over {_LARGE} times torch's largest gradient: {len(found)} of {len(records)}. The plan "
        f"warns of {len(found) - len(silent)} of these by more than {_EVERYWHERE}, and of "
        f"{len(calm)} that are not over it."
    )
    yield ""
    for record in silent:
        where = record.zero.largest_gradient_of
        yield f"- {record.model} explodes in `{where}`, and the plan does not warn of it."
    for record in calm:
        yield f"- {record.model} is warned of ({', '.join(_warned(record))}), and does not explode."
    for record in records:
        for name, start in _starts(record):
            if start.not_finite is not None:
                yield f"- {record.model} from {name} start is not finite at {start.not_finite}."


def _warned(record: ModelRecord) -> list[str]:
    return [kind for kind in record.warnings if kind != _EVERYWHERE]


def _starts(record: ModelRecord) -> tuple[tuple[str, StartRecord], ...]:
    return ("torch's", record.own), ("ZerO's", record.zero)


def _reasons(records: Sequence[ModelRecord]) -> Iterator[str]:
    """Why parameters and rows got nothing."""
    for record in records:
        for name, start in _starts(record):
            for reason, labels in start.never.items():
                patterns = Counter(re.sub(r"\d+", "*", label) for label in labels)
                found = ", ".join(f"`{each}` ({count})" for each, count in patterns.items())
                yield f"- {record.model} from {name} start, never {found}: {reason}."
    yield ""
    yield "Idle rows over all models, by what stands in the way at the last step:"
    yield ""
    own: Counter[str] = Counter()
    zero: Counter[str] = Counter()
    for record in records:
        own.update(record.own.idle)
        zero.update(record.zero.idle)
    rows = [[each, f"{own[each]:,}", f"{zero[each]:,}"] for each in sorted({*own, *zero})]
    yield from _table(("reason", "torch", "ZerO"), 1, rows)


def _branches(records: Sequence[ModelRecord]) -> Iterator[str]:
    closed = sum(record.branches.closed for record in records)
    largest = max(record.branches.largest_closed for record in records)
    scaled = sum(record.branches.scaled for record in records)
    yield f"- {closed:,} closed: the largest value that any of them adds is {largest:g}."
    yield f"- {scaled} ended by a layer scale."
    for record in records:
        for reason, count in record.branches.open.items():
            yield f"- {record.model}: {count} open, {reason}."
        for place in record.branches.broken:
            yield f"- **{record.model}: {place} is not what the plan says.**"


def _conditions(records: Sequence[ModelRecord]) -> Iterator[str]:
    versions = {
        f"torch {each.setting.torch}, torchvision {each.setting.torchvision}" for each in records
    }
    seconds = sum(each.seconds for record in records for each in (record.zero, record.own))
    peak = max(record.peak_bytes for record in records)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield (
        f"{datetime.now(UTC).date()}, {len(records)} models, {'; '.join(sorted(versions))}, on the "
        f"CPU, one thread, of a machine with {os.cpu_count()} cores and {memory / 1e9:.0f} GB of "
        f"memory, {platform.system()} {platform.machine()}. All steps together took "
        f"{seconds / 60:.0f} minutes; the largest process held {peak / 1e9:.1f} GB."
    )


def _table(headings: Sequence[str], words: int, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The first columns, `words` of them, to the left, and the numbers to the right."""
    yield _line(headings)
    yield _line(["---"] * words + ["---:"] * (len(headings) - words))
    for row in rows:
        yield _line(row)


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"

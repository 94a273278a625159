"""The records as Markdown: one table for all models, and what stands out below it."""

import math
import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from evidence.records import ModelRecord, Setting, StartRecord

_LARGE = 10  # times torch's own largest gradient
_ARRIVALS = (
    "model",
    "first gradient: torch",
    "ZerO",
    "never: torch",
    "ZerO",
    "idle rows, %: torch",
    "ZerO",
)


def markdown(records: Sequence[ModelRecord], *, of: Sequence[str]) -> str:
    """Everything that is written between the markers of the document.

    Args:
        records: of what was measured.
        of: what was asked for; what is missing is named.
    """
    setting = records[0].setting
    parts = (
        _conditions(records),
        _missing(records, of),
        ["## How large"],
        _bars(records),
        _table(_headings(setting), 2, map(_sizes, records)),
        ["## Who gets a gradient"],
        _table(_ARRIVALS, 1, map(_arrivals, records)),
        _reasons(records),
        ["## What the branches add"],
        _branches(records),
    )
    return "\n".join(line for part in parts for line in (*part, "")).rstrip("\n") + "\n"


def _missing(records: Sequence[ModelRecord], of: Sequence[str]) -> Iterator[str]:
    missing = sorted(set(of) - {record.model for record in records})
    if missing:
        yield f"Not measured yet: {', '.join(missing)}."


def _headings(setting: Setting) -> tuple[str, ...]:
    losses = (f"loss at {rate:g}: torch" for rate in (setting.learning_rate, setting.faster))
    slow, fast = losses
    gradients = ("gradient: torch", "ZerO", "ratio", "paper")
    flat = ("flat, %: torch", "ZerO", "paper")
    return ("model", "plan warns of", *gradients, *flat, slow, "ZerO", fast, "ZerO")


def _sizes(record: ModelRecord) -> list[str]:
    zero, own, paper = record.zero, record.own, record.paper
    ratio = _ratio(record)
    within = ratio is not None and ratio <= _LARGE
    return [
        record.model,
        _marked(", ".join(record.warnings) or "-", bad=bool(record.warnings)),
        _number(own.largest_gradient),
        _number(zero.largest_gradient),
        _marked(_number(ratio), bad=not within),
        _number(paper.largest_gradient),
        _percent(own.flat_channels, own.channels),
        _marked(_percent(zero.flat_channels, zero.channels), bad=zero.flat_channels > 0),
        _percent(paper.flat_channels, paper.channels),
        _losses(own),
        _marked(_losses(zero), bad=_worse(zero, own)),
        _losses(record.own_faster),
        _marked(_losses(record.zero_faster), bad=_worse(record.zero_faster, record.own_faster)),
    ]


def _marked(words: str, *, bad: bool) -> str:
    return f"**{words}**" if bad else words


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


def _bars(records: Sequence[ModelRecord]) -> Iterator[str]:
    """What is asked of the default, and the models that do not give it, by name."""
    yield from _bar("`plan --strict` exits 1", records, [each for each in records if each.warnings])
    over = [each for each in records if (_ratio(each) or math.inf) > _LARGE]
    yield from _bar(f"Over {_LARGE} times torch's largest gradient", records, over)
    flat = [each for each in records if each.zero.flat_channels]
    yield from _bar("With batch-norm channels without variance at step 0", records, flat)
    broken = [each for each in records if any(_worse(*pair) for pair in _pairs(each))]
    yield from _bar("Not finite where torch's start is", records, broken)
    yield ""
    for record in records:
        for name, start in _starts(record):
            if start.not_finite is not None:
                yield f"- {record.model} from {name} is not finite at {start.not_finite}."


def _bar(words: str, records: Sequence[ModelRecord], found: Sequence[ModelRecord]) -> Iterator[str]:
    names = f": **{', '.join(each.model for each in found)}**" if found else ""
    yield f"- {words}: {len(found)} of {len(records)}{names}."


def _pairs(record: ModelRecord) -> tuple[tuple[StartRecord, StartRecord], ...]:
    """ZerO's start and torch's, at each rate."""
    return (record.zero, record.own), (record.zero_faster, record.own_faster)


def _worse(zero: StartRecord, own: StartRecord) -> bool:
    return zero.not_finite is not None and own.not_finite is None


def _starts(record: ModelRecord) -> tuple[tuple[str, StartRecord], ...]:
    slow, fast = record.setting.learning_rate, record.setting.faster
    return (
        (f"torch's start at {slow:g}", record.own),
        (f"ZerO's start at {slow:g}", record.zero),
        (f"torch's start at {fast:g}", record.own_faster),
        (f"ZerO's start at {fast:g}", record.zero_faster),
        ("`--policy paper`", record.paper),
    )


def _reasons(records: Sequence[ModelRecord]) -> Iterator[str]:
    """Why parameters and rows got nothing."""
    for record in records:
        for name, start in (("torch's", record.own), ("ZerO's", record.zero)):
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
    damped = sum(record.branches.damped for record in records)
    yield f"- {closed:,} closed: the largest value that any of them adds is {largest:g}."
    yield f"- {damped:,} ended by a norm of 1/4 or a weight of 1/16, {scaled} by a layer scale."
    for record in records:
        for reason, count in record.branches.open.items():
            yield f"- {record.model}: {count} open, {reason}."
        for place in record.branches.broken:
            yield f"- **{record.model}: {place} is not what the plan says.**"


def _conditions(records: Sequence[ModelRecord]) -> Iterator[str]:
    versions = {
        f"torch {each.setting.torch}, torchvision {each.setting.torchvision}" for each in records
    }
    seconds = sum(start.seconds for record in records for _, start in _starts(record))
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

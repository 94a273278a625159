"""The table of what was measured, as markdown."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.outside.record import Record

_BAD = ("open", "dead", "not finite")
_HEAD = (
    "| model | parameters | plan | branches | closed | small | open | no gradient (own start) "
    "| seconds | MB |"
)
_RULE = "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"


def markdown(records: Sequence[Record]) -> str:
    """A table for each kind of model, after the sums over all, and the causes."""
    kinds = dict.fromkeys(record.key.partition(":")[0] for record in records)
    parts = [_sums(records, list(kinds)), _causes(records)]
    for kind in kinds:
        own = [each for each in records if each.key.startswith(f"{kind}:")]
        lines = [f"### {kind}", "", _HEAD, _RULE, *map(_row, own), ""]
        parts.append("\n".join(lines))
    parts.append(_named(records))
    return "\n".join(parts)


def _sums(records: Sequence[Record], kinds: Sequence[str]) -> str:
    head = (
        "| models | refused | failed | whole | run | branches | closed | small | open | dead "
        "| not finite | begin closed or small | no gradient (own start) |"
    )
    lines = [head, "| --- " * 13 + "|"]
    for kind in (*kinds, "all"):
        own = [each for each in records if kind in ("all", each.key.partition(":")[0])]
        counts = [sum(each.count(state) for each in own) for state in ("closed", "small", *_BAD)]
        total = sum(each.branches for each in own)
        good = f"{100 * sum(counts[:2]) / total:.1f} %" if total else "-"
        both = [each for each in own if each.dead is not None and each.dead_of_torch is not None]
        dead = sum(len(each.dead or ()) for each in both)
        dead_of_torch = sum(len(each.dead_of_torch or ()) for each in both)
        cells = [
            f"{len(own)} {kind}",
            sum(bool(each.refused) for each in own),
            sum(bool(each.problem) for each in own),
            sum(each.whole for each in own),
            sum(each.adds is not None for each in own),
            total,
            *counts,
            good,
            f"{dead} ({dead_of_torch})",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _causes(records: Sequence[Record]) -> str:
    """Why models were refused, failed or warned of, the most frequent first."""
    found: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for what, line in (("refused", record.refused), ("failed", record.problem)):
            if line:
                found[f"{what}: {_general(line)}"].append(record.key)
        for kind in record.warnings:
            found[f"warned: {kind}"].append(record.key)
    ordered = sorted(found.items(), key=lambda each: (each[0].partition(":")[0], -len(each[1])))
    lines = [f"- {cause} ({len(keys)}: {_some(keys, most=4)})" for cause, keys in ordered]
    return "\n".join([*lines, ""])


def _general(line: str) -> str:
    """A message without numbers and places, so that alike ones count together."""
    problem, _, found = line.partition(", found: ")
    problem = re.sub(r"\d+", "N", problem).replace("tensor has", "tensors have")
    names = re.findall(r"([\w.]+) \[", found)  # of tensors, before their shapes
    last = {re.sub(r"\d+", "N", name.rpartition(".")[2]) for name in names}
    return f"{problem}: {', '.join(sorted(last))}" if last else problem


def _row(record: Record) -> str:
    plan = record.problem or record.refused or ("whole" if record.whole else "not whole")
    cells = [
        record.key.partition(":")[2],
        f"{record.parameters / 1e6:.2f} M",
        plan.replace("|", "\\|")[:120],
        *(
            ("-",) * 4
            if record.adds is None
            else (
                record.branches,
                record.count("closed"),
                record.count("small"),
                record.count(*_BAD),
            )
        ),
        _gradients(record),
        f"{record.seconds:.2f}",
        f"{record.peak_mb:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _gradients(record: Record) -> str:
    if record.adds is None:
        return "-"
    own = "not finite" if record.broken else _number(record.dead)
    torchs = "not finite" if record.broken_of_torch else _number(record.dead_of_torch)
    return f"{own} ({torchs})"


def _number(names: Sequence[str] | None) -> str:
    return "-" if names is None else str(len(names))


def _named(records: Sequence[Record]) -> str:
    """What is open, not recorded or without a gradient, by name."""
    lines = ["### by name", ""]
    for record in records:
        found: list[str] = []
        if record.open:
            found.append(f"open: {_some(record.open)}")
        if record.silent:
            found.append(f"begin from 0, judged by a run with noise: {_some(record.silent)}")
        if record.untraced:
            found.append(f"not recorded: {_some(record.untraced)}")
        if record.broken:
            found.append(f"not finite at {record.broken}")
        beyond = [each for each in record.dead or () if each not in (record.dead_of_torch or ())]
        if beyond and not record.broken_of_torch:
            found.append(f"no gradient: {_some(beyond)}")
        if found:
            lines.append(f"- **{record.key}** " + "; ".join(found))
    return "\n".join([*lines, ""])


def _some(names: Iterable[str], most: int = 6) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more

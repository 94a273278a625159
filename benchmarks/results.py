"""Every number as it was measured, for whoever wants another statistic."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import Machine
from benchmarks.parts import extremes, models, plans, scale, shards, sizes, startup
from benchmarks.samples import Part, Series

_ROWS = {
    "models": models.ROWS,
    "sizes": sizes.ROWS,
    "shards": shards.ROWS,
    "embedding": extremes.COSTS,
    "many": extremes.MANY_ROWS,
    "rules": extremes.RULE_ROWS,
    "plans": plans.ROWS,
    "scale": scale.ROWS,
    "startup": startup.ROWS,
}


def write_results(path: Path, machine: Machine, parts: Sequence[Part]) -> None:
    """Keep what was measured, without the rows that are made of it."""
    data = {
        "machine": asdict(machine),
        "parts": [
            {
                "key": part.key,
                "notes": part.notes,
                "series": [asdict(series) for series in part.series],
                "title": part.title,
            }
            for part in parts
        ],
    }
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_results(path: Path) -> list[Part]:
    """What `write_results` kept; nothing if there is no file."""
    if not path.exists():
        return []
    data = json.loads(path.read_text(encoding="utf-8"))
    return [
        Part(
            key=part["key"],
            title=part["title"],
            rows=_ROWS[part["key"]],
            notes=tuple(part["notes"]),
            series=tuple(
                Series(name=series["name"], samples=tuple(series["samples"]))
                for series in part["series"]
            ),
        )
        for part in data["parts"]
    ]

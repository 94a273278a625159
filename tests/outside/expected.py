"""What is expected of each model: python -m tests.outside.expected [RECORDS...] writes it anew.

A number here is what zeroinit does today, not what it should do: read the difference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.outside.record import Record, read_records

FILE = Path(__file__).resolve().parent / "expected.json"
_RESULTS = Path(__file__).resolve().parent / "results" / "records.jsonl"


def summary(record: Record) -> dict[str, Any]:
    """What does not change from machine to machine."""
    if record.refused or record.problem:
        return {"refused": record.refused or record.problem}
    found: dict[str, Any] = {"whole": record.whole}
    if record.adds is not None:
        found |= {"branches": record.branches, "closed": record.count("closed")}
        found |= {"small": record.count("small")}
        if record.silent:
            found["silent"] = len(record.silent)
    if record.dead is not None and record.dead_of_torch is not None:
        found["dead"] = len(set(record.dead) - set(record.dead_of_torch))
    return found


def expected() -> Mapping[str, Any]:
    """The summaries, by key."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def main() -> None:
    """Write what was measured last."""
    records = read_records(_RESULTS)
    known = dict(expected()) if FILE.exists() else {}
    known |= {key: summary(record) for key, record in records.items()}
    lines = (f" {json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known))
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

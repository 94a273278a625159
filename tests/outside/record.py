"""What is measured of one model, and how it is kept between runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What was seen of one model; what was not reached stays empty.

    Attributes:
        key: of the model, such as `timm:resnet18`.
        parameters: how many numbers it learns.
        problem: why measuring it ended early, in a line.
        refused: the first line of the error of `plan`, if it gave one.
        seconds: of `plan`, everything imported before.
        peak_mb: most memory during `plan` beyond what was held before it.
        warnings: how many of each kind `plan` gave.
        untraced: what `plan` could not record, as its warnings say.
        digest: of the plan.
        adds: residual branches seen in a run of the initialised model, by what they add.
        shortcuts: the same of those whose start goes by layers of its own.
        open: places of those that are open, dead or broken, with their ratio.
        silent: places of branches whose start is 0, and which a run with noise there judged.
        dead: parameters without a gradient in a few steps.
        dead_of_torch: the same from the model's own start.
        broken: where a step gave what is not finite; and from the model's own start.
        broken_of_torch: see above.
    """

    key: str
    parameters: int = 0
    problem: str = ""
    refused: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0
    warnings: Mapping[str, int] = field(default_factory=dict)
    untraced: tuple[str, ...] = ()
    digest: str = ""
    adds: Mapping[str, int] | None = None
    shortcuts: Mapping[str, int] | None = None
    open: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    dead: tuple[str, ...] | None = None
    dead_of_torch: tuple[str, ...] | None = None
    broken: str = ""
    broken_of_torch: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Undo `to_json`."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return asdict(self)

    @property
    def whole(self) -> bool:
        """Whether `plan` recorded everything."""
        return not self.refused and not self.problem and not self.untraced

    def count(self, *states: str) -> int:
        """Branches in these states, by a shortcut or not."""
        return sum(
            number
            for counts in (self.adds, self.shortcuts)
            for state, number in (counts or {}).items()
            if state in states
        )

    @property
    def branches(self) -> int:
        """All branches that were seen."""
        return sum(sum(counts.values()) for counts in (self.adds, self.shortcuts) if counts)


def read_records(path: Path) -> dict[str, Record]:
    """The records of a file, by key; the last of a key counts."""
    if not path.exists():
        return {}
    lines = map(json.loads, path.read_text().splitlines())
    return {each["key"]: Record.from_json(each) for each in lines}


def append_record(path: Path, record: Record) -> None:
    """Add a record to a file of one JSON object a line."""
    with path.open("a") as file:
        file.write(json.dumps(record.to_json()) + "\n")

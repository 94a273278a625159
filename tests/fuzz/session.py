"""Executions, and what was found on the way: counted by kind, the first of each kept as a file."""

import resource
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.fuzz.target import Target

_HERE = Path(__file__).parent


class Session:
    """One run against one reader.

    Args:
        target: the reader.
        output: the folder for findings, made when there is one.
    """

    def __init__(self, target: Target, output: Path):
        self.target, self.output = target, output
        self.kinds: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.slowest = 0.0
        self.began = time.monotonic()
        self._held = _megabytes()  # before it: a process that did other things may hold much

    @property
    def executions(self) -> int:
        """So far."""
        return self.kinds.total() + self.findings.total()

    def execute(self, data: bytes) -> None:
        """Examine one mutant within bounds of time and memory, and keep what is found."""
        before = time.process_time()
        problem, kind = None, ""
        try:
            kind = self.target.examine(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            place = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            if Path(place.filename).parent == _HERE:  # what did not hold, in our own words
                problem += f": {error}"
        took = time.process_time() - before
        self.slowest = max(self.slowest, took)
        if took > self.target.most_seconds:
            problem = f"more than {self.target.most_seconds} s"
        if _megabytes() - self._held > self.target.most_megabytes:
            problem = f"more than {self.target.most_megabytes} MB"
        if problem is None:
            self.kinds[kind] += 1
        else:
            self._keep(problem, data)

    def _keep(self, problem: str, data: bytes) -> None:
        self.findings[problem] += 1
        if self.findings[problem] == 1:
            self.output.mkdir(parents=True, exist_ok=True)
            name = f"{self.target.name}-{self.executions}{self.target.suffix}"
            (self.output / name).write_bytes(data)
            print(f"{name}: {problem}", flush=True)

    def report(self) -> str:
        """The figures."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        found = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.findings.items()))
        seconds = time.monotonic() - self.began
        return (
            f"{self.target.name}: {self.executions} executions ({kinds}), "
            f"{self.findings.total()} findings{f' ({found})' if found else ''}; "
            f"slowest {self.slowest:.2f} s, {_megabytes():.0f} MB, {seconds:.0f} s in all"
        )


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

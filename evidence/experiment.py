"""What an experiment is: independent cells that are measured, one figure, and rows of a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure

Json = Any  # what json.loads gives
Cells = Mapping[str, Json]  # name of a cell -> what it measured
Verdict = Literal["holds", "holds partly", "does not hold"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How much is run.

    seeds: of each reported mean.
    fraction: of the published count of training steps.
    depths: of the nets without norm.
    """

    name: str
    seeds: int
    fraction: float
    depths: tuple[int, ...]

    def steps(self, published: int) -> int:
        """Of a training that has so many in the published run."""
        return max(2, round(published * self.fraction))

    def fewer(self, published: int) -> int:
        """Seeds of what has fewer of them in the published run than others have."""
        return min(self.seeds, published)


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort(name="full", seeds=5, fraction=3.0, depths=(20, 110, 500, 1000)),
        Effort(name="published", seeds=5, fraction=1.0, depths=(20, 110, 500)),
        Effort(name="quick", seeds=1, fraction=0.1, depths=(20,)),
        Effort(name="tiny", seeds=1, fraction=0.0, depths=(6,)),  # for tests
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of evidence/README.md: what is claimed, what was run, what came out.

    verdict: of ZerO's default.
    paper: of `--policy paper`, where that was run too.
    """

    claim: str
    run: str
    result: str
    verdict: Verdict
    paper: Verdict | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """One module's worth.

    cells: what is to be measured under an effort, each by itself, in any order and any process.
    figure: of all that was measured.
    rows: likewise; the effort says how many steps there were.
    """

    name: str
    title: str
    cells: Callable[[Effort], Mapping[str, Callable[[], Json]]]
    figure: Callable[[Cells], Figure]
    rows: Callable[[Cells, Effort], Sequence[Row]]


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((each - middle) ** 2 for each in values) / (len(values) - 1))


def pooled(one: Sequence[float], other: Sequence[float]) -> float:
    """The deviation of two samples together, by which a difference of their means is judged."""
    return math.sqrt((deviation(one) ** 2 + deviation(other) ** 2) / 2)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation in words, `3.61 ± 0.40`."""
    return f"{mean(values):.{digits}f} ± {deviation(values):.{digits}f}"


def rounded(value: Json) -> Json:
    """Every number to six significant digits: results stay readable and their diffs short."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value

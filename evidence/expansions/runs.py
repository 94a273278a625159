"""Training runs, each a line of a file outside git, so that an interrupted study can go on."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evidence.expansions.beginnings import begin
from evidence.expansions.cells import Cell
from evidence.experiment import mean
from evidence.training import Recipe, train
from evidence.tuning import TUNING_SEED, Tuned, below, tune

_LOWEST, _HIGHEST = 1e-4, 3.0  # rates beyond which tuning does not look


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run.

    Attributes:
        cell: name of the net and task.
        start: by name.
        seed: of the order, and of a random start.
        recipe: with its learning rate.
        diverged: the step, if it did.
        losses: the training loss of each tenth step.
        validation_loss: of guessing if it diverged, and so on.
        validation_error: in percent.
        test_loss: at the end.
        test_error: in percent.
        seconds: wall-clock, of the training alone.
    """

    cell: str
    start: str
    seed: int
    recipe: Recipe
    diverged: int | None
    losses: list[float | None]
    validation_loss: float
    validation_error: float
    test_loss: float
    test_error: float
    seconds: float


class Runs:
    """The runs in a file; what is there already is not run again."""

    def __init__(self, path: Path):
        self._path = path
        self._known = {_key(run): run for run in _read(path)}

    def get(self, cell: Cell, start: str, seed: int, rate: float) -> Run:
        """A run, trained now if it is not in the file."""
        recipe = replace(cell.recipe, learning_rate=rate)
        key = (cell.name, start, seed, recipe)
        if key not in self._known:
            run = _run(cell, start, seed, recipe)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(run)) + "\n")
            self._known[key] = run
        return self._known[key]

    def reported(self, cell: Cell, start: str, seeds: int) -> list[Run]:
        """The runs of every seed at the rate that is reported, trained now where there are none.

        Validation alone decides on the rate.
        """
        rate = self.tuned(cell, start).rate
        rates = (rate, below(rate)) if cell.second_look else (rate,)
        looks = [[self.get(cell, start, seed, each) for seed in range(seeds)] for each in rates]
        return min(looks, key=lambda found: mean([run.validation_loss for run in found]))

    def has(self, cell: Cell, start: str, seeds: int) -> bool:
        """Whether a start of a cell was trained under so many seeds, at every rate it should be.

        Tuning comes before all seeds, so that the last seed's runs are a sign of all.
        """
        last = [
            key
            for key in self._known
            if key[:3] == (cell.name, start, seeds - 1)
            and replace(key[3], learning_rate=cell.recipe.learning_rate) == cell.recipe
        ]
        return len(last) > cell.second_look

    def tuned(self, cell: Cell, start: str) -> Tuned:
        """The rate of the smallest validation loss under a seed of its own."""

        def loss_at(rate: float) -> float:
            return self.get(cell, start, TUNING_SEED, rate).validation_loss

        return tune(loss_at, cell.grid, lowest=_LOWEST, highest=_HIGHEST)


def _run(cell: Cell, start: str, seed: int, recipe: Recipe) -> Run:
    model = begin(cell, start, seed)
    started = time.perf_counter()
    outcome = train(model, cell.data, recipe, seed)
    return Run(
        cell=cell.name,
        start=start,
        seed=seed,
        recipe=recipe,
        diverged=outcome.diverged,
        losses=outcome.curve[::10],
        validation_loss=outcome.validation_loss,
        validation_error=outcome.validation_error,
        test_loss=outcome.test_loss,
        test_error=outcome.test_error,
        seconds=round(time.perf_counter() - started, 2),
    )


def _key(run: Run) -> tuple[str, str, int, Recipe]:
    return run.cell, run.start, run.seed, run.recipe


def _read(path: Path) -> Iterator[Run]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError, TypeError, KeyError):  # half a line, or of another version
            data = json.loads(line)
            yield Run(**{**data, "recipe": Recipe(**data["recipe"])})

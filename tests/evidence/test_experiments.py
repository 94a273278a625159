"""The experiments: each still runs, and what is published is what its numbers say."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from evidence import families, learning_curves, run
from evidence.accuracy import verdict
from evidence.experiment import EFFORTS, Cells, deviation, rounded, spread
from evidence.figures import styled, write_svg
from evidence.ranks import near_zero, rank, stable_rank
from evidence.report import put_between, table

TINY = EFFORTS["tiny"]
PUBLISHED = run.PUBLISHED  # before a test puts another in its place
README = run.PUBLISHED.parent / "README.md"
MEASURED = {  # cells that take a second or two; one of each kind
    "accuracy": ("vgg_bn/kaiming",),
    "degeneracy": ("16/zero/0.1", "64/partial-identity/0.3"),
    "low_rank": ("zero",),
    "policy_choices": ("vgg_bn/sylvester", "resnet20/layer"),
    "reproducibility": ("mlp/kaiming/both", "mlp/bits/2 threads"),
    "ultra_deep": ("6/residual/fixup", "6/plain/zero-paper"),
}


def published(name: str) -> Cells:
    document = json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))
    cells: Cells = document["cells"]
    return cells


def keys(value: object, depth: int = 2) -> object:
    """The names in a result, a rate's own name apart, but not how long its lists are."""
    if isinstance(value, Mapping) and depth:
        return {key: keys(each, depth - 1) for key, each in value.items() if key[0].isalpha()}
    return type(value).__name__


@pytest.mark.long
@pytest.mark.parametrize("name", run.NAMES)
def test_a_tiny_run_measures_what_is_published(name: str) -> None:
    cells = run.experiment_of(name).cells(TINY)
    for cell in MEASURED[name]:
        found = rounded(cells[cell]())
        json.dumps(found, allow_nan=False)
        assert keys(found) == keys(published(name)[cell.replace("6/", "20/", cell[:2] == "6/")])


@pytest.mark.parametrize("name", run.NAMES)
def test_what_is_published_is_of_all_cells_of_the_published_run(name: str) -> None:
    assert sorted(published(name)) == sorted(run.experiment_of(name).cells(EFFORTS["published"]))


@pytest.mark.parametrize("name", run.NAMES)
def test_the_readme_has_the_rows_that_the_numbers_give(name: str) -> None:
    text = README.read_text(encoding="utf-8")
    assert table(run.experiment_of(name), published(name), EFFORTS["published"]) in text
    assert f"(published/{name}.svg)" in text


def test_the_readme_begins_with_the_three_starts_side_by_side() -> None:
    listed = families.lines(PUBLISHED)
    assert families.markdown(listed) in README.read_text(encoding="utf-8")
    assert all({"zero", "torch"} <= set(line.values) for line in listed)


def line(verdict: str, *, text: bool = False, **values: float) -> families.Line:
    starts = {begin.replace("_", "-"): value for begin, value in values.items()}
    return families.Line(
        family="text" if text else "mobile",
        title="net; data",
        text=text,
        seeds=2,
        values=starts,
        verdict=verdict,
    )


def test_a_row_that_is_worse_stands_in_bold_and_in_the_count() -> None:
    table = families.markdown(
        [
            line("worse", zero=7.26, torch=5.0),
            line("level", text=True, zero=2, zero_paper=3, torch=2),
        ]
    )
    assert "| net; data | 2 | 7.3 | - | 5.0 | **worse** |\n" in table
    assert "| net; data | 2 | 2.00 | 3.00 | 2.00 | level |\n" in table
    assert table.endswith("\nZerO against torch's start in 2 rows: 0 better, 1 level, 1 worse.\n")


def test_a_curve_is_smoothed_to_both_sides_and_ends_where_it_has_no_number() -> None:
    curve: list[list[float | None]] = [
        [0, 8.0],
        [1, 4.0],
        [2, 0.0],
        [3, 4.0],
        [4, 4.0],
        [5, None],
        [6, 1.0],
    ]
    assert learning_curves.smoothed(curve) == ([0, 1, 2], [8.0, 4.0, 4.0])


def drawn() -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure of the published folder, by its name."""
    for name in run.NAMES:
        yield name, partial(run.experiment_of(name).figure, published(name))
    yield "families", partial(families.figure, families.lines(PUBLISHED))
    yield "learning_curves", partial(learning_curves.figure, published("accuracy"))


@pytest.mark.long
@pytest.mark.parametrize(("name", "draw"), list(drawn()))
def test_a_figure_has_the_same_bytes_each_time(
    name: str, draw: Callable[[], Figure], tmp_path: Path
) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "other.svg"]
    for path in paths:
        with styled():
            write_svg(draw(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"<dc:date>" not in paths[0].read_bytes()
    assert (PUBLISHED / f"{name}.svg").is_file()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run leaves everything, instead of in the repository."""
    monkeypatch.setattr(run, "_SCRATCH", tmp_path / "results")
    monkeypatch.setattr(run, "PUBLISHED", tmp_path / "published")
    return tmp_path


def leave_cells(scratch: Path, cells: Iterable[str]) -> None:
    results = published("degeneracy")
    folder = scratch / "results" / "cells" / "quick" / "degeneracy"
    folder.mkdir(parents=True)
    for cell in cells:
        made_by = run.made_by("degeneracy")
        text = json.dumps({"made_by": made_by, "result": results[cell], "seconds": 0.5})
        (folder / f"{cell.replace('/', '--')}.json").write_text(text, encoding="utf-8")


@pytest.mark.long
def test_a_run_goes_on_where_it_stopped(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cell of other code is measured, in a process of its own, the others taken as they lie."""
    cells = sorted(run.experiment_of("degeneracy").cells(EFFORTS["quick"]))
    missing = "16/zero/0.01"
    before = published("degeneracy")
    leave_cells(scratch, cells)
    path = scratch / "results" / "cells" / "quick" / "degeneracy" / "16--zero--0.01.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sha256:", "sha256:0"), "utf-8")
    assert run.main(["degeneracy", "--effort", "quick", "--processes", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("degeneracy ") == 1
    assert f"1/1  degeneracy {missing}: " in printed.err
    target = scratch / "results" / "quick"
    names = ["degeneracy.json", "degeneracy.svg", "seconds.json"]
    assert sorted(path.name for path in target.iterdir()) == names
    found = json.loads((target / "degeneracy.json").read_text(encoding="utf-8"))
    assert {cell for cell in cells if found["cells"][cell] != before[cell]} == {missing}
    assert not list((scratch / "results" / "cells").rglob("*.json"))
    assert not (scratch / "published").exists()
    assert printed.out.startswith("| claim | what was run | result | by default |")


def test_an_unknown_experiment_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run.main(["acuracy"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith("evidence.run: error: no experiment: acuracy\n")


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n", encoding="utf-8")
    put_between(path, "table", "new\n")
    expected = "before\n<!-- table -->\nnew\n<!-- /table -->\nafter\n"
    assert path.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match=r"has no <!-- results --> \.\.\. <!-- /results -->"):
        put_between(path, "results", "new\n")
    assert path.read_text(encoding="utf-8") == expected


def test_ranks_count_directions() -> None:
    diagonal = torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0]))
    assert rank(diagonal) == 3
    assert stable_rank(diagonal) == pytest.approx(1.5)
    assert near_zero(diagonal) == pytest.approx(100 * 13 / 16)
    assert (rank(torch.zeros(3, 3)), stable_rank(torch.zeros(3, 3))) == (0, 0)


def test_words_for_a_mean_and_its_spread() -> None:
    assert spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert deviation([5.0]) == 0


def test_results_have_six_digits_and_no_infinity() -> None:
    value = {"a": [1 / 3, math.inf], "b": {1: (True, 2, None, "x")}}
    assert rounded(value) == {"a": [0.333333, None], "b": {"1": [True, 2, None, "x"]}}


@pytest.mark.parametrize(
    ("zero", "kaiming", "own", "expected"),
    [
        ([3.0, 3.2], [4.0, 4.2], [4.0, 4.2], "holds"),
        ([4.1, 4.3], [4.0, 4.2], [4.0, 4.2], "holds"),  # within a deviation
        ([5.0, 5.2], [4.0, 4.2], [6.0, 6.2], "holds partly"),
        ([5.0, 5.2], [4.0, 4.2], [4.0, 4.2], "does not hold"),
    ],
)
def test_accuracy_holds_where_no_random_start_is_better(
    zero: list[float], kaiming: list[float], own: list[float], expected: str
) -> None:
    values = {"zero": zero, "zero-paper": [0.0, 0.0], "kaiming": kaiming, "torch": own}
    assert verdict(values, "zero") == expected
    assert verdict(values, "zero-paper") == "holds"

"""The experiments: each still runs, and what is published is what its numbers say."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch

from evidence import run
from evidence.accuracy import verdict
from evidence.experiment import EFFORTS, Cells, deviation, rounded, spread
from evidence.figures import styled, write_svg
from evidence.ranks import near_zero, rank, stable_rank
from evidence.report import table, update_readme

TINY = EFFORTS["tiny"]
PUBLISHED = run.PUBLISHED  # before a test puts another in its place
README = run.PUBLISHED.parent / "README.md"
MEASURED = {  # cells that take a second or two; one of each kind
    "accuracy": ("vgg_bn/kaiming",),
    "degeneracy": ("16/zero/0.1", "64/partial-identity/0.3"),
    "low_rank": ("zero",),
    "policy_choices": ("separable/one-block", "resnet20/layer"),
    "reproducibility": ("mlp/kaiming/both", "mlp/bits/2 threads"),
    "ultra_deep": ("6/residual/fixup", "6/residual/zero-layer"),
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


@pytest.mark.long
@pytest.mark.parametrize("name", run.NAMES)
def test_a_figure_has_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    experiment, results = run.experiment_of(name), published(name)
    paths = [tmp_path / "one.svg", tmp_path / "other.svg"]
    for path in paths:
        with styled():
            write_svg(experiment.figure(results), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"<dc:date>" not in paths[0].read_bytes()


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
    assert printed.out.startswith("| claim | what was run | result | verdict |\n")


def test_an_unknown_experiment_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run.main(["acuracy"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith("evidence.run: error: no experiment: acuracy\n")


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no <!-- results --> \.\.\. <!-- /results -->"):
        update_readme(path, tmp_path, [])
    assert path.read_text(encoding="utf-8") == "no markers"


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
    assert verdict(values) == expected

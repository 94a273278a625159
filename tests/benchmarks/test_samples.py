"""What is made of measurements: spreads, ratios within rounds, the fit, targets, the README."""

from pathlib import Path

import pytest

from benchmarks.machine import Machine
from benchmarks.parts.sizes import fit, line
from benchmarks.results import read_results, write_results
from benchmarks.samples import Part, Row, Series, Spread, as_ratio, ratio, spread, total, value
from benchmarks.tables import update_readme
from benchmarks.targets import targets

SAMPLES = ({"ours": 2.0, "sha256": 1.0}, {"ours": 9.0, "sha256": 3.0}, {"ours": 8.0})
MACHINE = Machine(cores=2, cpu="a cpu", memory_bytes=8, system="Linux", load=0.0, versions={})


def part(key: str, name: str, *samples: dict[str, float]) -> Part:
    rows = (Row(label="head"), Row(label="a figure", figure=value("a"), form=as_ratio))
    return Part(key=key, title="A part", rows=rows, series=(Series(name=name, samples=samples),))


def test_a_ratio_is_taken_within_each_round() -> None:
    found = spread(SAMPLES, ratio(value("ours"), value("sha256")))
    assert found == Spread(median=2.5, least=2.0, most=3.0, count=2)


def test_a_sum_lacks_what_one_of_its_parts_lacks() -> None:
    assert [total("ours", "sha256")(sample) for sample in SAMPLES] == [3.0, 12.0, None]
    assert spread(SAMPLES, value("theirs")) is None


def test_the_line_through_exact_points_is_found() -> None:
    points = [(10.0**k, 0.25 + 10.0**k / 2e9) for k in range(6, 11)]
    start, slope = line(points)
    assert start == pytest.approx(0.25)
    assert 1 / slope == pytest.approx(2e9)


def test_the_fit_is_stated_with_its_worst_point() -> None:
    series = [
        Series(name=str(k), samples=({"file_bytes": 10.0**k, "t": 0.01 + 10.0**k / 2e9},))
        for k in (6, 8, 10)
    ]
    assert fit(series, "t") == "10.0 ms + bytes / (2.00 GB/s), every point within 0% of it"


def test_targets_are_held_against_what_was_measured() -> None:
    slow = {"write_seconds": 2.0, "sha256_seconds": 1.0, "verify_seconds": 1.2}
    held = {target.what: target for target in targets([part("models", "vit_h_14", slow)])}
    missed = held["vit_h_14: values + write + hash / SHA-256 alone"]
    assert (missed.bound_text, missed.found_text, missed.verdict) == ("at most 1.15", "2.00", "no")
    assert held["vit_h_14: verify / SHA-256 alone"].verdict == "yes"
    absent = held["--help / import typer"]
    assert (absent.found_text, absent.verdict) == ("not measured", "")


def test_memory_is_judged_by_the_most_of_all_parts() -> None:
    parts = [part("sizes", "1 GB", {"write_growth": 1e6}), part("many", "9", {"write_growth": 9e7})]
    label = "memory of values + write + hash above the plan, MB, the most of all"
    target = next(target for target in targets(parts) if target.what == label)
    assert (target.found_text, target.verdict) == ("90.0", "no")


def test_the_readme_gets_the_tables_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n")
    update_readme(path, MACHINE, [], [part("x", "subject", {"a": 1.0}, {"a": 3.0}, {})])
    text = path.read_text()
    assert text.startswith("before\n<!-- table -->\nMachine: 2 cores of a cpu")
    assert "| a figure | 2.00 (1.00 - 3.00), 2 rounds |\n" in text
    assert "| **head** |  |\n" in text
    assert text.endswith("<!-- /table -->\nafter\n")
    assert "old" not in text
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"bare\.md has no"):
        update_readme(tmp_path / "bare.md", MACHINE, [], [])


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert read_results(path) == []
    startup = part("startup", "--version", {"command_seconds": 0.25}, {"command_seconds": 0.5})
    write_results(path, MACHINE, [startup])
    [read] = read_results(path)
    assert (read.key, read.title, read.series) == (startup.key, startup.title, startup.series)
    assert next(row.label for row in read.rows) == "command / imports"

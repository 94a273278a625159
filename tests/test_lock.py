"""The lock: the same entries are the same text, in any order of runs, and are read as written."""

from pathlib import Path

from tests.entries import entry
from zeroinit_cli.lock import parse_lock, read_lock
from zeroinit_cli.lock.write import render_lock, update_lock

TEXT = """\
# Written by zeroinit; check with: zeroinit verify
version = 1

[[checkpoint]]
path = "a"
source = "torchvision:resnet18"
arguments = {num_classes = 10, ratios = [1, 2.5]}
options = {dtype = "float32", expansion = "sylvester", overrides = ["*.x=zeros", "y=ones"], \
residual = "layer", scale = "paper"}
scheme = "zero-1"
plan = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 1
tensors = 1
built-with = {torch = "2.13.0"}
"""


def test_an_entry_is_written_to_the_letter_and_read_as_written() -> None:
    made = entry("a", overrides=("*.x=zeros", "y=ones"))
    assert render_lock([made]) == TEXT
    [read] = parse_lock(TEXT.encode(), "x").checkpoint
    assert read == made
    assert read.read_source().arguments == {"num_classes": 10, "ratios": (1, 2.5)}
    options = read.read_options()
    assert (options.residual, options.scale) == ("layer", "paper")
    assert [str(override) for override in options.overrides] == ["*.x=zeros", "y=ones"]


def test_the_order_of_runs_does_not_show(tmp_path: Path) -> None:
    texts = set()
    for number, names in enumerate((["a", "b", "c/d"], ["c/d", "b", "a", "b"])):
        path = tmp_path / str(number)
        for name in names:
            update_lock(path, entry(name))
        texts.add(path.read_bytes())
    assert len(texts) == 1


def test_an_entry_takes_the_place_of_the_one_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "zeroinit.lock"
    for digest in ("1" * 64, "2" * 64):
        update_lock(path, entry("a", sha256=digest))
    [found] = read_lock(path).checkpoint
    assert found.sha256 == "2" * 64

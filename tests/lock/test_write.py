"""The lock: the same entries are the same text, in any order of runs, and are read as written."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.entries import entry
from zeroinit_cli.arguments import Scalar
from zeroinit_cli.lock import parse_lock, read_lock
from zeroinit_cli.lock.write import render_lock, update_lock
from zeroinit_cli.policies import PAPER

TEXT = """\
# Written by zeroinit; check with: zeroinit verify
version = 1

[[checkpoint]]
path = "a"
source = "torchvision:resnet18"
arguments = {num_classes = 10, ratios = [1, 2.5]}
options = {dtype = "float32", overrides = ["*.x=zeros", "y=ones"], policy = "paper"}
scheme = "zero-2"
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
    assert options.policy == PAPER
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


SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1), SCALARS | st.lists(SCALARS, max_size=4), max_size=4),
    st.lists(st.text(min_size=1).map(lambda pattern: f"{pattern}=zeros"), max_size=4),
)
def test_any_argument_and_any_override_is_read_as_it_was_written(
    arguments: dict[str, Scalar | list[Scalar]], overrides: list[str]
) -> None:
    """Of any text, quotes, control characters and line ends included."""
    made = entry("a", overrides=tuple(overrides)).model_copy(update={"arguments": arguments})
    [read] = parse_lock(render_lock([made]).encode(), "x").checkpoint
    assert read == made
    # 1, 1.0 and true are equal, but build other modules
    assert {key: repr(value) for key, value in read.arguments.items()} == {
        key: repr(value) for key, value in arguments.items()
    }

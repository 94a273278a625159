"""Some of each class of the matrix, and some kills: the figures of docs/reliability.md in small."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.header import STRICTER
from tests.reliability import matrix, small
from tests.reliability.matrix import all_rows
from tests.reliability.small import small_checkpoint

ROOT = Path(__file__).parents[2]


def test_no_change_is_accepted(tmp_path: Path) -> None:
    with small_checkpoint(tmp_path) as data:
        rows = list(all_rows(data, quick=True))
    assert len(rows) == 14
    for row in rows:
        assert row.tried - row.meaningless > 0, row.name
        assert row.accepted.total() == 0, row.name
    judges = {judge for row in rows for judge in row.accepted}
    assert judges == {"`verify`", "`verify --hash-only`", "check.py", "`sha256sum -c`"}


def test_a_judge_that_accepts_everything_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_checkpoint(tmp_path) as data:
        monkeypatch.setattr(matrix, "judges", lambda: {"nobody": lambda: 0})
        first = next(matrix.checkpoint_rows(data, quick=True))
    assert first.accepted["nobody"] == first.tried


@pytest.mark.parametrize("code", [1, 70])
def test_a_judge_that_accepts_nothing_or_fails_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with small_checkpoint(tmp_path) as data:
        monkeypatch.setattr(matrix, "judges", lambda: {"nobody": lambda: code})
        with pytest.raises(RuntimeError, match=r"is not accepted|ended with 70"):
            next(all_rows(data, quick=True))


def test_a_source_is_planned_once_and_another_anew(tmp_path: Path) -> None:
    """What makes the matrix fast changes no answer."""
    with small_checkpoint(tmp_path), small.planned_once():
        assert small.command("verify") == 0
        Path("net.yaml").write_text(small.SPEC.replace("Linear: 5", "Linear: 6"))
        assert small.command("verify") == 1


@pytest.mark.skipif(not hasattr(sys, "getsid") and sys.platform == "win32", reason="needs fork")
def test_killed_at_random_moments_nothing_is_lost_or_left(tmp_path: Path) -> None:
    """A child of its own, which forks the writers; `python -m tests.reliability --faults 200`."""
    command = [sys.executable, "-m", "tests.reliability", "--faults", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("12 kills: every file whole, no entry lost; after ")


def test_the_page_names_every_class_of_changes_and_every_reason_to_be_stricter() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    names = {"the checkpoint of other options", "each byte of the lock, some values"}
    names |= {"each field of the lock edited, left out, given twice"}
    names |= {"each byte of the sidecar, some values", *matrix.checkpoint_classes(b"{}" + bytes(9))}
    assert {name for name in names if f"| {name} |" not in page} == set()
    assert {reason for reason in STRICTER if f"| {reason} |" not in page} == set()

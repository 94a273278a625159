"""Some of each class of the matrices, and some kills: docs/reliability.md in small."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch

import zeroinit_cli
from tests.fuzz.header import STRICTER
from tests.reliability import folder_mutants, matrix, shard_locks, sharded, small
from tests.reliability.matrix import all_rows
from tests.reliability.rows import Row, by_sha256sum
from tests.reliability.sharded import all_folder_rows
from tests.reliability.small import FOLDER, SUMS, small_checkpoint, small_shards
from zeroinit_cli.filenames import INDEX
from zeroinit_cli.lock import read_lock

ROOT = Path(__file__).parents[2]
JUDGES = {"`verify`", "`verify --hash-only`", "check.py", "`sha256sum -c`"}


def check_rows(rows: list[Row]) -> set[str]:
    """See that each was tried and none was accepted; who judged."""
    for row in rows:
        assert row.tried - row.meaningless > 0, row.name
        assert row.accepted.total() == 0, row.name
    return {judge for row in rows for judge in row.accepted}


@pytest.mark.long
def test_no_change_is_accepted(tmp_path: Path) -> None:
    with small_checkpoint(tmp_path) as data:
        rows = list(all_rows(data, quick=True))
    assert len(rows) == 14
    assert check_rows(rows) == JUDGES


@pytest.mark.long
def test_no_change_of_shards_is_accepted(tmp_path: Path) -> None:
    with small_shards(tmp_path) as files:
        rows = list(all_folder_rows(files, quick=True))
        left = {path.name: path.read_bytes() for path in Path(FOLDER).iterdir()}
    assert len(rows) == 30
    assert check_rows(rows) == {*JUDGES, "its digest in the lock"}
    assert left.keys() == {*files, SUMS, "zeroinit.lock"}
    assert left | files == left


@pytest.fixture
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Iterator[Row]]:
    """Those of the small file, or of the small shards, as a test asks for them."""
    if request.param == "file":
        with small_checkpoint(tmp_path) as data:
            yield all_rows(data, quick=True)
    else:
        with small_shards(tmp_path) as files:
            yield all_folder_rows(files, quick=True)


def test_a_judge_that_accepts_everything_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "shards").mkdir()
    everything = dict.fromkeys(("`verify`", "`verify --hash-only`"), lambda: 0)
    for module in (matrix, sharded, shard_locks):
        monkeypatch.setattr(module, "judges", lambda **options: everything)
    with small_checkpoint(tmp_path / "file") as data:
        first = [next(matrix.checkpoint_rows(data, quick=True))]
    with small_shards(tmp_path / "shards") as files:
        first += [next(sharded.folder_rows(files, quick=True))]
        first += [next(shard_locks.folder_lock_rows(quick=True))]
    for row in first:
        assert row.accepted["`verify`"] == row.tried - row.meaningless > 0, row.name


@pytest.mark.parametrize("code", [1, 70])
@pytest.mark.parametrize("rows", ["file", "shards"], indirect=True)
def test_a_judge_that_accepts_nothing_or_fails_is_seen(
    rows: Iterator[Row], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    for module in (matrix, sharded):
        monkeypatch.setattr(module, "judges", lambda **options: {"nobody": lambda: code})
    with pytest.raises(RuntimeError, match=r"is not accepted|ended with 70"):
        next(rows)


def test_a_source_is_planned_once_and_another_anew(tmp_path: Path) -> None:
    """What makes the matrix fast changes no answer."""
    with small_checkpoint(tmp_path), small.planned_once():
        assert small.command("verify") == 0
        Path("net.yaml").write_text(small.SPEC.replace("Linear: 5", "Linear: 6"))
        assert small.command("verify") == 1


def test_tensors_are_moved_between_shards_so_that_every_loader_gives_the_same(
    tmp_path: Path,
) -> None:
    """What verification refuses of them is nothing but the bytes: the Hub's loader is content."""
    with small_shards(tmp_path) as files:
        assert folder_mutants.files_of(folder_mutants.tensors_of(files)) == files
        expected = zeroinit_cli.init_(zeroinit_cli.build(Path("net.yaml"))).state_dict()
        changes = list(folder_mutants.moved_across(files))[::8]
        assert changes
        for change in changes:
            with folder_mutants.changed(Path(FOLDER), files, change):
                loaded: dict[str, torch.Tensor] = {}
                for name in files:
                    if name != INDEX:
                        loaded |= safetensors.torch.load_file(Path(FOLDER) / name)
                model = zeroinit_cli.build(Path("net.yaml"))
                huggingface_hub.load_torch_model(model, FOLDER, strict=True)
                assert small.command("inspect", FOLDER) == 0
                for state in (loaded, model.state_dict()):
                    assert state.keys() == expected.keys()
                    assert all(state[name].equal(value) for name, value in expected.items())


def test_a_link_within_the_folder_to_the_right_bytes_is_the_file(tmp_path: Path) -> None:
    """As the Hub's cache has it: what the matrix refuses of links is where they lead."""
    with small_shards(tmp_path) as files:
        for name in files:
            path = Path(FOLDER) / name
            path.rename(Path(FOLDER) / f"blob-{name}.bin")
            path.symlink_to(f"blob-{name}.bin")
        assert [judge() for judge in small.judges(folder=FOLDER).values()] == [0, 0, 0]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
def test_a_list_of_sums_that_was_cut_is_seen_by_the_lock_alone(tmp_path: Path) -> None:
    """Why the matrix asks for the list's digest: the tool is content with what is left."""
    with small_shards(tmp_path):
        sums = Path(FOLDER) / SUMS
        whole = sums.read_bytes()
        [entry] = read_lock(Path(FOLDER) / "zeroinit.lock").checkpoint
        assert hashlib.sha256(whole).hexdigest() == entry.sha256
        lines = whole.splitlines(keepends=True)
        for cut in (b"".join(lines[1:]), b"#" + whole):
            sums.write_bytes(cut)
            assert by_sha256sum(sums)() == 0


@pytest.mark.long
@pytest.mark.skipif(not hasattr(sys, "getsid") and sys.platform == "win32", reason="needs fork")
def test_killed_at_random_moments_nothing_is_lost_or_left(tmp_path: Path) -> None:
    """A child of its own, which forks the writers; `python -m tests.reliability --faults 200`."""
    command = [sys.executable, "-m", "tests.reliability", "--faults", "16"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("16 kills: every file whole, no entry lost; after ")
    assert second.startswith("4 of them of a folder with shards: no mixture for a loader to take")


def test_the_page_names_every_class_of_changes_and_every_reason_to_be_stricter() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    names = {"the checkpoint of other options", "each byte of the lock, some values"}
    names |= {"each field of the lock edited, left out, given twice"}
    names |= {"each byte of the sidecar, some values", *matrix.checkpoint_classes(b"{}" + bytes(9))}
    names |= {*sharded.folder_classes({INDEX: b"{}"}), sharded.STRANGE}
    names |= {*shard_locks.LOCK_CLASSES, *shard_locks.SUMS_CLASSES}
    assert {name for name in names if f"| {name} |" not in page} == set()
    assert {reason for reason in STRICTER if f"| {reason} |" not in page} == set()

"""`zeroinit restore`: what a lock names and its folder lacks is written, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.test_verify import edit
from zeroinit_cli.commands import exchange
from zeroinit_cli.store import write

SPEC = "zeroinit: 1\ninput: 8\nlayers: [Linear: 4]\n"
OTHER = "zeroinit: 1\ninput: 8\nlayers: [Linear: 5]\n"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def whole(folder: Path) -> Path:
    """Where the same folder lies as it was before its weights were lost."""
    return folder.with_name(f"{folder.name}-whole")


@pytest.fixture
def clone(zeroinit: Command, tmp_path: Path) -> Path:
    """A folder as git has it: spec and lock, and no weights."""
    (tmp_path / "net.yaml").write_text(SPEC)
    (tmp_path / "weights").mkdir()
    one = ("net.yaml", "-o", "weights/one.safetensors", "--lock", "zeroinit.lock")
    assert zeroinit("generate", *one).code == 0
    (tmp_path / "two").mkdir()
    two = ("net.yaml", "-o", "two/", "--lock", "zeroinit.lock", "--max-shard-size", "100")
    assert zeroinit("generate", *two).code == 0
    shutil.copytree(tmp_path, whole(tmp_path))
    shutil.rmtree(tmp_path / "weights")
    shutil.rmtree(tmp_path / "two")
    return tmp_path


def test_what_the_folder_lacks_is_written_again_byte_for_byte(
    zeroinit: Command, clone: Path
) -> None:
    result = zeroinit("restore")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "restored: two\n"
        "  model-00001-of-00002.safetensors: 232 bytes\n"
        "  model-00002-of-00002.safetensors: 120 bytes\n"
        "  model.safetensors.index.json: 170 bytes\n"
        "restored: weights/one.safetensors\n"
        "  one.safetensors: 312 bytes\n"
    )
    assert contents(clone) == contents(whole(clone))
    again = zeroinit("restore")
    assert (again.code, again.out) == (0, "ok: two\nok: weights/one.safetensors\n")


def test_one_shard_that_is_missing_is_restored_alone(zeroinit: Command, clone: Path) -> None:
    assert zeroinit("restore", "-q").code == 0
    (clone / "two" / "model-00001-of-00002.safetensors").unlink()
    other = clone / "two" / "model-00002-of-00002.safetensors"
    kept = other.stat()
    assert zeroinit("restore", "two").out == (
        "restored: two\n  model-00001-of-00002.safetensors: 232 bytes\n"
    )
    now = other.stat()  # but for the time of the last reading, which reading changes
    assert (now.st_ino, now.st_size, now.st_mtime_ns) == (
        kept.st_ino,
        kept.st_size,
        kept.st_mtime_ns,
    )
    assert contents(clone) == contents(whole(clone))


def test_a_file_with_other_bytes_is_never_replaced(zeroinit: Command, clone: Path) -> None:
    (clone / "weights").mkdir()
    path = clone / "weights" / "one.safetensors"
    for mode in ((), ("--update",)):
        path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\n")
        before = path.read_bytes()
        result = zeroinit("restore", *mode)
        assert result.code == 1
        assert "changed: weights/one.safetensors\n  sha256: locked " in result.out
        assert "probably: a Git LFS pointer in place of the file; it points to other" in result.out
        assert "hint: no file is replaced: remove it" in result.out
        assert path.read_bytes() == before
    assert zeroinit("verify", "two").code == 0  # the other is restored all the same


def test_what_has_drifted_is_told_and_written_only_with_update(
    zeroinit: Command, clone: Path
) -> None:
    assert zeroinit("restore", "-q").code == 0
    (clone / "net.yaml").write_text(OTHER)
    (clone / "weights" / "one.safetensors").unlink()
    before, lock = contents(clone), (clone / "zeroinit.lock").read_text()
    result = zeroinit("restore")
    assert result.code == 1
    assert result.out.startswith("ok: two\ndrifted: weights/one.safetensors\n  the spec net.yaml")
    assert result.out.endswith(
        "  hint: zeroinit restore --update writes and locks what comes out now\n"
    )
    assert contents(clone) == before
    result = zeroinit("restore", "--update")
    assert result.code == 0
    assert result.out.startswith("updated: two\n  the spec net.yaml has changed: locked ")
    assert "\nupdated: weights/one.safetensors\n" in result.out
    assert result.out.count("\n  sha256: locked ") == 2
    assert (clone / "zeroinit.lock").read_text() != lock
    assert zeroinit("verify").code == 0
    assert zeroinit("restore", "--update").out == "ok: two\nok: weights/one.safetensors\n"


def test_update_names_the_tensors_that_changed(zeroinit: Command, clone: Path) -> None:
    assert zeroinit("restore", "-q").code == 0
    (clone / "net.yaml").write_text(OTHER)
    result = zeroinit("restore", "--update")
    assert "  tensor '0.weight': expected F32 [5, 8], found F32 [4, 8]\n" in result.out


def test_bytes_are_checked_before_they_are_put_in_place(
    zeroinit: Command, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk, a memory or a version that gives other bytes leaves no file behind."""

    def wrong(*arguments: object) -> str:
        write.write_checkpoint(*arguments)  # type: ignore[arg-type]  # passed on as they come
        return "0" * 64

    monkeypatch.setattr(exchange, "write_checkpoint", wrong)
    before = contents(clone)
    result = zeroinit("restore", "zeroinit.lock")
    assert result.code == 2
    assert result.err.count("error: the plan no longer gives the locked bytes in ") == 2
    assert contents(clone) == before


def test_an_error_in_one_keeps_no_other_from_being_restored(zeroinit: Command, clone: Path) -> None:
    edit(clone / "zeroinit.lock", '"weights/one', '"../outside/one')
    refused = zeroinit("restore")
    assert (refused.code, refused.out) == (2, "")
    edit(clone / "zeroinit.lock", '"../outside/one', '"link/one')
    outside = clone.with_name(f"{clone.name}-outside")
    outside.mkdir()
    (clone / "link").symlink_to(outside)
    result = zeroinit("restore")
    assert result.code == 2
    assert "\nunanswered: link/one.safetensors\n" in result.out
    assert "error: a checkpoint's path leaves the lock's folder" in result.err
    assert list(outside.iterdir()) == []
    assert zeroinit("verify", "two").code == 0


def test_programs_get_json(zeroinit: Command, clone: Path) -> None:
    result = zeroinit("restore", "--json")
    assert [(each["path"], each["status"]) for each in result.json["checkpoints"]] == [
        ("two", "restored"),
        ("weights/one.safetensors", "restored"),
    ]

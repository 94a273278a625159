"""`zeroinit generate`: what it leaves behind, repairs, refuses and replaces."""

import hashlib
import os
import shlex
import stat
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import tomlkit

from tests.cli.command import MODEL, SIZE, Command, child


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_leaves_three_files_and_nothing_else(made: Path) -> None:
    assert names(made) == ["init.safetensors", "init.safetensors.sha256", "zeroinit.lock"]
    digest = sha256(made / "init.safetensors")
    assert (made / "init.safetensors.sha256").read_text() == f"{digest}  init.safetensors\n"
    text = (made / "zeroinit.lock").read_text()
    lines = text.splitlines()
    assert lines[:3] == [
        "# Written by zeroinit; check with: zeroinit verify",
        "version = 1",
        "",
    ]
    [entry] = tomlkit.parse(text).unwrap()["checkpoint"]
    plan = entry.pop("plan")
    assert plan.startswith("sha256:")
    assert entry == {
        "path": "init.safetensors",
        "source": f"torchvision:{MODEL}",
        "options": {"dtype": "float32", "policy": "default"},
        "scheme": "zero-2",
        "sha256": digest,
        "size": SIZE,
        "tensors": 338,
        "built-with": {name: version(name).partition("+")[0] for name in ("torch", "torchvision")},
    }
    assert [line.partition(" ")[0] for line in lines[4:]] == [
        "path",
        "source",
        "options",
        "scheme",
        "plan",
        "sha256",
        "size",
        "tensors",
        "built-with",
    ]


@pytest.mark.parametrize("name", ["init.safetensors", "with space", "back\\slash", "new\nline"])
def test_sha256sum_accepts_the_sidecar(zeroinit: Command, tmp_path: Path, name: str) -> None:
    result = zeroinit("generate", MODEL, "-o", name, "--no-lock")
    assert result.code == 0
    checked = subprocess.run(
        ["sha256sum", "-c", f"{name}.sha256"], cwd=tmp_path, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_summary_goes_to_standard_error_and_the_digest_to_standard_output(
    zeroinit: Command, tmp_path: Path
) -> None:
    result = zeroinit("generate", MODEL, "-o", "a.safetensors")
    digest = sha256(tmp_path / "a.safetensors")
    assert (result.code, result.out) == (0, f"{digest}  a.safetensors\n")
    assert result.err == (
        f"a.safetensors written: 338 tensors, {SIZE:,} bytes, recorded in zeroinit.lock\n"
    )


def test_what_the_plan_warns_of_is_counted_with_the_command_that_tells(
    zeroinit: Command, tmp_path: Path
) -> None:
    options = ("--set", "num_classes=7", "--policy", "paper", "--override", "*.1.bias=ones")
    result = zeroinit("generate", MODEL, "-o", "a.safetensors", "--no-lock", *options)
    told = result.err.splitlines()[-1]
    command = f"zeroinit plan {MODEL} --set num_classes=7 --policy paper --override '*.1.bias=ones'"
    assert told == f"1 warning about how it trains: {command}"
    assert zeroinit(*shlex.split(command)[1:]).err.count("warning: ") == 1
    again = zeroinit("generate", MODEL, "-o", "a.safetensors", "--no-lock", *options, "-q")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_json_and_quiet(zeroinit: Command, tmp_path: Path) -> None:
    result = zeroinit("generate", MODEL, "-o", "a.safetensors", "--no-lock", "--json")
    assert result.json == {
        "already_there": False,
        "path": "a.safetensors",
        "sha256": sha256(tmp_path / "a.safetensors"),
        "size": SIZE,
        "tensors": 338,
        "warnings": 0,
    }
    assert result.err == ""
    again = zeroinit("generate", MODEL, "-o", "a.safetensors", "--no-lock", "-q")
    assert (again.code, again.out, again.err) == (0, "", "")
    assert names(tmp_path) == ["a.safetensors", "a.safetensors.sha256"]


def test_the_same_bytes_are_left_alone_and_what_belongs_to_them_repaired(
    zeroinit: Command, made: Path
) -> None:
    expected = {path.name: path.read_bytes() for path in made.iterdir()}
    before = (made / "init.safetensors").stat()
    (made / "init.safetensors.sha256").write_text("wrong")
    (made / "zeroinit.lock").unlink()
    result = zeroinit("generate", MODEL, "-o", "init.safetensors")
    assert result.code == 0
    assert result.err.startswith("init.safetensors was there already with these bytes: ")
    assert {path.name: path.read_bytes() for path in made.iterdir()} == expected
    after = (made / "init.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [b"mine", b"\0" * SIZE], ids=["another size", "this size"])
def test_another_file_is_never_replaced_without_force(
    zeroinit: Command, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "init.safetensors"
    path.write_bytes(content)
    result = zeroinit("generate", MODEL, "-o", "init.safetensors")
    assert result.code == 2
    assert result.err == (
        "error: another file is there in init.safetensors\n"
        "  expected: no file, or one with the bytes of this source and these options\n"
        "\n"
        "hint: --force replaces it\n"
    )
    assert path.read_bytes() == content
    assert names(tmp_path) == ["init.safetensors"]
    assert zeroinit("generate", MODEL, "-o", "init.safetensors", "--force").code == 0
    assert zeroinit("verify").code == 0


def test_a_pointer_in_place_of_the_checkpoint_is_told(zeroinit: Command, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    (tmp_path / "init.safetensors").write_text(pointer)
    result = zeroinit("generate", MODEL, "-o", "init.safetensors")
    assert (result.code, result.err) == (
        2,
        "error: another file is there in init.safetensors\n"
        "  expected: no file, or one with the bytes of this source and these options\n"
        "  found: a Git LFS pointer in place of the file\n"
        "\n"
        "hint: --force replaces it\n",
    )


def test_two_checkpoints_share_a_lock_sorted_by_path(zeroinit: Command, made: Path) -> None:
    (made / "sub").mkdir()
    for name in ("sub/b.safetensors", "a.safetensors"):
        arguments = ("--dtype", "float16", "--set", "num_classes=7")
        result = zeroinit("generate", MODEL, "-o", name, "--lock", "zeroinit.lock", *arguments)
        assert result.code == 0, result.err
    entries = tomlkit.parse((made / "zeroinit.lock").read_text()).unwrap()["checkpoint"]
    assert [entry["path"] for entry in entries] == [
        "a.safetensors",
        "init.safetensors",
        "sub/b.safetensors",
    ]
    assert entries[0]["arguments"] == {"num_classes": 7}
    assert zeroinit("verify").code == 0


REFUSED: list[tuple[str, tuple[str, ...], str]] = [
    ("pipe/", (), "error: not a folder in pipe\n"),
    ("link/", (), "error: not a folder in link\n"),
    (
        "link",
        (),
        "error: a symbolic link, which would be replaced by a file in link\n"
        "\nhint: give the path that it points to, or remove it\n",
    ),
    ("pipe", (), "error: not a regular file in pipe\n"),
    (
        "none/init.safetensors",
        (),
        "error: no such folder in none\n\nhint: mkdir -p none\n",
    ),
    (
        "zeroinit.lock",
        (),
        "error: a checkpoint cannot be called like the lock in zeroinit.lock\n",
    ),
    (
        "none/such/",
        (),
        "error: no such folder in none\n\nhint: mkdir -p none\n",
    ),
    (
        "x.safetensors",
        ("--lock", "folder/zeroinit.lock"),
        "error: the checkpoint lies outside the lock's folder in --lock\n"
        "  expected: a path within {cwd}/folder\n"
        "  found: {cwd}/x.safetensors\n"
        "\nhint: use a lock in a folder above both, or --no-lock\n",
    ),
    (
        "x.safetensors",
        ("--lock", "link", "--no-lock"),
        "error: --lock and --no-lock exclude each other in the options\n",
    ),
    (
        "back\\slash",
        (),
        "error: a name that a lock cannot hold in --output\n"
        "  expected: printable characters without a backslash\n"
        "  found: 'back\\\\slash'\n"
        "\nhint: choose another name, or --no-lock\n",
    ),
]


@pytest.mark.parametrize(("output", "options", "message"), REFUSED)
def test_what_cannot_be_written_is_refused_before_the_work(
    zeroinit: Command, tmp_path: Path, output: str, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    result = zeroinit("generate", "no_such_model", "-o", output, *options)
    assert (result.code, result.err) == (2, message.replace("{cwd}", str(tmp_path)))
    assert names(tmp_path) == before


def test_a_folder_without_permission_is_refused(
    zeroinit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    result = zeroinit("generate", MODEL, "-o", "init.safetensors")
    assert (result.code, result.err) == (
        2,
        "error: cannot write the file in init.safetensors\n  found: Permission denied\n",
    )


@pytest.mark.long
def test_modes_follow_the_umask_or_the_old_file(tmp_path: Path) -> None:
    arguments = ("generate", "squeezenet1_1", "-o", "a", "--no-lock")
    assert child(*arguments, cwd=tmp_path, umask=0o027).returncode == 0
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "a.sha256").stat().st_mode) == 0o640
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o604)
    assert child(*arguments, "--force", cwd=tmp_path).returncode == 0
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o604
    assert (tmp_path / "a").stat().st_size > 3


def test_a_full_disk_leaves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files, which the system enforces like a full disk."""
    (tmp_path / "a").write_text("old")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000));"
        "from zeroinit_cli.__main__ import main; main()"
    )
    import sys

    done = subprocess.run(
        [sys.executable, "-c", script, "generate", MODEL, "-o", "a", "--no-lock", "--force"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: cannot write the file in a\n  found: File too large\n",
    )
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_digest_is_that_of_the_file_that_generate_writes(zeroinit: Command, made: Path) -> None:
    before = names(made)
    digest = sha256(made / "init.safetensors")
    assert zeroinit("digest", MODEL).out == f"{digest}\n"
    result = zeroinit("digest", MODEL, "--json").json
    assert (result["sha256"], result["size"]) == (digest, SIZE)
    assert zeroinit("digest", MODEL, "--policy", "paper").out != f"{digest}\n"
    assert names(made) == before

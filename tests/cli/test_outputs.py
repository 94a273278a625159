"""Where `generate` may not write: said in words, before the work, with nothing left behind."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zeroinit_cli
from tests.cli.command import MODEL, Command
from tests.cli.privileges import unprivileged


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("lock", ["a", "a.sha256", "./a", "sub/../a.sha256"])
def test_the_lock_is_neither_the_checkpoint_nor_its_sidecar(
    zeroinit: Command, tmp_path: Path, lock: str
) -> None:
    (tmp_path / "sub").mkdir()
    result = zeroinit("generate", "no_such_model", "-o", "a", "--lock", lock)
    assert (result.code, result.err) == (
        2,
        "error: the lock would replace the checkpoint or its .sha256 in --lock\n"
        "  expected: a path of its own, such as zeroinit.lock\n"
        f"  found: {Path(lock)}\n",
    )
    assert names(tmp_path) == ["sub"]


@pytest.mark.parametrize(
    ("options", "where", "found"),
    [
        (("-o", "./my.yaml", "--force"), "--output", "my.yaml"),
        (("-o", "hard", "--force"), "--output", "hard"),
        (("-o", "a", "--lock", "my.yaml"), "--lock", "my.yaml"),
    ],
)
def test_nothing_replaces_the_spec_that_a_checkpoint_is_made_from(
    zeroinit: Command, tmp_path: Path, options: tuple[str, ...], where: str, found: str
) -> None:
    spec = tmp_path / "my.yaml"
    shutil.copy(Path(zeroinit_cli.__file__).parents[1] / "model_specs" / "autoencoder.yaml", spec)
    (tmp_path / "hard").hardlink_to(spec)
    text = spec.read_bytes()
    result = zeroinit("generate", "my.yaml", *options)
    assert (result.code, result.out, result.err) == (
        2,
        "",
        f"error: the spec itself would be replaced in {where}\n"
        "  expected: a path of its own\n"
        f"  found: {found}\n",
    )
    assert spec.read_bytes() == text
    assert names(tmp_path) == ["hard", "my.yaml"]


def test_force_does_not_replace_the_lock_by_a_checkpoint(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "my.lock").write_text("version = 1\n")
    result = zeroinit("generate", MODEL, "-o", "my.lock", "--lock", "my.lock", "--force")
    assert result.code == 2
    assert (tmp_path / "my.lock").read_text() == "version = 1\n"


def test_a_folder_in_the_sidecars_place_is_said_before_the_work(
    zeroinit: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.sha256").mkdir()
    result = zeroinit("generate", MODEL, "-o", "a")
    assert (result.code, result.err) == (
        2,
        "error: a folder of this name is there in a.sha256\n",
    )
    assert names(tmp_path) == ["a.sha256"]


@pytest.mark.parametrize("length", [237, 256])
def test_a_name_too_long_for_its_siblings_is_said_before_the_work(
    zeroinit: Command, tmp_path: Path, length: int
) -> None:
    name = "n" * length
    result = zeroinit("generate", MODEL, "-o", name)
    assert result.code == 2
    assert result.err.startswith("error: cannot write the file in nnn")
    assert result.err.endswith("\n  found: File name too long\n")
    assert names(tmp_path) == []


@pytest.mark.parametrize("folder", ["two words", "it's", "$HOME"])
def test_the_hint_for_a_missing_folder_can_be_pasted_into_a_shell(
    zeroinit: Command, folder: str
) -> None:
    result = zeroinit("generate", MODEL, "-o", f"{folder}/a")
    assert (result.code, result.err) == (
        2,
        f"error: no such folder in {folder}\n\nhint: mkdir -p {shlex.quote(folder)}\n",
    )


def test_a_name_cannot_forge_a_line_of_a_message(zeroinit: Command) -> None:
    result = zeroinit("generate", MODEL, "-o", "x\nok: all is well\x1b[2K/a")
    assert result.code == 2
    assert result.err.startswith("error: no such folder in x\\nok: all is well\\x1b[2K\n")
    assert not any(line.startswith("ok:") for line in result.err.splitlines())


@pytest.mark.parametrize("options", [(), ("--no-lock",)])
def test_a_folder_that_may_not_be_written_is_refused(
    zeroinit: Command, tmp_path: Path, options: tuple[str, ...]
) -> None:
    zeroinit("digest", MODEL)  # what is imported on first use is out of reach below
    tmp_path.chmod(0o555)
    with unprivileged():
        result = zeroinit("generate", MODEL, "-o", "a", *options)
    tmp_path.chmod(0o755)
    assert (result.code, result.err) == (
        2,
        "error: cannot write the file in a\n  found: Permission denied\n",
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        (
            "my.lock",
            (),
            "error: a checkpoint cannot be called like a lock in my.lock\n",
        ),
        (
            "a:b",
            (),
            "error: a name that a lock cannot hold in --output\n"
            "  expected: no letter and colon at its start, which Windows takes for a drive\n"
            "  found: 'a:b'\n"
            "\nhint: choose another name, or --no-lock\n",
        ),
        (
            ".b.zeroinit-part",
            (),
            "error: a name that is kept for unfinished files, which are cleared in --output\n"
            "  found: .b.zeroinit-part\n",
        ),
        (
            "a",
            ("--lock", ".a.zeroinit-guard"),
            "error: a name that is kept for unfinished files, which are cleared in --lock\n"
            "  found: .a.zeroinit-guard\n",
        ),
        (
            "folder/.a.zeroinit-stage/",
            (),
            "error: a name that is kept for unfinished files, which are cleared in --output\n"
            "  found: folder/.a.zeroinit-stage\n",
        ),
        (
            "linked",
            (),
            "error: a symbolic link, which would be replaced by a file in linked.sha256\n"
            "\nhint: remove it\n",
        ),
        (
            "a",
            ("--lock", "linked.sha256"),
            "error: a symbolic link, which would be replaced by a file in linked.sha256\n"
            "\nhint: give the path that it points to, or remove it\n",
        ),
        ("a", ("--lock", "folder"), "error: a folder of this name is there in folder\n"),
        ("a", ("--lock", "."), "error: a folder of this name is there in .\n"),
        (
            "a",
            ("--lock", "none/my.lock"),
            "error: no such folder in none\n\nhint: mkdir -p none\n",
        ),
        ("file/a", (), "error: not a folder in file\n"),
        ("looped/a", (), "error: not a folder in looped\n"),
        (
            "c",
            (),
            "error: what is there keeps c from being written in .c.zeroinit-guard\n"
            "\nhint: remove it\n",
        ),
        (
            "d",
            (),
            "error: what is there keeps d.sha256 from being written in .d.sha256.zeroinit-part\n"
            "\nhint: remove it\n",
        ),
        (
            "e",
            (),
            "error: what is there keeps e from being written in .e.zeroinit-stage\n"
            "\nhint: remove it\n",
        ),
        (
            "a",
            ("--override", "[f\udcff]c.weight=zeros"),
            "error: no text that a lock can hold in --override\n"
            "  expected: UTF-8\n"
            "  found: '[f\\udcff]c.weight=zeros'\n"
            "\nhint: write it in UTF-8, or --no-lock\n",
        ),
        (
            "a",
            ("--set", "x=\udcff"),
            "error: no text that a lock can hold in --set x\n"
            "  expected: UTF-8\n"
            "  found: '\\udcff'\n"
            "\nhint: write it in UTF-8, or --no-lock\n",
        ),
    ],
)
def test_what_would_fail_or_harm_later_is_refused_before_the_work(
    zeroinit: Command, tmp_path: Path, output: str, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "looped").symlink_to("looped")
    (tmp_path / "linked.sha256").symlink_to("elsewhere")
    (tmp_path / ".c.zeroinit-guard").symlink_to("elsewhere")
    (tmp_path / ".d.sha256.zeroinit-part").mkdir()
    (tmp_path / ".e.zeroinit-stage" / "folder").mkdir(parents=True)
    before = names(tmp_path)
    result = zeroinit("generate", "no_such_model", "-o", output, *options)
    assert (result.code, result.out, result.err) == (2, "", message)
    assert names(tmp_path) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder of Linux")
@pytest.mark.timeout(60)
def test_a_folder_in_which_no_file_can_be_made_is_not_waited_for(zeroinit: Command) -> None:
    result = zeroinit("generate", MODEL, "-o", "/proc/a", "--no-lock")
    assert (result.code, result.out) == (2, "")
    assert result.err in (  # as root, and as another user
        "error: cannot write the file in /proc/a\n  found: No such file or directory\n",
        "error: cannot write the file in /proc/a\n  found: Permission denied\n",
    )


HOLDER = """
import sys
from pathlib import Path
from zeroinit_cli.atomic import guarded

with guarded(Path("a\\n")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_waits_for_another_writer_is_told_so_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        command = [sys.executable, "-m", "zeroinit_cli"]
        arguments = ["generate", MODEL, "-o", "a\n", "--no-lock"]
        with subprocess.Popen(
            [*command, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as waiter:
            assert waiter.stderr is not None
            said = waiter.stderr.readline()
            assert said == b"waiting for another zeroinit that is writing a\\n\n"
            assert names(tmp_path) == [".a\n.zeroinit-guard"]
            holder.communicate()
            said = waiter.stderr.read()
            assert (waiter.wait(), said) == (
                0,
                b"a\\n written: 338 tensors, 5,530,712 bytes\n",
            )
    assert names(tmp_path) == ["a\n", "a\n.sha256"]


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'rmdir "$PWD"; exec "$@"'
    command = ["bash", "-c", script, "bash", sys.executable, "-P", "-m", "zeroinit_cli", "verify"]
    root = str(Path(zeroinit_cli.__file__).parents[1])
    done = subprocess.run(
        command,
        cwd=tmp_path / "gone",
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: the system refused in the current folder, which is gone\n"
        "  found: No such file or directory\n",
    )


def test_a_lock_in_a_folder_that_may_not_be_written_is_said_before_the_work(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeroinit("digest", MODEL)  # what is imported on first use is out of reach below
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub").chmod(0o777)
    tmp_path.chmod(0o555)
    monkeypatch.chdir("sub")
    with unprivileged():
        result = zeroinit("generate", MODEL, "-o", "a", "--lock", "../zeroinit.lock")
    tmp_path.chmod(0o755)
    assert (result.code, result.err) == (
        2,
        "error: cannot write the file in ../zeroinit.lock\n  found: Permission denied\n",
    )
    assert names(tmp_path / "sub") == []


def test_what_may_not_be_read_may_still_be_replaced_by_force(zeroinit: Command, made: Path) -> None:
    zeroinit("digest", MODEL)  # what is imported on first use is out of reach below
    made.chmod(0o777)
    path = made / "init.safetensors"
    path.write_bytes(b"\0" * path.stat().st_size)
    path.chmod(0)
    arguments = ("generate", MODEL, "-o", "init.safetensors", "--no-lock")
    with unprivileged():
        refused = zeroinit(*arguments)
        result = zeroinit(*arguments, "--force")
    assert (refused.code, refused.err) == (
        2,
        "error: cannot read the file in init.safetensors\n  found: Permission denied\n",
    )
    assert (result.code, result.err) == (
        0,
        "init.safetensors written: 338 tensors, 5,530,712 bytes\n",
    )
    assert zeroinit("verify").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a guard of another account")
def test_a_guard_of_another_account_is_named(zeroinit: Command, tmp_path: Path) -> None:
    zeroinit("digest", MODEL)  # what is imported on first use is out of reach below
    tmp_path.chmod(0o777)
    (tmp_path / ".a.zeroinit-guard").touch(0o644)
    with unprivileged():
        result = zeroinit("generate", MODEL, "-o", "a", "--no-lock")
    assert (result.code, result.err) == (
        2,
        "error: a guard of another account is there, as if it were writing in .a.zeroinit-guard\n"
        "  found: Permission denied\n"
        "\nhint: remove it, if no other zeroinit is running\n",
    )
    assert names(tmp_path) == [".a.zeroinit-guard"]


def test_a_lock_in_a_folder_above_holds_for_that_folder(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "sub")
    result = zeroinit("generate", MODEL, "-o", "deep/a", "--lock", "../zeroinit.lock")
    assert (result.code, result.err) == (
        0,
        "deep/a written: 338 tensors, 5,530,712 bytes, recorded in ../zeroinit.lock\n",
    )
    assert 'path = "sub/deep/a"\n' in (tmp_path / "zeroinit.lock").read_text()
    verified = zeroinit("verify", "..", "--hash-only")
    assert (verified.code, verified.out) == (
        0,
        "ok: ../sub/deep/a (the file has the locked digest)\n",
    )


def test_without_a_lock_none_is_read_or_written(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "zeroinit.lock").write_text("hostile")
    result = zeroinit("generate", MODEL, "-o", "a", "--no-lock")
    assert (result.code, result.err) == (0, "a written: 338 tensors, 5,530,712 bytes\n")
    assert (tmp_path / "zeroinit.lock").read_text() == "hostile"


def test_litter_of_a_killed_run_is_cleared_by_the_next(zeroinit: Command, made: Path) -> None:
    for name in (".init.safetensors", ".other", ".zeroinit.lock"):
        (made / f"{name}.zeroinit-part").write_bytes(b"half")
        (made / f"{name}.zeroinit-guard").write_bytes(b"")
    assert zeroinit("generate", MODEL, "-o", "init.safetensors").code == 0
    assert names(made) == ["init.safetensors", "init.safetensors.sha256", "zeroinit.lock"]

"""`zeroinit verify` on files of every shape: what is named, and what is not blamed."""

import os
import subprocess
from pathlib import Path

import pytest
import safetensors.torch

from tests.cli.command import MODEL, SIZE, Command, child
from tests.cli.privileges import unprivileged
from tests.cli.test_verify import OK, edit, flip, position_of
from zeroinit_cli.lock import find
from zeroinit_cli.store.safetensors import PREFIX_BYTES, decode_header, encode_header, laid_out


def header_bytes(path: Path) -> int:
    return PREFIX_BYTES + int.from_bytes(path.read_bytes()[:PREFIX_BYTES], "little")


def test_a_flipped_bit_of_the_padding_is_the_headers(zeroinit: Command, made: Path) -> None:
    path = made / "init.safetensors"
    last = header_bytes(path) - 1
    assert path.read_bytes()[last : last + 1] == b" "
    flip(path, last, 1)
    result = zeroinit("verify")
    assert (result.code, result.out) == (
        1,
        "changed: init.safetensors\n"
        f"  changed: header: differs from byte {last} on\n"
        "  changed: header: malformed header: Extra data: "
        f"line 1 column {last - 7} (char {last - 8})\n"
        "  probably: bit rot: 1 bit of the file is flipped, in the header\n"
        "    hint: copy the file again; if it happens again, check the disk and the memory\n",
    )


def test_two_tensors_in_each_others_place_are_the_headers_fault(
    zeroinit: Command, made: Path
) -> None:
    """The same values under the same names, but laid out in another order: other bytes."""
    path = made / "init.safetensors"
    data = path.read_bytes()
    start = header_bytes(path)
    tensors = list(decode_header(data[PREFIX_BYTES:start], len(data), "x").tensors)
    names = [each.info.name for each in tensors]
    bias, weight = names.index("conv5.1.bias"), names.index("conv5.1.weight")
    tensors[bias], tensors[weight] = tensors[weight], tensors[bias]
    body = b"".join(data[start + each.start : start + each.end] for each in tensors)
    header = encode_header(laid_out(each.info for each in tensors))
    path.write_bytes(header + body)
    assert len(header + body) == SIZE
    loaded = safetensors.torch.load_file(path)
    assert (loaded["conv5.1.bias"] == 0).all()
    assert (loaded["conv5.1.weight"] == 1).all()
    first = next(at for at in range(start) if header[at] != data[at])
    result = zeroinit("verify")
    assert (result.code, result.out) == (
        1,
        f"changed: init.safetensors\n  changed: header: differs from byte {first} on\n"
        "  probably: written again by another tool: the same tensors and values, but the tensors "
        "in another order\n"
        "    hint: zeroinit generate --force writes the locked bytes\n",
    )


def test_a_changed_file_is_not_blamed_on_the_rules(zeroinit: Command, made: Path) -> None:
    """A drifted plan with a changed file: the file is no witness of what the rules were."""
    edit(made / "zeroinit.lock", r'plan = "sha256:....', 'plan = "sha256:0000')
    flip(made / "init.safetensors", position_of(made / "init.safetensors", "fc.weight", 0))
    result = zeroinit("verify")
    assert result.code == 1
    assert "another rule" not in result.out
    assert (
        "  changed: tensor 'fc.weight': 1 of 1024000 elements differ, first at [0, 0]: "
        "expected 1.0, found -1.0\n"
    ) in result.out


def test_a_drifted_plan_and_a_changed_file_are_told_apart(zeroinit: Command, made: Path) -> None:
    edit(made / "zeroinit.lock", 'policy = "default"', 'policy = "paper"')
    flip(made / "init.safetensors", position_of(made / "init.safetensors", "fc.weight", 0))
    result = zeroinit("verify")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == "drifted, unreproduced, changed: init.safetensors"
    assert [line.partition(" locked ")[0] for line in lines[1:]] == [
        "  drifted: plan:",
        "  drifted: the file has changed too, and cannot tell which tensors are concerned",
        "  unreproduced: sha256:",
        "  changed: sha256:",
    ]
    (made / "init.safetensors").unlink()
    assert (
        "\n  drifted: the file is not there to tell which tensors are concerned\n"
        in zeroinit("verify").out
    )


def test_another_policy_in_the_lock_is_drift_and_names_the_tensors(
    zeroinit: Command, made: Path
) -> None:
    edit(made / "zeroinit.lock", 'policy = "default"', 'policy = "paper"')
    result = zeroinit("verify")
    assert result.code == 1
    assert result.out.startswith("drifted, unreproduced: init.safetensors\n  drifted: plan: locked")
    assert "  drifted: tensor 'conv1.0.weight': another rule\n" in result.out
    assert "'fc.weight'" not in result.out
    assert "changed:" not in result.out


def test_hash_only_says_what_was_locked_and_what_was_found(zeroinit: Command, made: Path) -> None:
    path = made / "init.safetensors"
    path.write_bytes(b"")
    result = zeroinit("verify", "--hash-only")
    locked = (made / "init.safetensors.sha256").read_text()[:64]
    assert (result.code, result.out, result.err) == (
        1,
        "changed: init.safetensors\n"
        f"  changed: sha256: locked {locked}, found e3b0c44298fc1c149afbf4c8996fb924"
        "27ae41e4649b934ca495991b7852b855\n"
        f"  changed: size: locked {SIZE}, found 0\n"
        "  probably: a copy or download that never began: the file is empty\n",
        "",
    )


@pytest.mark.parametrize("mode", ["--hash-only", "--ignore-missing"])
def test_a_file_that_claims_terabytes_is_not_read_to_its_end(
    zeroinit: Command, made: Path, mode: str
) -> None:
    os.truncate(made / "init.safetensors", 1 << 40)
    if mode == "--ignore-missing":  # a lock that the plan does not give is held against by digest
        edit(made / "zeroinit.lock", "(?m)^tensors = .*$", "tensors = 1")
    result = zeroinit("verify", mode)
    assert result.code == 1
    assert result.out.endswith(f"  changed: size: locked {SIZE}, found {1 << 40}\n")
    assert "changed: sha256" not in result.out


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param((), marks=[pytest.mark.long]),
        ("--hash-only",),
        pytest.param(("--source", MODEL), marks=[pytest.mark.long]),
    ],
)
def test_a_pipe_or_folder_for_a_checkpoint_is_unreadable_not_changed(
    made: Path, mode: tuple[str, ...]
) -> None:
    path = made / "init.safetensors"
    path.unlink()
    os.mkfifo(path)
    done = child("verify", "init.safetensors", *mode, cwd=made, timeout=60)
    message = "error: not a regular file in init.safetensors\n"
    assert (done.returncode, done.stderr) == (2, message)
    path.unlink()
    path.mkdir()
    if mode[:1] == ("--source",):  # which a folder may be held against: there is nothing in it
        done = child("verify", "init.safetensors", *mode, cwd=made, timeout=60)
        assert (done.returncode, done.stdout.split(":")[0], done.stderr) == (1, "missing", "")
    else:
        done = child("verify", ".", *mode, cwd=made, timeout=60)
        assert (done.returncode, done.stderr) == (2, message)


def test_a_checkpoint_that_may_not_be_read_is_unanswered(zeroinit: Command, made: Path) -> None:
    zeroinit("verify")  # what is imported on first use is out of reach below
    made.chmod(0o755)
    (made / "init.safetensors").chmod(0)
    for mode in ((), ("--hash-only",)):
        with unprivileged():
            result = zeroinit("verify", *mode)
        assert (result.code, result.out, result.err) == (
            2,
            "unanswered: init.safetensors\n",
            "error: cannot read the file in init.safetensors\n  found: Permission denied\n",
        )


def test_several_folders_and_files_are_answered_in_the_order_asked(
    zeroinit: Command, made: Path
) -> None:
    for name in ("b", "a"):
        (made / name).mkdir()
        for each in ("init.safetensors", "zeroinit.lock"):
            (made / name / each).write_bytes((made / each).read_bytes())
    (made / "a" / "init.safetensors").unlink()
    result = zeroinit("verify", "b", "init.safetensors", "a", "--hash-only")
    assert (result.code, result.out) == (
        1,
        "ok: b/init.safetensors (the file has the locked digest)\n"
        "ok: init.safetensors (the file has the locked digest)\n"
        "missing: a/init.safetensors\n"
        "  missing: no such file\n",
    )
    ignoring = zeroinit("verify", "b", "a", "--hash-only", "--ignore-missing")
    assert (ignoring.code, ignoring.out) == (
        0,
        "ok: b/init.safetensors (the file has the locked digest)\nskipped: a/init.safetensors\n",
    )


def test_a_link_within_the_folder_is_followed(zeroinit: Command, made: Path) -> None:
    (made / "init.safetensors").rename(made / "elsewhere")
    (made / "init.safetensors").symlink_to("elsewhere")
    result = zeroinit("verify")
    assert (result.code, result.out) == (0, OK)


def test_verify_writes_nothing(zeroinit: Command, made: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    assert zeroinit("verify").code == 0
    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_a_lock_of_another_name_can_be_verified(zeroinit: Command, tmp_path: Path) -> None:
    """What `generate --lock PATH` writes, `verify PATH` checks."""
    assert zeroinit("generate", MODEL, "-o", "a", "--lock", "models.lock").code == 0
    result = zeroinit("verify", "models.lock", "--hash-only")
    assert (result.code, result.out) == (0, "ok: a (the file has the locked digest)\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.sha256", "models.lock"]


@pytest.mark.parametrize("name", ["my locks.toml", "x.lock", "zeroinit.lock"])
def test_a_lock_is_known_by_its_name_or_by_how_it_begins(
    zeroinit: Command, made: Path, name: str
) -> None:
    text = (made / "zeroinit.lock").read_text()
    (made / "zeroinit.lock").unlink()
    (made / name).write_text(text)
    result = zeroinit("verify", name, "--hash-only")
    assert (result.code, result.out) == (
        0,
        "ok: init.safetensors (the file has the locked digest)\n",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "x.lock",
            "error: cannot read the file in x.lock\n  found: No such file or directory\n",
        ),
        (
            "sub/zeroinit.lock",
            "error: no zeroinit.lock in {cwd}/sub\n"
            "\nhint: zeroinit generate SOURCE -o FILE writes one\n",
        ),
        ("no/file", "error: no such folder in no\n"),
        ("init.safetensors/x", "error: not a folder in init.safetensors\n"),
        (
            "none",
            "error: no entry for 'none' in zeroinit.lock\n"
            "\nhint: lock it with zeroinit generate, or give --source\n",
        ),
    ],
)
def test_a_lock_that_is_not_there_is_said(
    zeroinit: Command, made: Path, name: str, message: str
) -> None:
    (made / "sub").mkdir()
    result = zeroinit("verify", name)
    assert (result.code, result.out, result.err) == (2, "", message.replace("{cwd}", str(made)))


def test_the_hint_for_a_lock_below_can_be_pasted_into_a_shell(
    zeroinit: Command, tmp_path: Path
) -> None:
    for name in ("-it's\x1b[2K", ".hidden", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zeroinit.lock").write_text("version = 1\n")
    (tmp_path / "link").symlink_to(".hidden")
    (tmp_path / "closed").chmod(0)
    tmp_path.chmod(0o755)
    with unprivileged():
        result = zeroinit("verify")
    (tmp_path / "closed").chmod(0o755)
    assert (result.code, result.err) == (
        2,
        f"error: no zeroinit.lock in {tmp_path}\n"
        "  found: locks below it: -it's\\x1b[2K/zeroinit.lock\n"
        "\nhint: zeroinit verify $'./-it\\'s\\x1b[2K'\n",
    )
    word = result.err.splitlines()[-1].removeprefix("hint: zeroinit verify ")
    pasted = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert pasted.stdout == b"./-it's\x1b[2K"


def test_locks_below_are_looked_for_near_and_not_everywhere(
    zeroinit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_MOST_FOLDERS", 12)
    for number in range(10):
        (tmp_path / f"a{number}" / "b").mkdir(parents=True)
        (tmp_path / f"a{number}" / "b" / "zeroinit.lock").write_text("version = 1\n")
    (tmp_path / "a9" / "zeroinit.lock").write_text("version = 1\n")
    result = zeroinit("verify")
    assert "\n  found: locks below it: a0/b/zeroinit.lock, a9/zeroinit.lock\n" in result.err


@pytest.mark.parametrize(
    "arguments",
    [("--source", MODEL), ("--source", MODEL, "a", "b"), ("--source", MODEL, "a", "--hash-only")],
)
def test_a_source_goes_with_one_file_alone(zeroinit: Command, arguments: tuple[str, ...]) -> None:
    result = zeroinit("verify", *arguments)
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: --source takes one file or folder, and neither --ignore-missing nor --hash-only "
        "in the options\n",
    )


def test_a_missing_file_cannot_be_held_against_a_source(zeroinit: Command) -> None:
    result = zeroinit("verify", "none", "--source", MODEL)
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: cannot read the file in none\n  found: No such file or directory\n",
    )

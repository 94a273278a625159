"""`zeroinit verify`: every outcome, through the real command."""

import re
from pathlib import Path

import pytest

from tests.cli.command import MODEL, SIZE, Command
from zeroinit_cli.store.read import read_single

OK = (
    "ok: init.safetensors (the source gives the locked plan, the plan gives the locked bytes, "
    "the file has them)\n"
)


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def flip(path: Path, position: int, mask: int = 0x80) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


def position_of(path: Path, name: str, element: int) -> int:
    """Where the last byte of a float32 element lies."""
    [found] = [tensor for tensor in read_single(path).tensors if tensor.info.name == name]
    return found.start + 4 * element + 3


@pytest.mark.parametrize("path", [None, ".", "init.safetensors"])
def test_a_sound_checkpoint_is_ok(zeroinit: Command, made: Path, path: str | None) -> None:
    result = zeroinit("verify", *([path] if path else []))
    assert (result.code, result.out, result.err) == (0, OK, "")


def test_one_flipped_bit_names_the_tensor_and_the_element(zeroinit: Command, made: Path) -> None:
    path = made / "init.safetensors"
    flip(path, position_of(path, "fc.weight", 1024 + 1))
    result = zeroinit("verify")
    assert (result.code, result.out) == (
        1,
        "changed: init.safetensors\n"
        "  changed: tensor 'fc.weight': 1 of 1024000 elements differ, first at [1, 1]: "
        "expected 1.0, found -1.0\n"
        "  probably: bit rot: 1 bit of the file is flipped, in tensor 'fc.weight'\n"
        "    hint: copy the file again; if it happens again, check the disk and the memory\n",
    )
    assert zeroinit("verify", "-q").code == 1
    assert zeroinit("verify", "--hash-only").code == 1


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (0, "header: differs from byte 0 on"),
        (7, "header: differs from byte 7 on"),
        (9, "header: differs from byte 9 on"),
        (60, "header: differs from byte 60 on"),
        (200, "header: differs from byte 200 on"),
    ],
)
def test_one_flipped_bit_of_the_header_is_found(
    zeroinit: Command, made: Path, position: int, said: str
) -> None:
    flip(made / "init.safetensors", position, 1)
    result = zeroinit("verify")
    assert result.code == 1
    assert result.out.startswith("changed: init.safetensors\n")
    assert f"  changed: {said}\n" in result.out


@pytest.mark.parametrize(("keep", "extra"), [(SIZE - 1, b""), (100, b""), (SIZE, b"\0")])
def test_a_file_of_another_size_is_changed(
    zeroinit: Command, made: Path, keep: int, extra: bytes
) -> None:
    path = made / "init.safetensors"
    path.write_bytes(path.read_bytes()[:keep] + extra)
    result = zeroinit("verify")
    assert result.code == 1
    size = keep + len(extra)
    assert f"  changed: size: expected {SIZE} bytes, found {size}\n" in result.out


def test_an_edited_plan_digest_is_drift(zeroinit: Command, made: Path) -> None:
    edit(made / "zeroinit.lock", r'plan = "sha256:.', 'plan = "sha256:0')
    edit(made / "zeroinit.lock", r'plan = "sha256:(..)..', r'plan = "sha256:\g<1>00')
    result = zeroinit("verify")
    assert result.code == 1
    assert result.out.startswith("drifted: init.safetensors\n  drifted: plan: locked sha256:0")


def test_edited_arguments_are_drift_and_name_the_tensors(zeroinit: Command, made: Path) -> None:
    edit(made / "zeroinit.lock", "options", "arguments = {num_classes = 10}\noptions")
    result = zeroinit("verify")
    assert result.code == 1
    assert result.out.startswith("drifted, unreproduced: init.safetensors\n")
    assert (
        "  drifted: tensor 'fc.weight': expected F32 [10, 1024], found F32 [1000, 1024]\n"
        in result.out
    )
    assert f"  unreproduced: size: locked {SIZE}, derived " in result.out


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("sha256", '"' + "0" * 64 + '"', "unreproduced: sha256: locked 000"),
        ("size", "5", f"unreproduced: size: locked 5, derived {SIZE}"),
        ("tensors", "5", "unreproduced: tensors: locked 5, derived 338"),
    ],
)
def test_an_edited_fact_is_not_reproduced(
    zeroinit: Command, made: Path, field: str, value: str, said: str
) -> None:
    edit(made / "zeroinit.lock", rf"(?m)^{field} = .*$", f"{field} = {value}")
    result = zeroinit("verify")
    assert result.code == 1
    assert said in result.out


def test_a_missing_file_fails_unless_it_is_to_be_ignored(zeroinit: Command, made: Path) -> None:
    (made / "init.safetensors").unlink()
    result = zeroinit("verify")
    assert (result.code, result.out) == (
        1,
        "missing: init.safetensors\n  missing: no such file\n",
    )
    ignored = zeroinit("verify", "--ignore-missing")
    assert (ignored.code, ignored.out) == (
        0,
        "ok: init.safetensors (the source gives the locked plan, "
        "the plan gives the locked bytes)\n",
    )
    assert zeroinit("verify", "--hash-only").code == 1
    unchecked = zeroinit("verify", "--hash-only", "--ignore-missing")
    assert (unchecked.code, unchecked.out) == (2, "skipped: init.safetensors\n")
    assert unchecked.err.startswith("error: nothing was checked: no file is there")


def test_ignoring_missing_files_still_derives_and_reproduces(zeroinit: Command, made: Path) -> None:
    (made / "init.safetensors").unlink()
    edit(made / "zeroinit.lock", "(?m)^sha256 = .*$", f'sha256 = "{"0" * 64}"')
    assert zeroinit("verify", "--ignore-missing").code == 1


def test_a_file_against_a_source_needs_no_lock(zeroinit: Command, made: Path) -> None:
    (made / "zeroinit.lock").unlink()
    result = zeroinit("verify", "init.safetensors", "--source", MODEL)
    assert (result.code, result.out) == (
        0,
        "ok: init.safetensors (the file has the bytes that the source gives)\n",
    )
    other = zeroinit("verify", "init.safetensors", "--source", MODEL, "--policy", "paper")
    assert other.code == 1
    assert "elements differ, first at [0, 0" in other.out
    shaped = zeroinit("verify", "init.safetensors", "--source", MODEL, "--set", "num_classes=3")
    assert shaped.code == 1
    assert "tensor 'fc.bias': expected F32 [3], found F32 [1000]" in shaped.out


def test_without_a_lock_those_below_are_named(zeroinit: Command, tmp_path: Path) -> None:
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        f"error: no zeroinit.lock in {tmp_path}\n"
        "\nhint: zeroinit generate SOURCE -o FILE writes one\n",
    )
    for name in ("b", "a/c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "zeroinit.lock").write_text("version = 1\n")
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        f"error: no zeroinit.lock in {tmp_path}\n"
        "  found: locks below it: a/c/zeroinit.lock, b/zeroinit.lock\n"
        "\nhint: zeroinit verify a/c\n",
    )


def test_a_file_that_is_not_locked_is_an_error(zeroinit: Command, made: Path) -> None:
    (made / "other.safetensors").write_bytes(b"")
    result = zeroinit("verify", "other.safetensors")
    assert (result.code, result.err) == (
        2,
        "error: no entry for 'other.safetensors' in zeroinit.lock\n"
        "\nhint: lock it with zeroinit generate, or give --source\n",
    )


def test_an_empty_lock_answers_nothing(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "zeroinit.lock").write_text("version = 1\n")
    result = zeroinit("verify")
    assert (result.code, result.err) == (2, "error: no checkpoint is locked in zeroinit.lock\n")


def test_a_link_out_of_the_folder_is_refused(
    zeroinit: Command, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "init.safetensors"
    (made / "init.safetensors").rename(outside)
    (made / "init.safetensors").symlink_to(outside)
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        "error: a checkpoint's path leaves the lock's folder in zeroinit.lock\n"
        f"  expected: a file within {made}\n"
        f"  found: init.safetensors, which is {outside}\n\n"
        "hint: zeroinit verify --hash-only holds files against the locked digests wherever links "
        "lead; to check all, copy what they lead to: cp -rL . FOLDER\n",
    )


def test_an_unknown_source_does_not_keep_the_others_from_being_checked(
    zeroinit: Command, made: Path
) -> None:
    lock = made / "zeroinit.lock"
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    entry = entry.replace("init.safetensors", "zz").replace(MODEL, "resnet19")
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry}")
    result = zeroinit("verify")
    assert (result.code, result.out) == (2, f"{OK}unanswered: zz\n")
    assert result.err == (
        "error: no model is called 'resnet19' in SOURCE\n"
        "  expected: a name that zeroinit models lists\n"
        "\nhint: did you mean resnet18 or resnet152 or resnet101?\n"
    )
    flip(made / "init.safetensors", SIZE - 1)
    assert zeroinit("verify").code == 1  # what is known to be wrong outweighs what is not known


def test_json_says_the_same_with_the_same_code(zeroinit: Command, made: Path) -> None:
    result = zeroinit("verify", "--json")
    assert (result.code, result.json) == (
        0,
        {
            "checkpoints": [
                {
                    "causes": [],
                    "checked": [
                        "the source gives the locked plan",
                        "the plan gives the locked bytes",
                        "the file has them",
                    ],
                    "error": None,
                    "findings": [],
                    "line": 4,
                    "lock": "zeroinit.lock",
                    "path": "init.safetensors",
                    "status": "ok",
                }
            ]
        },
    )
    (made / "init.safetensors").unlink()
    missing = zeroinit("verify", "--json")
    assert missing.code == 1
    assert missing.json["checkpoints"][0]["findings"] == [
        {"differing": [], "lines": ["no such file"], "outcome": "missing"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [("--set", "num_classes=3"), ("--dtype", "float16"), ("--override", "*=zeros")],
)
def test_options_that_the_lock_knows_are_refused(
    zeroinit: Command, made: Path, arguments: tuple[str, str]
) -> None:
    result = zeroinit("verify", *arguments)
    assert (result.code, result.err) == (
        2,
        "error: the lock says how its checkpoints were made in the options\n"
        "\nhint: --set, --input and options that change bytes go with --source\n",
    )

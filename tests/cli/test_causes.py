"""What `verify` says has probably happened: each case is brought about as it happens in life."""

import json
import re
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

import zeroinit_cli
from tests.cli.command import MODEL, NAME, Command
from tests.cli.happenings import (
    FILES,
    PATH,
    cut,
    cut_within_the_header,
    flip_one_bit,
    header_bytes,
    pointer_to_it,
)
from tests.cli.test_verify import edit
from zeroinit_cli.commands.foreign_files import FOREIGN
from zeroinit_cli.errors import InputError
from zeroinit_cli.store.safetensors import PREFIX_BYTES


def causes(zeroinit: Command, *arguments: str) -> list[tuple[str, str]]:
    result = zeroinit("verify", *arguments, "--json")
    assert result.code == 1, result.err
    [checkpoint] = result.json["checkpoints"]
    return [(each["kind"], each["text"]) for each in checkpoint["causes"]]


@pytest.mark.parametrize(("happen", "kind", "text"), FILES)
def test_what_happened_to_a_file_is_guessed(
    zeroinit: Command, locked: Path, happen: Callable[[], None], kind: str, text: str
) -> None:
    size = PATH.stat().st_size
    if kind == "empty":
        PATH.unlink()
    happen()
    last = len(PATH.read_bytes().rstrip(b"\0"))
    text = text.replace("LOCKED", f"{size:,}").replace("SIZE", f"{size - 1000:,}")
    text = text.replace("POSITION", f"{last:,}")
    [(found, said)] = causes(zeroinit)
    assert found == kind
    assert said.startswith(text)
    assert f"\n  probably: {said}" in zeroinit("verify").out
    against = causes(zeroinit, NAME, "--source", "net.yaml")
    assert [each for each, _ in against] == [kind]


PROBE = ("probe", NAME, "--source", "net.yaml", "--steps", "1")
KINDS = {"lfs-pointer", "text", *(foreign.kind for _, foreign in FOREIGN)}
HASH_ONLY = {"empty", "truncated", *KINDS}


@pytest.mark.parametrize(("happen", "kind", "text"), FILES)
def test_by_digest_alone_only_what_is_sure_is_guessed(
    zeroinit: Command, locked: Path, happen: Callable[[], None], kind: str, text: str
) -> None:
    if kind == "empty":
        PATH.unlink()
    happen()
    found = [kind for kind, _ in causes(zeroinit, "--hash-only")]
    assert found == ([kind] if kind in HASH_ONLY and happen is not cut_within_the_header else [])


@pytest.mark.parametrize("places", [{"4.weight": "0000803f"}, {"0.bias": "01", "4.bias": "01"}])
def test_an_edit_is_not_called_rot(zeroinit: Command, locked: Path, places: dict[str, str]) -> None:
    """Several bits of one element, or a bit of each of two tensors: no single accident."""
    data, start = bytearray(PATH.read_bytes()), header_bytes()
    table = json.loads(data[PREFIX_BYTES:start])
    for name, written in places.items():
        first, last = table[name]["data_offsets"]
        element = start + first + (last - first) // 8 * 4
        assert data[element : element + 4] in (bytes(4), b"\0\0\0\x3e")
        data[element : element + len(written) // 2] = bytes.fromhex(written)
    PATH.write_bytes(data)
    assert causes(zeroinit) == []


def test_ties_that_save_model_leaves_out_are_known(zeroinit: Command, tmp_path: Path) -> None:
    gpt = "vocab_size: 50, max_seq_len: 8, num_layers: 1, num_heads: 2, hidden_dim: 16"
    gpt = f"zeroinit: 1\nmodel:\n  gpt: {{{gpt}}}\n"
    (tmp_path / "net.yaml").write_text(gpt)
    made = zeroinit("generate", "net.yaml", "-o", NAME)
    assert made.code == 0, made.err
    safetensors.torch.save_model(zeroinit_cli.build("net.yaml"), NAME)
    [(kind, text)] = causes(zeroinit)
    assert kind == "ties-left-out"
    assert text.startswith("saved by safetensors.torch.save_model, which leaves out tensors that ")


def test_git_converts_line_ends_where_it_is_told_to(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(f"zeroinit: 1\ninput: [4]\nlayers: [{_layers()}]\n")
    assert zeroinit("generate", "net.yaml", "-o", NAME).code == 0
    assert b"\n" in PATH.read_bytes()
    (tmp_path / ".gitattributes").write_text("*.safetensors text eol=crlf\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "core.safecrlf=false"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    PATH.unlink()
    subprocess.run([*git, "checkout", "-q", "--", "."], check=True)
    assert b"\r\n" in PATH.read_bytes()
    [(kind, text)] = causes(zeroinit)
    assert kind == "line-ends"
    assert text == "a conversion of line ends, as Git makes of files that it takes for text"


def _layers() -> str:
    """As many as make the header's length, whose second byte is then a line feed, 2560-2815."""
    return ", ".join(["Linear: 4"] * 20)


def edit_the_digest() -> None:
    edit(Path("zeroinit.lock"), "(?m)^sha256 = .*$", f'sha256 = "{"0" * 64}"')


def age() -> None:
    edit(Path("zeroinit.lock"), 'torchvision = "[^"]*"', 'torchvision = "0.1.0"')
    edit(Path("zeroinit.lock"), '(?m)^plan = "sha256:....', 'plan = "sha256:0000')


LOCKS: list[tuple[Callable[[], None], list[tuple[str, str]]]] = [
    (
        edit_the_digest,
        [
            (
                "lock-edited",
                "the lock was edited or merged wrongly: the file has the bytes of the plan",
            )
        ],
    ),
    (
        age,
        [
            (
                "other-versions",
                "another version builds another net: torchvision 0.1.0 then, "
                f"{version('torchvision').partition('+')[0]} now",
            )
        ],
    ),
]


@pytest.mark.parametrize(("happen", "expected"), LOCKS)
def test_what_happened_to_a_lock_is_guessed(
    zeroinit: Command, locked: Path, happen: Callable[[], None], expected: Any
) -> None:
    happen()
    assert causes(zeroinit) == expected


def test_the_guess_about_the_lock_stands_where_that_about_the_files_fails(
    zeroinit: Command, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise InputError("cannot read the file", where=NAME)

    age()
    flip_one_bit()
    monkeypatch.setattr("zeroinit_cli.commands.probable_causes.damage", gone)
    assert [kind for kind, _ in causes(zeroinit)] == ["other-versions"]


def test_a_spec_that_changed_is_no_guess(zeroinit: Command, locked: Path) -> None:
    edit(locked / "net.yaml", "Linear: 40", "Linear: 41")
    assert causes(zeroinit) == []


def test_where_all_is_well_nothing_is_guessed(
    zeroinit: Command, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeroinit_cli.commands.probable_causes.probable_causes", None)
    assert zeroinit("verify").code == 0
    assert zeroinit("verify", NAME, "--source", "net.yaml").code == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--dtype", "bfloat16"), "converted to other types: "),
        (
            ("--set", "num_classes=10"),
            "the same architecture with other sizes: fc.bias, fc.weight",
        ),
        (
            (),
            "another architecture, or another version of it: 0 of 338 tensors are there under "
            "their names",
        ),
    ],
)
def test_another_model_is_seen(
    zeroinit: Command, made: Path, words: tuple[str, ...], text: str
) -> None:
    model = MODEL if words else "squeezenet1_1"
    assert zeroinit("generate", model, "-o", NAME, "--no-lock", "--force", *words).code == 0
    [(kind, said)] = causes(zeroinit)
    assert (kind, said[: len(text)]) == ("other-architecture", text)


WHAT = [
    (happen, text.removeprefix("another file under this name: it begins like ").partition(";")[0])
    for happen, kind, text in FILES
    if kind in KINDS
]


@pytest.mark.parametrize(("happen", "what"), WHAT)
def test_whoever_reads_such_a_file_is_told_what_it_is(
    zeroinit: Command, locked: Path, happen: Callable[[], None], what: str
) -> None:
    happen()
    for arguments in (("inspect", NAME), ("diff", NAME, NAME), PROBE):
        result = zeroinit(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"error: not a safetensors file in {NAME}\n  found: {what}")
        assert "\n\nhint: " in result.err
    assert "tensor" not in zeroinit("verify").out.replace("safetensors", "")


def test_what_was_saved_in_place_of_a_file_is_quoted(zeroinit: Command, locked: Path) -> None:
    PATH.write_text("<html>\n<title>Sign in</title>")
    assert zeroinit("inspect", NAME).err == (
        "error: not a safetensors file in init.safetensors\n"
        "  found: a web page: Sign in\n\n"
        "hint: a server sent this in place of the file: download it again\n"
    )
    PATH.write_text("Entry not found")
    assert zeroinit("inspect", NAME).err == (
        "error: not a safetensors file in init.safetensors\n"
        "  found: plain text, such as the error that a server sends: Entry not found\n\n"
        "hint: a server sent this in place of the file: download it again\n"
    )
    pointer_to_it()
    assert zeroinit("inspect", NAME).err == (
        "error: not a safetensors file in init.safetensors\n"
        "  found: a Git LFS pointer in place of the file: its 15 bytes are not here\n\n"
        "hint: git lfs pull\n"
    )


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("x.yaml", ("spec", "check", "x.yaml"), "a YAML spec"),
        ("x.yaml", ("digest", "x.yaml"), "a YAML spec"),
        ("zeroinit.lock", ("verify",), "a lock"),
        ("x.npy", ("probe", "small.yaml", "--input", "x.npy"), "an array of numpy"),
        ("model.safetensors.index.json", ("inspect", "."), "an index of shards"),
        ("model.safetensors.index.json", ("diff", ".", "."), "an index of shards"),
    ],
)
def test_other_files_are_told_likewise(
    zeroinit: Command, made: Path, name: str, arguments: tuple[str, ...], what: str
) -> None:
    Path("small.yaml").write_text("zeroinit: 1\ninput: 4\nlayers: [Linear: 8]\n")
    Path(name).write_text(POINTER)
    result = zeroinit(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"error: not {what} in {name}\n"
        "  found: a Git LFS pointer in place of the file: its 9 bytes are not here\n\n"
        "hint: git lfs pull\n"
    )


def test_a_shard_that_is_another_file_is_told(zeroinit: Command, net: Path) -> None:
    [first, *_] = sorted(net.glob("model-*"))
    first.write_text("<html>")
    assert zeroinit("inspect", "net").err == (
        f"error: not a safetensors file in net/{first.name}\n"
        "  found: a web page: <html>\n\n"
        "hint: a server sent this in place of the file: download it again\n"
    )


@pytest.mark.parametrize("length", [0x0280, 0x8B1F])
def test_what_is_only_unsound_gets_no_hint(zeroinit: Command, locked: Path, length: int) -> None:
    """Nor one whose header is as long as the first bytes of a pickle or a gzip archive say."""
    cut()
    assert "hint" not in zeroinit("inspect", NAME).err
    PATH.write_bytes(length.to_bytes(8, "little") + b"{}".ljust(length) + b"more")
    assert zeroinit("inspect", NAME).err.startswith("error: the data does not fill the file")
    assert "hint" not in zeroinit("inspect", NAME).err


def test_the_page_names_every_kind() -> None:
    root = Path(__file__).parents[2]
    rooms = ("file_damage", "foreign_files", "probable_causes")
    code = "".join(
        (root / "zeroinit_cli" / "commands" / f"{name}.py").read_text() for name in rooms
    )
    kinds = set(re.findall(r'kind="([a-z-]+)"', code)) | KINDS
    page = (root / "docs" / "output.md").read_text()
    assert len(kinds) > 15
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()

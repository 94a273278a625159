"""What `verify` says has probably happened: each case is brought about as it happens in life."""

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import zeroinit_cli
from tests.cli.command import MODEL, Command, child
from tests.cli.test_verify import edit, flip
from zeroinit_cli.checkpoint.header import PREFIX_BYTES

NET = """\
zeroinit: 1
input: [3, 8, 8]
layers:
  - Conv2d: {out_channels: 8, kernel_size: 3}
  - BatchNorm2d
  - ReLU
  - Flatten
  - Linear: 40
  - ReLU
  - Linear: 10
"""
NAME = "init.safetensors"
PATH = Path(NAME)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small net's checkpoint and lock; not to be written."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.yaml").write_text(NET)
    done = child("generate", "net.yaml", "-o", NAME, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def locked(net: Path, tmp_path: Path, zeroinit: Command) -> Path:
    """A copy of it, in the current folder."""
    for name in ("net.yaml", NAME, "zeroinit.lock"):
        (tmp_path / name).write_bytes((net / name).read_bytes())
    return tmp_path


def causes(zeroinit: Command, *arguments: str) -> list[tuple[str, str]]:
    result = zeroinit("verify", *arguments, "--json")
    assert result.code == 1, result.err
    [checkpoint] = result.json["checkpoints"]
    return [(each["kind"], each["text"]) for each in checkpoint["causes"]]


def tensors() -> dict[str, torch.Tensor]:
    loaded = safetensors.torch.load_file(NAME)
    return {name: value.clone() for name, value in loaded.items()}  # not of the file to be written


def save(state: dict[str, torch.Tensor], **metadata: str) -> None:
    safetensors.torch.save_file(state, NAME, metadata=metadata or None)


def header_bytes() -> int:
    return PREFIX_BYTES + int.from_bytes(PATH.read_bytes()[:PREFIX_BYTES], "little")


def train(steps: int) -> dict[str, torch.Tensor]:
    """The state after some steps of an optimizer; after none, of a forward in training mode."""
    torch.manual_seed(0)
    model = zeroinit_cli.build("net.yaml")
    model.load_state_dict(tensors())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(max(steps, 1)):
        loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 3, 8, 8)), torch.arange(8))
        loss.backward()
        if steps:
            optimizer.step()
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def cut() -> None:
    PATH.write_bytes(PATH.read_bytes()[:-1000])


def cut_within_the_header() -> None:
    PATH.write_bytes(PATH.read_bytes()[:100])


def append() -> None:
    with PATH.open("ab") as file:
        file.write(b"\n")


def flip_one_bit() -> None:
    flip(PATH, header_bytes() + 4 * 300, 0x10)


def flip_a_bit_of_the_header() -> None:
    flip(PATH, header_bytes() - 40, 0x01)


def lose_the_end() -> None:
    data = PATH.read_bytes()
    PATH.write_bytes(data[: header_bytes() + 800] + bytes(len(data) - header_bytes() - 800))


def write_without_metadata() -> None:
    save(tensors())


def write_in_another_order() -> None:
    data, start = PATH.read_bytes(), header_bytes()
    table = json.loads(data[PREFIX_BYTES:start])
    entries = sorted(table.items(), reverse=True)  # the data stays, the header's keys do not
    text = json.dumps(dict(entries)).encode()
    PATH.write_bytes(len(text).to_bytes(PREFIX_BYTES, "little") + text + data[start:])


def wrap() -> None:
    save({f"module.{name}": value for name, value in tensors().items()}, format="pt")


def train_one_step() -> None:
    save(train(1), format="pt")


def initialize_otherwise() -> None:
    torch.manual_seed(0)
    save(dict(zeroinit_cli.build("net.yaml").state_dict()), format="pt")


def only_run() -> None:
    save(train(0), format="pt")


def pointer(oid: str) -> None:
    size = PATH.stat().st_size
    PATH.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")


def pointer_to_it() -> None:
    found = re.search('(?m)^sha256 = "(.*)"$', Path("zeroinit.lock").read_text())
    assert found is not None
    pointer(found[1])


def save_a_page() -> None:
    PATH.write_text("<!DOCTYPE html>\n<title>Sign in</title>\n")


def pickle() -> None:
    torch.save(tensors(), NAME)


def squeeze() -> None:
    PATH.write_bytes(gzip.compress(PATH.read_bytes()))


def convert_by_hand() -> None:
    """What `.half()` gives: the constants are rounded as ours are, but for 2^(-m/2), once more."""
    save({name: _shifted(value) for name, value in tensors().items()}, format="pt")


def _shifted(value: torch.Tensor) -> torch.Tensor:
    return (value + 0.5).half() if value.is_floating_point() else value


FILES: list[tuple[Callable[[], None], str, str]] = [
    (cut, "truncated", "a copy or download that stopped after SIZE of LOCKED bytes"),
    (
        cut_within_the_header,
        "truncated",
        "a copy or download that stopped after 100 of LOCKED bytes",
    ),
    (append, "appended", "1 byte appended by something; all before them are right"),
    (flip_one_bit, "bit-rot", "bit rot: 1 bit of the file is flipped, in tensor '4.weight'"),
    (flip_a_bit_of_the_header, "bit-rot", "bit rot: 1 bit of the file is flipped, in the header"),
    (
        lose_the_end,
        "unwritten",
        "a download or write that stopped in a file whose size was set before: "
        "from byte POSITION on all is 0",
    ),
    (
        write_without_metadata,
        "other-writer",
        "written again by another tool: the same tensors and values, but metadata none instead of "
        "format=pt",
    ),
    (
        write_in_another_order,
        "other-writer",
        "written again by another tool: the same tensors and values, but a header with other bytes",
    ),
    (
        wrap,
        "wrapped",
        "saved from a module that wraps the model: every name begins with 'module.'",
    ),
    (
        train_one_step,
        "trained",
        "trained from here, or initialized by something else: 8 of 8 floating tensors differ; its "
        "batch norms have counted 1",
    ),
    (
        initialize_otherwise,
        "trained",
        "trained from here, or initialized by something else: 6 of 8 floating tensors differ",
    ),
    (
        only_run,
        "statistics",
        "run in training mode without a step of an optimizer: only statistics of batch norms "
        "differ; its batch norms have counted 1",
    ),
    (
        pointer_to_it,
        "lfs-pointer",
        "a Git LFS pointer in place of the file; it points to these very bytes",
    ),
    (
        lambda: pointer("0" * 64),
        "lfs-pointer",
        "a Git LFS pointer in place of the file; it points to other bytes",
    ),
    (
        save_a_page,
        "html",
        "another file under this name: it begins like a web page",
    ),
    (
        pickle,
        "pickle",
        "another file under this name: it begins like a zip archive, such as torch.save writes",
    ),
    (squeeze, "compressed", "another file under this name: it begins like a gzip archive"),
    (PATH.touch, "empty", "a copy or download that never began: the file is empty"),
    (convert_by_hand, "other-architecture", "converted to other types: 0.bias, 0.weight, 1.bias"),
]


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


HASH_ONLY = {"empty", "truncated", "lfs-pointer", "html", "pickle", "compressed"}


@pytest.mark.parametrize(("happen", "kind", "text"), FILES)
def test_by_digest_alone_only_what_is_sure_is_guessed(
    zeroinit: Command, locked: Path, happen: Callable[[], None], kind: str, text: str
) -> None:
    if kind == "empty":
        PATH.unlink()
    happen()
    found = [kind for kind, _ in causes(zeroinit, "--hash-only")]
    assert found == ([kind] if kind in HASH_ONLY and happen is not cut_within_the_header else [])


OPTIONS = [
    ("--scale", "paper"),
    ("--expansion", "paley"),
    ("--dtype", "bfloat16"),
    ("--dtype", "float64"),
]


@pytest.mark.parametrize("words", OPTIONS)
def test_other_options_are_tried(zeroinit: Command, locked: Path, words: tuple[str, str]) -> None:
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *words).code == 0
    option = " ".join(words)
    assert causes(zeroinit) == [
        ("other-options", f"generated otherwise: {option} gives these tensors")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--residual", "none"), "--residual none"),
        (("--residual", "layer"), "--residual layer"),
        (("--preset", "paper"), "--preset paper"),
    ],
)
def test_options_of_residual_branches_are_tried(
    zeroinit: Command, tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    branch = "[Conv2d: {out_channels: 8, kernel_size: 3, padding: 1}, BatchNorm2d]"
    text = NET.replace("  - Flatten", f"  - residual: {branch}\n  - Flatten")
    (tmp_path / "net.yaml").write_text(text)
    assert zeroinit("generate", "net.yaml", "-o", NAME).code == 0
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *words).code == 0
    assert causes(zeroinit) == [
        ("other-options", f"generated otherwise: {said} gives these tensors")
    ]


def test_an_override_that_was_forgotten_is_seen(zeroinit: Command, locked: Path) -> None:
    words = ("--override", "4.weight=zeros")
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--force", *words).code == 0
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force").code == 0
    assert causes(zeroinit) == [
        ("other-options", "generated otherwise: no --override gives these tensors")
    ]


def test_another_number_of_classes_is_tried(zeroinit: Command, made: Path) -> None:
    words = ("--set", "num_classes=10")
    assert zeroinit("generate", MODEL, "-o", NAME, "--no-lock", "--force", *words).code == 0
    assert causes(zeroinit) == [
        ("other-arguments", "generated otherwise: --set num_classes=10 gives these tensors")
    ]
    assert zeroinit("generate", "squeezenet1_1", "-o", NAME, "--no-lock", "--force").code == 0
    assert causes(zeroinit) == [
        (
            "other-architecture",
            "another architecture, or another version of it: 0 of 338 tensors are there under "
            "their names",
        )
    ]


def test_a_trained_option_is_not_called_an_option(zeroinit: Command, locked: Path) -> None:
    """All but one element as another option gives them: no option gives the file."""
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", "--scale", "paper")
    flip(PATH, PATH.stat().st_size - 1)
    assert [kind for kind, _ in causes(zeroinit)] == []


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


def edit_the_scale() -> None:
    edit(Path("zeroinit.lock"), 'scale = "orthonormal"', 'scale = "paper"')


def edit_the_digest() -> None:
    edit(Path("zeroinit.lock"), "(?m)^sha256 = .*$", f'sha256 = "{"0" * 64}"')


def age() -> None:
    edit(Path("zeroinit.lock"), 'torchvision = "[^"]*"', 'torchvision = "0.1.0"')
    edit(Path("zeroinit.lock"), '(?m)^plan = "sha256:....', 'plan = "sha256:0000')


LOCKS: list[tuple[Callable[[], None], list[tuple[str, str]]]] = [
    (
        edit_the_scale,
        [
            (
                "lock-edited",
                "the lock was edited: --scale orthonormal gives the locked plan",
            )
        ],
    ),
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
                "another version builds another net: torchvision 0.1.0 then, 0.28.0 now",
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


def test_a_spec_that_changed_is_no_guess(zeroinit: Command, locked: Path) -> None:
    edit(locked / "net.yaml", "Linear: 40", "Linear: 41")
    assert causes(zeroinit) == []


def test_where_all_is_well_nothing_is_guessed(
    zeroinit: Command, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeroinit_cli.verification.causes.guesses.causes_of_file", None)
    assert zeroinit("verify").code == 0
    assert zeroinit("verify", NAME, "--source", "net.yaml").code == 0


def test_the_page_names_every_kind() -> None:
    root = Path(__file__).parents[2]
    code = "".join(
        path.read_text()
        for path in (root / "zeroinit_cli" / "verification" / "causes").glob("*.py")
    )
    kinds = set(re.findall(r'kind="([a-z-]+)"', code)) | {"html", "pickle", "compressed"}
    page = (root / "docs" / "output.md").read_text()
    assert len(kinds) > 15
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()

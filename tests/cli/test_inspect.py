"""`zeroinit inspect`: what a person reads, what a program reads, and what strangers try."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.cli.command import Command, child, in_terminal
from tests.plans import plan, tensor
from tests.stored_files import save, save_index
from zeroinit_cli.atomic import guarded
from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros
from zeroinit_cli.store.write import write_checkpoint

PLAN = plan(
    tensor("eye", (4, 4), Identity()),
    tensor("wide", (1000, 64), Twisted(block=64, prime=1019, half_exponent=-10)),
    tensor("deep", (8, 1, 3, 3), Groups(count=8, of=Taps(ranges=((1, 2),) * 2, of=Identity()))),
    tensor("shift", (4,), Zeros(), "BF16"),
    tensor("count", (), dtype="I64"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    with guarded(path):
        write_checkpoint(PLAN, path)
    return path


def rows(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_each_tensor_has_a_row_with_its_rule(zeroinit: Command, file: Path) -> None:
    result = zeroinit("inspect", "x.safetensors")
    assert (result.code, result.err) == (0, "")
    assert [row for row in rows(result.out) if "─" not in row] == [
        "tensor type shape zeros norm rule",
        "count I64 scalar 0.0% 1 ones",
        "deep F32 8 x 1 x 3 x 3 88.9% 2.82843 identity at tap (1, 1) in each of 8 groups",
        "eye F32 4 x 4 75.0% 2 identity",
        "wide F32 1000 x 64 0.0% 7.90569 twisted Hadamard, p = 1019, c = 2^-5",
        "shift BF16 4 100.0% 0 zeros",
        "x.safetensors: 5 tensors, 64,093 elements (0.1% zeros), 256,728 bytes",
        "types: BF16 in 1, F32 in 3, I64 in 1",
        "header: 360 bytes; metadata: format=pt",
        "recognised: 5 of 5 by a rule",
    ]


def test_the_header_alone_needs_no_data(zeroinit: Command, file: Path) -> None:
    out = zeroinit("inspect", "--header", "x.safetensors").out
    assert "wide F32 1000 x 64" in rows(out)
    assert "recognised" not in out


def flip(path: Path, name: str, flat: int) -> None:
    tensors = safetensors.torch.load_file(path)
    tensors[name].view(-1)[flat] *= -1
    safetensors.torch.save_file(tensors, path, {"format": "pt"})


def test_one_flipped_element_is_said_where_it_is(zeroinit: Command, file: Path) -> None:
    flip(file, "wide", 64 * 700 + 3)
    out = zeroinit("inspect", "x.safetensors").out
    assert (
        "wide F32 1000 x 64 0.0% 7.90569 trained: twisted Hadamard, p = 1019, c = 2^-5 but for 1 "
        "of 64,000 elements, the first at [700, 3]: 0.03125 instead of -0.03125"
    ) in rows(out)
    assert rows(out)[-1] == "recognised: 4 of 5 by a rule, 1 trained"


def test_json_says_all_of_it(zeroinit: Command, file: Path) -> None:
    flip(file, "wide", 3)
    document = zeroinit("inspect", "x.safetensors", "--json").json
    assert document == zeroinit("inspect", "x.safetensors", "--format", "json").json
    assert document["dtypes"]["F32"] == {"elements": 64_088, "tensors": 3}
    by_name = {each["name"]: each for each in document["tensors"]}
    assert by_name["eye"]["rule"] == {"rule": "identity"}
    assert (by_name["eye"]["zeros"], by_name["eye"]["norm"]) == (12, 2.0)
    assert by_name["wide"]["verdict"] == "trained"
    assert by_name["wide"]["nearly"] == {
        "count": 1,
        "description": "twisted Hadamard, p = 1019, c = 2^-5",
        "expected": "-0.03125",
        "found": "0.03125",
        "index": [0, 3],
        "rule": {"block": 64, "half_exponent": -10, "prime": 1019, "rule": "twisted"},
    }


def test_every_type_is_inspected(zeroinit: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, 24 * 96, np.uint8).tobytes()
    tensors: dict[str, Any] = {}
    for code, dtype in DTYPES.items():
        nbytes = 24 * dtype.bits // 8
        tensors[f"{code} zeros"] = (code, [4, 6], bytes(nbytes))
        tensors[f"{code} random"] = (code, [4, 6], random[:nbytes])
        tensors[f"{code} empty"] = (code, [0, 6], b"")
    save(tmp_path / "x.safetensors", tensors)
    assert zeroinit("inspect", "x.safetensors").code == 0
    document = zeroinit("inspect", "x.safetensors", "--json").json
    found = {each["name"]: each for each in document["tensors"]}
    for code in DTYPES:
        assert found[f"{code} empty"]["verdict"] == "empty"
        if code != "F8_E8M0":
            assert found[f"{code} zeros"]["rule"] == {"rule": "zeros"}
        assert found[f"{code} random"]["rule"] is None
    assert found["F8_E8M0 zeros"]["constant"] == "0x00"


def test_what_is_no_number_is_counted(zeroinit: Command, tmp_path: Path) -> None:
    values = torch.tensor([1.0, float("nan"), float("inf"), 0.5, -float("inf"), 2, 3, 4, 5, 0])
    safetensors.torch.save_file({"x": values}, tmp_path / "x.safetensors")
    row = rows(zeroinit("inspect", "x.safetensors").out)[2]
    assert row == "x F32 10 10.0% nan trained, 1 NaN, 2 inf"
    [document] = zeroinit("inspect", "x.safetensors", "--json").json["tensors"]
    assert (document["norm"], document["nans"], document["infinities"]) == (None, 1, 2)


def test_a_sharded_folder_is_one_checkpoint(zeroinit: Command, tmp_path: Path) -> None:
    one = ("F32", [1], b"\0\0\x80\x3f")
    save(tmp_path / "a.safetensors", {"x": one}, {"format": "pt"})
    save(tmp_path / "b.safetensors", {"y": one}, {"format": "pt"})
    weight_map = {"x": "a.safetensors", "y": "b.safetensors"}
    index = save_index(
        tmp_path / "m.safetensors.index.json", weight_map, metadata={"total_size": 9}
    )
    result = zeroinit("inspect", tmp_path)
    assert rows(result.out)[-6:] == [
        f"{index}: 2 tensors, 2 elements (0.0% zeros), {a_and_b(tmp_path)} bytes",
        "types: F32 in 2",
        f"header: {a_and_b(tmp_path) - 8} bytes in 2 shards; metadata: format=pt",
        f"index: {index}; it says: total_size=9",
        "its total_size is not that of the tensors, 8",
        "recognised: 2 of 2 by a rule",
    ]


def a_and_b(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in ("a.safetensors", "b.safetensors"))


def test_names_are_shown_not_obeyed(zeroinit: Command, tmp_path: Path) -> None:
    name = "\x1b[2J\u202e\n[red]x"
    save(tmp_path / "x.safetensors", {name: ("F32", [1], bytes(4))}, {"\x1b": "\x07"})
    for options in ((), ("--header",), ("--tensor", name)):
        result = zeroinit("inspect", "x.safetensors", *options)
        assert result.code == 0
        assert "\x1b" not in result.out
        assert "\x07" not in result.out
        assert "\\x1b[2J\\u202e\\n[red]x" in result.out


def test_a_small_matrix_is_shown_element_by_element(zeroinit: Command, file: Path) -> None:
    result = zeroinit("inspect", "x.safetensors", "--tensor", "eye")
    assert result.out == (
        "eye: F32 4 x 4, 16 elements, 64 bytes\n"
        "rule: identity\n"
        "zeros: 75.0%, norm: 2\n"
        "\n#...\n.#..\n..#.\n...#\n\n"
        "each cell shows one element; the strongest is 1\n"
        "+*# above 0, -=% below, from weak to strong; . is 0, ? no number\n"
    )


def test_a_large_matrix_says_what_its_cells_are(zeroinit: Command, file: Path) -> None:
    out = zeroinit("inspect", "x.safetensors", "--tensor", "wide").out
    assert "each cell shows the mean of 32 x 1 elements; the strongest is 0.03125\n" in out
    lines = out.split("\n\n")[1].splitlines()
    assert (len(lines), {len(line) for line in lines}) == (32, {64})
    # a cell of one column has the mean of 32 alternating signs, the very first of which is negated
    assert [line[:4] for line in lines[:2]] == ["#-+-", "#..."]


def picture_in_terminal(folder: Path, **environment: str) -> str:
    arguments = ("inspect", "x.safetensors", "--tensor", "eye")
    code, text = in_terminal(*arguments, cwd=folder, env={"LC_ALL": "C.UTF-8", **environment})
    assert code == 0
    return text


def test_a_terminal_shows_colours_in_half_blocks(file: Path) -> None:
    coloured = picture_in_terminal(file.parent, COLORTERM="truecolor", NO_COLOR="")
    assert "\x1b[38;2;255;110;70;48;2;28;28;28m▀\x1b[38;2;28;28;28;48;2;255;110;70m▀" in coloured
    assert "red is above 0, blue below, dark is 0, green no number" in coloured
    assert "\x1b[38;5;" in picture_in_terminal(file.parent, COLORTERM="", NO_COLOR="")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_without_colours_gets_characters(
    file: Path, environment: dict[str, str]
) -> None:
    plain = picture_in_terminal(file.parent, **environment)
    assert "\x1b" not in plain
    assert "#...\r\n.#..\r\n" in plain


@pytest.mark.parametrize("suffix", ["png", "svg", "PNG"])
def test_an_image_is_written_once(zeroinit: Command, file: Path, suffix: str) -> None:
    arguments = ("inspect", "x.safetensors", "--tensor", "deep", "--image", f"x.{suffix}")
    result = zeroinit(*arguments)
    assert (result.code, result.err) == (
        0,
        f"x.{suffix} written; each cell shows one element; tap (1, 1) of 3 x 3; the others hold 0; "
        "the strongest is 1\n",
    )
    image = file.with_name(f"x.{suffix}")
    before = image.read_bytes()
    refused = zeroinit(*arguments)
    assert (refused.code, refused.err) == (
        2,
        f"error: a file is there in x.{suffix}\n\nhint: --force replaces it\n",
    )
    assert zeroinit(*arguments, "--force").code == 0
    assert image.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {"x.safetensors", f"x.{suffix}"}


MESSAGES: list[tuple[tuple[str, ...], str]] = [
    (
        ("x.safetensors", "--tensor", "wid"),
        "error: no tensor is called 'wid' in x.safetensors\n\nhint: did you mean wide?\n",
    ),
    (
        ("x.safetensors", "--tensor", "qqq"),
        "error: no tensor is called 'qqq' in x.safetensors\n"
        "\nhint: zeroinit inspect x.safetensors lists the names\n",
    ),
    (
        ("x.safetensors", "--image", "a.png"),
        "error: --image needs --tensor in the options\n\nhint: --tensor NAME says which to draw\n",
    ),
    (
        ("x.safetensors", "--tensor", "eye", "--image", "a.jpg"),
        "error: unknown kind of image in --image\n  expected: .png or .svg\n  found: 'a.jpg'\n",
    ),
    (
        ("x.safetensors", "--tensor", "eye", "--image", "no/a.png"),
        "error: no such folder in no\n\nhint: mkdir -p no\n",
    ),
    (
        ("x.safetensors", "--tensor", "eye", "--header"),
        "error: --header and --tensor exclude each other in the options\n",
    ),
    (
        ("x.safetensors", "--format", "jsn"),
        "error: unknown choice in --format\n  expected: human, json, github\n  found: 'jsn'\n"
        "\nhint: did you mean json?\n",
    ),
    (
        ("nowhere.safetensors",),
        "error: cannot read the file in nowhere.safetensors\n  found: No such file or directory\n",
    ),
    (("/dev/zero",), "error: not a regular file in /dev/zero\n"),
    (
        ("empty",),
        "error: no safetensors header in empty\n  expected: at least 8 bytes\n  found: 0 bytes\n",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MESSAGES)
def test_what_goes_wrong_is_said_in_words(
    zeroinit: Command, file: Path, arguments: tuple[str, ...], message: str
) -> None:
    file.with_name("empty").touch()
    result = zeroinit("inspect", *arguments)
    assert (result.code, result.out, result.err) == (2, "", message)


def test_a_folder_in_the_images_place_is_refused_even_by_force(
    zeroinit: Command, file: Path
) -> None:
    file.with_name("a.png").mkdir()
    arguments = ("x.safetensors", "--tensor", "eye", "--image", "a.png", "--force")
    result = zeroinit("inspect", *arguments)
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: a folder of this name is there in a.png\n",
    )


def test_tensors_without_a_picture_say_why(zeroinit: Command, tmp_path: Path) -> None:
    save(tmp_path / "x.safetensors", {"e": ("F32", [0, 2], b""), "p": ("F4", [2, 2], b"\1\2")})
    for name, reason in (
        ("e", "it has no elements"),
        ("p", "elements of F4 are narrower than bytes"),
    ):
        result = zeroinit("inspect", "x.safetensors", "--tensor", name)
        assert result.code == 0
        assert result.out.endswith(f"no picture: {reason}\n")
        refused = zeroinit("inspect", "x.safetensors", "--tensor", name, "--image", "a.png")
        assert (refused.code, refused.err) == (
            2,
            f"error: cannot be drawn: {reason} in tensor '{name}'\n",
        )


def test_a_file_without_tensors_is_inspected(zeroinit: Command, tmp_path: Path) -> None:
    save(tmp_path / "x.safetensors", {})
    result = zeroinit("inspect", "x.safetensors")
    assert (result.code, result.out) == (
        0,
        "x.safetensors: 0 tensors, 0 elements, 10 bytes\nheader: 10 bytes; metadata: none\n",
    )


def test_many_dimensions_and_long_names_do_no_harm(zeroinit: Command, tmp_path: Path) -> None:
    ones = b"\0\0\x80\x3f" * 2
    tensors = {"deep": ("F32", [1] * 200 + [2], ones), "n" * 100_000: ("F32", [2], ones)}
    save(tmp_path / "x.safetensors", tensors)
    for options in ((), ("--json",), ("--tensor", "deep")):
        assert zeroinit("inspect", "x.safetensors", *options).code == 0


def test_a_closed_pipe_exits_141_in_silence(file: Path) -> None:
    command = f"{sys.executable} -m zeroinit_cli inspect {file} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A tensor of 1.2 GB that the disk holds as a hole is read within less than its memory."""
    header = b'{"x":{"dtype":"F32","shape":[300000,1000],"data_offsets":[0,1200000000]}}'
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 1_200_000_000)
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, (1 << 30,) * 2); "
    limited += "runpy.run_module('zeroinit_cli', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", limited, "inspect", str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "zeros\n" in done.stdout


def test_the_help_names_its_options() -> None:
    shown = child("inspect", "--help", env={"COLUMNS": "120"}).stdout
    for option in ("--tensor", "--image", "--force", "--header", "--format", "--json"):
        assert option in shown

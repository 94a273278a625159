"""`zeroinit diff`: files, folders and sources on either side, one answer however it is shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import MODEL, Command
from tests.stored_files import save, save_index

ONE, ZERO, HALF = b"\0\0\x80\x3f", bytes(4), b"\0\0\0\x3f"
BASE = {
    "a": ("F32", [2, 2], ONE * 4),
    "b": ("F32", [3], ZERO * 3),
    "c": ("I64", [], bytes(8)),
}
META = {"format": "pt"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(tmp_path / "a.safetensors", BASE, META)


def test_the_same_bytes_are_one_calm_line(zeroinit: Command, base: Path) -> None:
    save(base.with_name("b.safetensors"), BASE, META)
    result = zeroinit("diff", "a.safetensors", "b.safetensors")
    assert (result.code, result.err, result.out) == (
        0,
        "",
        "identical: a.safetensors and b.safetensors (3 tensors)\n",
    )
    assert zeroinit("diff", "a.safetensors", "b.safetensors", "-q").out == ""


def test_everything_that_differs_is_said(zeroinit: Command, base: Path) -> None:
    other = {
        "a": ("F32", [2, 2], ONE * 3 + HALF),
        "b": ("F32", [1, 3], ZERO * 3),
        "d\x1b": ("BF16", [1], b"\0\0"),
    }
    save(base.with_name("b.safetensors"), other, {"format": "np", "more": "1"})
    result = zeroinit("diff", "a.safetensors", "b.safetensors")
    assert (result.code, result.err) == (1, "")
    assert result.out.splitlines() == [
        "A: a.safetensors",
        "B: b.safetensors",
        "only in A: c I64 []",
        "only in B: d\\x1b BF16 [1]",
        "b: F32 [3] in A, F32 [1, 3] in B",
        "a: 1 of 4 elements differs, the first at [1, 1]: 1.0 in A, 0.5 in B",
        "metadata 'format': 'pt' in A, 'np' in B",
        "metadata 'more': absent in A, '1' in B",
        "tensors: 1 only in A, 1 only in B, 1 of another form, 1 with other elements",
    ]
    assert zeroinit("diff", "a.safetensors", "b.safetensors", "-q").code == 1
    document = zeroinit("diff", "a.safetensors", "b.safetensors", "--json")
    assert document.code == 1
    assert document.json["differing"] == [
        {"a": "1.0", "b": "0.5", "count": 1, "index": [1, 1], "name": "a", "numel": 4}
    ]
    assert document.json["metadata"] == {"format": ["pt", "np"], "more": [None, "1"]}
    assert [each["name"] for each in document.json["only_in_b"]] == ["d\x1b"]


def test_order_and_header_bytes_are_differences(zeroinit: Command, base: Path) -> None:
    save(base.with_name("b.safetensors"), dict(reversed(BASE.items())), META)
    result = zeroinit("diff", "a.safetensors", "b.safetensors")
    assert result.code == 1
    assert result.out.splitlines()[2:] == [
        "the tensors lie in another order",
        "the headers differ in bytes",
        "tensors: 3 the same",
    ]
    text = base.read_bytes()
    length = int.from_bytes(text[:8], "little")
    padded = (length + 8).to_bytes(8, "little") + text[8 : 8 + length] + b" " * 8
    base.with_name("b.safetensors").write_bytes(padded + text[8 + length :])
    result = zeroinit("diff", "a.safetensors", "b.safetensors")
    assert (result.code, result.out.splitlines()[2:]) == (
        1,
        ["the headers differ in bytes", "tensors: 3 the same"],
    )


def test_the_same_tensors_in_shards_are_the_same(zeroinit: Command, base: Path) -> None:
    folder = base.parent / "shards"
    folder.mkdir()
    save(folder / "1.safetensors", {"b": BASE["b"]}, META)
    save(folder / "2.safetensors", {name: BASE[name] for name in "ac"}, META)
    weight_map = {"b": "1.safetensors", "a": "2.safetensors", "c": "2.safetensors"}
    index = save_index(folder / "m.safetensors.index.json", weight_map)
    result = zeroinit("diff", "a.safetensors", "shards")
    assert (result.code, result.out) == (
        0,
        f"the same 3 tensors: a.safetensors in 1 file, {index.relative_to(base.parent)} "
        "in 2 files\n",
    )
    assert zeroinit("diff", folder, "a.safetensors", "--json").json["identical"] is False
    save(folder / "1.safetensors", {"b": ("F32", [3], ZERO * 2 + ONE)}, META)
    assert "b: 1 of 3 elements differs, the first at [2]: 0.0 in A, 1.0 in B" in (
        zeroinit("diff", "a.safetensors", "shards").out
    )


def test_differences_are_counted_across_blocks(zeroinit: Command, tmp_path: Path) -> None:
    values = np.zeros((1000, 700), np.float32)
    save(tmp_path / "a.safetensors", {"x": ("F32", [1000, 700], values.tobytes())})
    values[300:, 5] = 1
    save(tmp_path / "b.safetensors", {"x": ("F32", [1000, 700], values.tobytes())})
    out = zeroinit("diff", "b.safetensors", "a.safetensors").out
    assert "x: 700 of 700,000 elements differ, the first at [300, 5]: 1.0 in A, 0.0 in B\n" in out


def test_packed_types_are_compared_by_bytes(zeroinit: Command, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {"x": ("F4", [2, 4], b"\1\2\3\4")})
    save(tmp_path / "b.safetensors", {"x": ("F4", [2, 4], b"\1\2\x33\4")})
    out = zeroinit("diff", "a.safetensors", "b.safetensors").out
    assert "x: 1 of 4 bytes differs, the first at [2]: 0x03 in A, 0x33 in B\n" in out


@pytest.mark.parametrize("swapped", [False, True])
def test_a_file_is_compared_with_its_source(zeroinit: Command, made: Path, swapped: bool) -> None:
    sides = ["init.safetensors", MODEL]
    labels = ["init.safetensors", f"torchvision:{MODEL}"]
    if swapped:
        sides.reverse()
        labels.reverse()
    result = zeroinit("diff", *sides)
    assert (result.code, result.out) == (
        0,
        f"identical: {labels[0]} and {labels[1]} (338 tensors)\n",
    )
    result = zeroinit("diff", *sides, "--set", "num_classes=10", "--policy", "paper")
    assert result.code == 1
    forms = ["F32 [1000, 1024]", "F32 [10, 1024]"]
    if swapped:
        forms.reverse()
    assert f"fc.weight: {forms[0]} in A, {forms[1]} in B" in result.out
    assert "conv1.0.weight: 648 of 648 elements differ, the first at [0, 0, 0, 0]: " in result.out


def test_two_sources_are_compared_without_a_file(zeroinit: Command) -> None:
    result = zeroinit("diff", MODEL, f"torchvision:{MODEL}")
    assert (result.code, result.out) == (
        0,
        f"identical: torchvision:{MODEL} and torchvision:{MODEL} (338 tensors)\n",
    )


MESSAGES: list[tuple[tuple[str, ...], str]] = [
    (
        ("a.safetensors", "nowhere.safetensors"),
        "error: no such file or folder in nowhere.safetensors\n",
    ),
    (("a.safetensors", "no/where"), "error: no such file or folder in no/where\n"),
    (
        ("a.safetensors", "resnet81"),
        "error: no model is called 'resnet81' in SOURCE\n"
        "  expected: a name that zeroinit models lists\n"
        "\nhint: did you mean resnet18 or resnet152 or resnet101?\n",
    ),
    (
        ("a.safetensors", "a.safetensors", "--policy", "paper"),
        "error: neither A nor B is a SOURCE in the options\n"
        "\nhint: --set and options that change bytes say how a SOURCE is made\n",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MESSAGES)
def test_what_cannot_be_answered_exits_2(
    zeroinit: Command, base: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = zeroinit("diff", *arguments)
    assert (result.code, result.out, result.err) == (2, "", message)


def test_the_answer_is_the_same_in_every_format(zeroinit: Command, base: Path) -> None:
    save(base.with_name("b.safetensors"), {"a": BASE["a"]}, META)
    codes = {
        zeroinit("diff", "a.safetensors", "b.safetensors", *options).code
        for options in ((), ("--json",), ("--format", "json"), ("--format", "human"), ("-q",))
    }
    assert codes == {1}
    assert json.loads(zeroinit("diff", "a.safetensors", "b.safetensors", "--json").out)


def test_different_nets_are_told_in_a_few_lines(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("zeroinit: 1\ninput: 8\nlayers: [Linear: 4]\n")
    (tmp_path / "b.yaml").write_text(
        "zeroinit: 1\ninput: 8\nlayers: [Linear: 4, Linear: 4, Linear: 4, Linear: 4, Linear: 4]\n"
    )
    result = zeroinit("diff", "a.yaml", "b.yaml")
    assert result.code == 1
    assert result.out == (
        "A: a.yaml\n"
        "B: b.yaml\n"
        "only in B: 1.bias F32 [4]\n"
        "only in B: 1.weight F32 [4, 4]\n"
        "only in B: 2.bias F32 [4]\n"
        "only in B: 2.weight F32 [4, 4]\n"
        "only in B: 3.bias F32 [4]\n"
        "and 3 more only in B: --all shows them\n"
        "tensors: 8 only in B, 2 the same\n"
    )
    every = zeroinit("diff", "a.yaml", "b.yaml", "--all").out
    assert every.count("only in B: ") == 8
    assert "more" not in every

"""Tables in terminals of any width, and what a terminal is told beside them."""

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.command import Command, child, in_terminal
from tests.stored_files import save
from zeroinit_cli.cli.tables import Column, Kind, print_table

COLUMNS = (
    Column(heading="name", kind=Kind.NAME),
    Column(heading="type", kind=Kind.WORD, spare=1),
    Column(heading="size"),
    Column(heading="share", kind=Kind.NUMBER, spare=2),
    Column(heading="norm", kind=Kind.NUMBER, spare=3),
    Column(heading="what"),
)
WORDS = st.text("abcdefgh.", min_size=1, max_size=12)
ROWS = st.lists(
    st.tuples(
        st.text("abc._界", max_size=60),
        st.sampled_from(["F32", "F8_E4M3FNUZ"]),
        st.lists(st.integers(1, 99999).map(str), max_size=9).map(" x ".join),
        st.floats(0, 100).map(lambda share: f"{share:.1f}%"),
        st.floats(allow_nan=False).map(lambda norm: f"{norm:.6g}"),
        st.lists(WORDS, max_size=12).map(" ".join),
    ),
    min_size=1,
    max_size=5,
)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def printed(
    rows: Sequence[tuple[str, ...]],
    columns: int | None,
    *,
    every: bool = False,
    encoding: str = "utf-8",
) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO() if columns is None else Terminal()
        patch.setattr(Terminal, "encoding", encoding)
        patch.setattr(sys, "stdout", stream)
        patch.setenv("COLUMNS", str(columns or 20))
        patch.setenv("NO_COLOR", "1")
        print_table(COLUMNS, rows, every=every)
    return stream.getvalue().removesuffix("\n").split("\n")


def width(line: str) -> int:
    return len(line) + line.count("界")


@given(ROWS, st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    rows: list[tuple[str, ...]], columns: int
) -> None:
    lines = printed(rows, columns)
    assert max(map(width, lines)) <= columns
    heading, text = lines[0], "\n".join(lines[2:])
    for at in (1, 3, 4):
        if re.search(rf"\b{COLUMNS[at].heading}\b", heading):
            assert all(row[at] in text for row in rows)
        else:
            assert lines[-1].startswith("(without ")
            assert COLUMNS[at].heading in lines[-1]
    for row in rows:
        for size in re.findall(r"[0-9]+", row[2]):
            assert re.search(rf"(?<![0-9]){size}(?![0-9])", text)


@given(ROWS)
def test_elsewhere_each_row_is_one_line_and_whole(rows: list[tuple[str, ...]]) -> None:
    for lines in (printed(rows, None), printed(rows, 60, every=True)):
        assert len(lines) == 2 + len(rows)
        for line, row in zip(lines[2:], rows, strict=True):
            assert all(cell in line for cell in row)


def test_what_a_table_looks_like() -> None:
    row = ("model.layers.0.self_attn.q_proj.weight", "BF16", "1024 x 4096", "0.0%", "2.4e-38", "x")
    assert printed([row], 200) == [
        "name                                    type  size         share     norm  what",
        "─" * 79,
        "model.layers.0.self_attn.q_proj.weight  BF16  1024 x 4096   0.0%  2.4e-38  x",
    ]
    assert printed([row], 78) == [
        "name                                   type  size         share     norm  what",
        "─" * 78,
        "model.layers….self_attn.q_proj.weight  BF16  1024 x 4096   0.0%  2.4e-38  x",
        "(names shortened; see --all)",
    ]
    assert printed([row], 60) == [
        "name                                 type  size         what",
        "─" * 60,
        "model.layer…self_attn.q_proj.weight  BF16  1024 x 4096  x",
        "(without share, norm; names shortened; see --all)",
    ]


def test_names_are_shortened_so_that_they_stay_apart() -> None:
    """The start, the middle or the end may be what tells them apart."""
    for names in (
        [f"model.layers.{n}.self_attention.query.projection.weight" for n in range(5)],
        [f"a.long.beginning.that.is.the.same.everywhere.layer{n}" for n in range(5)],
        [f"block{n}.an.end.that.is.the.same.everywhere.in.the.net" for n in range(5)],
    ):
        rows = [(name, "F32", "7", "0.0%", "1", "x") for name in names]
        shown = {line.split()[0] for line in printed(rows, 60)[2:-1]}
        assert len(shown) == 5
        assert all("…" in name for name in shown)


def test_a_terminal_without_utf_8_gets_other_marks() -> None:
    row = ("model.layers.0.self_attn.q_proj.weight", "BF16", "1024 x 4096", "0.0%", "2.4e-38", "x")
    assert all(line.isascii() for line in printed([row], 70, encoding="ascii"))


DEEP = {
    "model.layers.0.self_attn.q_proj.weight": (
        "F8_E4M3FNUZ",
        [1, 2, 3, 1, 2, 1, 2, 1, 2, 3, 1, 1],
        b"\1" * 144,
    ),
    "b": ("F32", [1], b"\1" * 4),
}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_inspect_shows_types_and_norms_whole_in_a_terminal(tmp_path: Path, columns: int) -> None:
    save(tmp_path / "x.safetensors", DEEP)
    arguments = ("inspect", "x.safetensors")
    code, shown = in_terminal(*arguments, cwd=tmp_path, env={"COLUMNS": str(columns)})
    assert code == 0
    table = shown.partition("x.safetensors: 2 tensors")[0]
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in table.splitlines()) <= columns
    assert "F8_E4M3FNUZ" in table
    assert ("2.36943e-38" in table) is (columns > 80)
    everything = in_terminal(*arguments, "--all", cwd=tmp_path, env={"COLUMNS": "60"})[1]
    assert "1 x 2 x 3 x 1 x 2 x 1 x 2 x 1 x 2 x 3 x 1 x 1   0.0%    0.0117188" in everything


def test_thousands_of_tensors_are_printed_without_rich(tmp_path: Path) -> None:
    save(tmp_path / "x.safetensors", {f"t.{n}": ("U8", [1], b"\1") for n in range(5000)})
    done = child("inspect", "x.safetensors", "--header", cwd=tmp_path)
    assert len(done.stdout.splitlines()) == 5005


def test_errors_and_answers_are_coloured_in_a_terminal_alone(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("zeroinit: 1\ninput: 8\nlayers: [Linear: 4]\n")
    environment = {"NO_COLOR": ""}
    assert (
        "\x1b[1;31merror:\x1b[0m no such command 'x' in"
        in in_terminal("x", cwd=tmp_path, env=environment)[1]
    )
    assert (
        "\x1b[1;32mok:\x1b[0m x.yaml: "
        in in_terminal("spec", "check", "x.yaml", cwd=tmp_path, env=environment)[1]
    )
    for plain in ({"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}):
        assert "\x1b" not in in_terminal("x", cwd=tmp_path, env=plain)[1]
    assert "\x1b" not in child("x", cwd=tmp_path, env=environment).stderr


def test_long_metadata_is_cut_and_its_length_told(zeroinit: Command, tmp_path: Path) -> None:
    """As trainers write it: counts of tags, a picture. JSON has all of it."""
    long = {f"key {n:02}": "A" * (200_000 if n == 7 else 10) for n in range(30)}
    save(tmp_path / "x.safetensors", {"w": ("F32", [1], bytes(4))}, long)
    save(tmp_path / "y.safetensors", {"w": ("F32", [1], bytes(4))})
    shown = zeroinit("inspect", "x.safetensors").out
    assert f"\n  key 07={'A' * 80}... (200,000 characters)\n" in shown
    assert "metadata: 30 keys\n" in shown
    assert "\n  and 10 more keys; --json has all\n" in shown
    assert zeroinit("inspect", "x.safetensors", "--json").json["files"][0]["metadata"] == long
    shown = zeroinit("diff", "x.safetensors", "y.safetensors").out
    assert f"metadata 'key 07': '{'A' * 79}... (200,002 characters) in A, absent in B\n" in shown


def test_endless_cells_are_cut_between_numbers_wherever_they_are_printed() -> None:
    sizes = " x ".join(["12345"] * 1000)
    row = ("n" * 5000, "F8", sizes, "0.0%", "1", "word " * 1000)
    line = printed([row], None)[-1]
    assert len(line) < 1000
    assert set(re.findall("[0-9]{2,}", line)) == {"12345"}
    assert "n…n" in line

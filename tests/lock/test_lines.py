"""On which line of a lock an entry begins: what annotations point at."""

from pathlib import Path

import pytest

from tests.entries import entry
from zeroinit_cli.lock.read import read_entries
from zeroinit_cli.lock.toml import table_lines
from zeroinit_cli.lock.write import render_lock


def written(folder: Path, text: str) -> Path:
    path = folder / "zeroinit.lock"
    path.write_bytes(text.encode())
    return path


def lines_of(path: Path) -> dict[str, int | None]:
    return {each.path: line for each, line in read_entries(path)}


def test_an_entry_begins_at_its_own_header(tmp_path: Path) -> None:
    text = render_lock([entry("b"), entry("a", overrides=("*=zeros",)), entry("c")])
    path = written(tmp_path, text)
    numbered = text.splitlines()
    for name, line in lines_of(path).items():
        assert line is not None
        assert numbered[line - 1] == "[[checkpoint]]"
        assert numbered[line] == f'path = "{name}"'
    assert list(lines_of(path)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "header",
    [
        "[[checkpoint]]",
        " \t[[ checkpoint ]]  # the second",
        '[["checkpoint"]]',
        "[['checkpoint']]",
        '[["check\\u0070oint"]]',
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_header_is_known_however_it_is_written(tmp_path: Path, header: str, end: str) -> None:
    text = render_lock([entry("a"), entry("b")])
    before, _, after = text.rpartition("[[checkpoint]]")
    path = written(tmp_path, f"{before}{header}{after}".replace("\n", end))
    assert lines_of(path) == {"a": 4, "b": before.count("\n") + 1}


def test_what_stands_in_strings_and_comments_is_no_header(tmp_path: Path) -> None:
    text = render_lock([entry("a")])
    decoy = 'torch = """\n[[checkpoint]]\n"""\n'
    text = text.replace('built-with = {torch = "2.13.0"}', f"[checkpoint.built-with]\n{decoy}")
    path = written(tmp_path, f"# [[checkpoint]]\n#\\\n\n{text}")
    assert lines_of(path) == {"a": 7}


def test_entries_that_are_written_inline_have_no_line(tmp_path: Path) -> None:
    text = render_lock([entry("a")])
    rows = [line for line in text.splitlines()[4:] if line]
    path = written(tmp_path, f"version = 1\ncheckpoint = [{{{', '.join(rows)}}}]\n")
    assert lines_of(path) == {"a": None}


def test_tables_below_an_entry_are_not_entries() -> None:
    data = b"[[checkpoint]]\na=1\n[[checkpoint.shard]]\n[[other]]\n[[checkpoint]]"
    assert table_lines(data, "checkpoint") == (1, 5)
    assert table_lines(b"\xef\xbb\xbf[[checkpoint]]", "checkpoint") == (1,)

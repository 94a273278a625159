"""`verify --summary`: Markdown for the page of a CI run."""

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.cli.command import Command
from tests.cli.test_formats import CASES, NAME, bring_about, damage, locked

__all__ = ["locked"]


def test_the_summary_counts_and_names(zeroinit: Command, locked: Path) -> None:
    report = locked / "summary.md"
    report.write_text("before\n")
    assert zeroinit("verify", "--summary", report).code == 0
    assert report.read_text() == (
        "before\n"
        "### zeroinit verify: 1 ok\n"
        "\n"
        "| checkpoint | status | |\n"
        "| --- | --- | --- |\n"
        "| `init.safetensors` | ok | the source gives the locked plan, the plan gives the locked "
        "bytes, the file has them |\n"
    )


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_summary_says_what_the_exit_code_says(
    zeroinit: Command, locked: Path, case: str
) -> None:
    bring_about(case, locked)
    result = zeroinit("verify", "--summary", "s.md", "--format", "github")
    assert result.code == CASES[case]
    first = (locked / "s.md").read_text().splitlines()[0].removeprefix("### zeroinit verify: ")
    assert (
        first
        == {
            "ok": "1 ok",
            "changed": "1 failed",
            "missing": "1 failed",
            "unanswered": "1 unanswered",
            "no lock": "no answer",
        }[case]
    )


def test_success_is_not_claimed_where_nothing_was_checked(zeroinit: Command, locked: Path) -> None:
    (locked / NAME).unlink()
    assert zeroinit("verify", "--hash-only", "--ignore-missing", "--summary", "s.md").code == 2
    text = (locked / "s.md").read_text()
    assert text.startswith("### zeroinit verify: 1 skipped\n")
    assert "ok" not in text


def test_names_do_not_become_markup(zeroinit: Command, locked: Path) -> None:
    name = "a|b```<b>*x*`.safetensors"
    (locked / NAME).rename(locked / name)
    lock = (locked / "zeroinit.lock").read_text()
    (locked / "zeroinit.lock").write_text(lock.replace(f'"{NAME}"', f"'{name}'"))
    damage_at = (locked / name).stat().st_size - 1
    data = bytearray((locked / name).read_bytes())
    data[damage_at] ^= 0x80
    (locked / name).write_bytes(data)
    assert zeroinit("verify", "--summary", "s.md").code == 1
    html = MarkdownIt("commonmark").enable("table").render((locked / "s.md").read_text())
    assert html.count("<td>a|b```&lt;b&gt;*x*`.safetensors</td>") == 1
    assert html.count("<strong>a|b```&lt;b&gt;*x*`.safetensors</strong>") == 1
    assert html.count("<pre><code") == 1
    assert "<b>" not in html
    assert "<em>" not in html


def test_a_summary_that_cannot_be_written_is_said_before_anything_else(
    zeroinit: Command, locked: Path
) -> None:
    damage(locked)
    result = zeroinit("verify", "--summary", "none/s.md")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: cannot write in none/s.md\n  found: No such file or directory\n",
    )

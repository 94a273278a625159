"""The one shape of a message holds, whatever names and values are put into it."""

import subprocess
from pathlib import Path

import pytest

from zeroinit_cli.errors import ZeroinitError, pasted


def test_no_part_of_a_message_can_pass_for_another() -> None:
    error = ZeroinitError(
        "no\nok: a",
        where="b\nok: c",
        expected="d\nok: e",
        found="\n    f\n      g\nerror: h",
        hint="i\n\x1b[2K\nok: j",
    )
    assert str(error) == (
        "error: no\\nok: a in b\\nok: c\n"
        "  expected: d\n"
        "    ok: e\n"
        "  found:\n"
        "    f\n"
        "      g\n"
        "    error: h\n"
        "\n"
        "hint: i\n"
        "    \\x1b[2K\n"
        "    ok: j"
    )


def test_no_name_makes_a_line_endless() -> None:
    error = ZeroinitError("no", where="x" * 1_000_000, found="\n" * 1000 + "y" * 1_000_000)
    lines = str(error).splitlines()
    assert lines[0] == f"error: no in {'x' * (4000 - len('error: no in '))}..."
    assert lines[-1] == f"    {'y' * (4000 - 4)}..."


@pytest.mark.parametrize(
    "name",
    ["plain", "two words", "it's", "$HOME", "-x", "~", "a\nb", "\x1b[2K'\\", "\u202eé", "a\udcff"],
)
def test_a_path_in_a_hint_is_a_word_of_a_shell(name: str) -> None:
    """As it is shown, with what is not printable escaped, bash gives it back."""
    hint = str(ZeroinitError("no", hint=pasted(Path(name)))).partition("hint: ")[2]
    assert hint.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {hint}"], capture_output=True, check=True)
    expected = name.encode("utf-8", "surrogateescape")
    assert done.stdout.removeprefix(b"./") == expected

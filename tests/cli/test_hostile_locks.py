"""Locks made to mislead, to hang or to break: ordinary bad input, said in words."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import MODEL, Command
from tests.cli.privileges import unprivileged
from zeroinit_cli import models
from zeroinit_cli.lock.read import MOST_LOCK_BYTES
from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source

MEND = "\nhint: restore the lock from version control, or remove it and run zeroinit generate\n"
NEWER = "\nhint: a newer zeroinit may have written it\n"
OLDER = (
    "\nhint: nothing of that scheme was released, and this zeroinit cannot make its bytes: remove "
    "the lock and run zeroinit generate again\n"
)
PLAIN = "must be a plain relative path that stays within the lock's folder"
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (600_000_000, 600_000_000))
from zeroinit_cli.__main__ import main
sys.argv[1:] = ["verify", "--hash-only"]
main()
"""


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_key_cannot_forge_a_line_of_the_report(zeroinit: Command, made: Path) -> None:
    replace(made / "zeroinit.lock", "size =", '"x\\nok: init.safetensors\\u001b[2K" = 1\nsize =')
    result = zeroinit("verify")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: 1 invalid field in zeroinit.lock\n"
        "  found: checkpoint.0.x\\nok: init.safetensors\\x1b[2K: extra inputs are not permitted\n"
        f"{MEND}",
    )


def test_every_wrong_field_is_named_once_and_in_words(zeroinit: Command, made: Path) -> None:
    lock = made / "zeroinit.lock"
    replace(lock, "size = ", 'size = "5" # ')
    replace(lock, 'sha256 = "', 'sha256 = "Z')
    replace(lock, "options", "arguments = {a = {b = 1}, c = [[1]], d = 1979-05-27}\noptions")
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        "error: 5 invalid fields in zeroinit.lock\n"
        "  found:\n"
        "    checkpoint.0.arguments.a: must be a number, true, false, a string, "
        "or an array of these\n"
        "    checkpoint.0.arguments.c: must be a number, true, false, a string, "
        "or an array of these\n"
        "    checkpoint.0.arguments.d: must be a number, true, false, a string, "
        "or an array of these\n"
        "    checkpoint.0.sha256: must be 64 hexadecimal digits, lower case\n"
        "    checkpoint.0.size: input should be a valid integer\n"
        f"{MEND}",
    )


def test_what_is_no_table_or_array_is_called_so_in_the_words_of_toml(
    zeroinit: Command, tmp_path: Path
) -> None:
    (tmp_path / "zeroinit.lock").write_text(
        "version = 1\n[[checkpoint]]\noptions = 1\nshard = {}\narguments = []\nbuilt-with = 1\n"
        'plan = "sha256:"\nsha256 = ""\npath = "a"\nsource = "x"\nscheme = "zero-2"\n'
        "size = 1\n"
        "tensors = 1\n"
    )
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        "error: 6 invalid fields in zeroinit.lock\n"
        "  found:\n"
        "    checkpoint.0.arguments: must be a table\n"
        "    checkpoint.0.built-with: must be a table\n"
        "    checkpoint.0.options: must be a table\n"
        "    checkpoint.0.plan: must be 64 hexadecimal digits, lower case\n"
        "    checkpoint.0.sha256: must be 64 hexadecimal digits, lower case\n"
        "    checkpoint.0.shard: must be an array\n"
        f"{MEND}",
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"float32"', '"float31"', "unknown choice ('float31') in --dtype"),
        ('"torchvision:', '"keras:', f"unknown prefix 'keras' ('keras:{MODEL}') in SOURCE"),
        (
            "options",
            f"arguments = {{a = 0x{'f' * 5000}}}\noptions",
            "unusable value (int too large to write) in --set a",
        ),
        (
            "options",
            f"arguments = {{a = '{'x' * 5000}', b = nan}}\noptions",
            "unusable value (nan) in --set b",
        ),
    ],
)
def test_what_the_command_line_would_refuse_is_refused_in_its_words(
    zeroinit: Command, made: Path, old: str, new: str, fault: str
) -> None:
    replace(made / "zeroinit.lock", old, new)
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        f"error: 1 invalid field in zeroinit.lock\n  found: checkpoint.0: {fault}\n{MEND}",
    )


def test_a_thousand_wrong_fields_are_counted_and_ten_are_shown(
    zeroinit: Command, tmp_path: Path
) -> None:
    keys = "".join(f"a{number:03} = 1\n" for number in range(1000))
    (tmp_path / "zeroinit.lock").write_text(f"version = 1\n{keys}")
    result = zeroinit("verify")
    assert result.code == 2
    assert result.err.startswith("error: 1,000 invalid fields in zeroinit.lock\n")
    assert "    a009: extra inputs are not permitted\n    and 990 more\n" in result.err
    assert "a010" not in result.err


OLD_OPTIONS = 'expansion = "sylvester", residual = "end", scale = "orthonormal"'


@pytest.mark.parametrize(
    ("scheme", "options", "found", "hint"),
    [
        ("zero-0", OLD_OPTIONS, "'zero-0'", OLDER),
        ("zero-1", OLD_OPTIONS, "'zero-1'", OLDER),
        ("zero-1", 'policy = "default"', "'zero-1'", OLDER),
        ("zero-2-draft", OLD_OPTIONS, "'zero-2-draft'", OLDER),
        ("zero-2-draft", 'policy = "default"', "'zero-2-draft'", OLDER),
        ("zero-9", 'policy = "default", seed = 1', "'zero-9'", NEWER),
    ],
)
def test_another_scheme_is_told_before_fields_that_this_one_does_not_know(
    zeroinit: Command, made: Path, scheme: str, options: str, found: str, hint: str
) -> None:
    lock = made / "zeroinit.lock"
    replace(lock, '"zero-2"', f'"{scheme}"')
    replace(lock, 'policy = "default"', options)
    for arguments in (("verify",), ("generate", MODEL, "-o", "init.safetensors", "--force")):
        result = zeroinit(*arguments)
        assert (result.code, result.out, result.err) == (
            2,
            "",
            "error: a checkpoint of another scheme in zeroinit.lock: checkpoint.0\n"
            "  expected: zero-2, which this zeroinit makes\n"
            f"  found: {found}\n{hint}",
        )


@pytest.mark.parametrize(
    ("line", "found"),
    [("", "no version"), ('version = "1"', "'1'"), ("version = 1.0", "1.0")],
)
def test_a_lock_without_a_version_is_not_called_newer(
    zeroinit: Command, tmp_path: Path, line: str, found: str
) -> None:
    (tmp_path / "zeroinit.lock").write_text(f"{line}\n")
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        "error: unknown lock version in zeroinit.lock: version\n"
        "  expected: 1\n"
        f"  found: {found}\n"
        f"{MEND}",
    )


@pytest.mark.parametrize("path", [".", "", "..", "./x", "x//y", "x/../y", "../x/", "C:x"])
def test_a_path_that_is_no_plain_file_below_the_lock_is_refused(
    zeroinit: Command, made: Path, path: str
) -> None:
    replace(made / "zeroinit.lock", '"init.safetensors"', f'"{path}"')
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: 1 invalid field in zeroinit.lock\n  found: checkpoint.0")
    assert PLAIN in result.err


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_what_the_hint_says_about_an_unreadable_lock_is_true(
    zeroinit: Command, made: Path, force: tuple[str, ...]
) -> None:
    lock = made / "zeroinit.lock"
    text = lock.read_text()
    lock.write_text("version = ")
    result = zeroinit("generate", MODEL, "-o", "init.safetensors", *force)
    assert (result.code, lock.read_text()) == (2, "version = ")
    assert result.err.startswith("error: not a TOML file in zeroinit.lock\n  found: ")
    assert result.err.endswith(MEND)
    lock.unlink()
    assert zeroinit("generate", MODEL, "-o", "init.safetensors").code == 0
    assert lock.read_text() == text


@pytest.mark.parametrize(
    ("line", "found", "hint"),
    [
        ("version = 0", "0", MEND),
        ("version = -1", "-1", MEND),
        ("version = [[[[[[[[1]]]]]]]]", "[[[[[[[...]]]]]]]", MEND),
        (f"version = '{'x' * 5000}'", f"'{'x' * 37}...{'x' * 38}'", MEND),
        (f"version = 0x{'f' * 5000}", "int too large to write", NEWER),
    ],
    ids=["zero", "negative", "deep", "long", "large"],
)
def test_a_version_of_any_kind_can_be_shown(
    zeroinit: Command, tmp_path: Path, line: str, found: str, hint: str
) -> None:
    (tmp_path / "zeroinit.lock").write_text(f"{line}\n")
    result = zeroinit("verify")
    assert (result.code, result.err) == (
        2,
        "error: unknown lock version in zeroinit.lock: version\n"
        "  expected: 1\n"
        f"  found: {found}\n"
        f"{hint}",
    )


def test_a_merge_that_was_not_finished_is_called_so(zeroinit: Command, made: Path) -> None:
    lock = made / "zeroinit.lock"
    [head, entry] = lock.read_text().split("[[checkpoint]]")
    mine, theirs = (entry.replace("init.", f"{name}.") for name in ("mine", "theirs"))
    lock.write_text(
        f"{head}<<<<<<< HEAD\n[[checkpoint]]{mine}=======\n[[checkpoint]]{theirs}>>>>>>> other\n"
    )
    result = zeroinit("verify")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: a merge that was not finished in zeroinit.lock: line 4\n"
        "  found: <<<<<<< HEAD\n"
        "\nhint: keep the entries of both sides and remove the marks; of two for the same path "
        "keep one; then run zeroinit verify\n",
    )


def test_faults_are_named_in_the_order_of_the_file(zeroinit: Command, made: Path) -> None:
    lock = made / "zeroinit.lock"
    [head, entry] = lock.read_text().split("[[checkpoint]]")
    entries = (f"[[checkpoint]]{entry.replace('init.', f'{n}.')}" for n in range(12))
    lock.write_text(head + "".join(entries).replace("size = ", "size = -"))
    err = zeroinit("verify").err
    numbers = [line.split(".")[1] for line in err.splitlines() if "checkpoint." in line]
    assert numbers == [str(n) for n in range(10)]
    assert "    and 2 more\n" in err


def test_a_mark_before_the_first_letter_and_other_line_ends_change_nothing(
    zeroinit: Command, made: Path
) -> None:
    lock = made / "zeroinit.lock"
    lock.write_bytes(b"\xef\xbb\xbf" + lock.read_bytes().replace(b"\n", b"\r\n"))
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out) == (
        0,
        "ok: init.safetensors (the file has the locked digest)\n",
    )


def large(line: str) -> str:
    """As many lines, each with its number, as a lock may just hold."""
    longest = len(line.format(99999))
    return "".join(line.format(number) for number in range((MOST_LOCK_BYTES - 100) // longest))


@pytest.mark.parametrize(
    "content",
    [
        "\n" * 1_000_000,
        "version = 1\n" + large("a{} = 1\n"),
        "version = 1\n" + large("[a{}]\n"),
        "version = 1\n" + large("[a{}.a.a.a]\n"),
        "version = 1\n" + large("[[checkpoint]]\na{} = 1\n"),
        "version = 1\n" + "[[checkpoint]]\n" * 66_000,
        "version = 1\nx = [" + large("{{a = {}}},") + "]",
        "a" + ".a" * 450_000 + " = 1",
        "x = 0x" + "f" * 900_000,
        "a = [" + "1,\n" * 1_000_000 + "]",
        "".join(f"a{number} = 1\n" for number in range(300_000)),
        "".join(f"[a{number}]\n" for number in range(300_000)),
        "".join(f"b{number}" + ".a" * 5000 + " = 1\n" for number in range(20)),
        "".join(f"b{number}" + ".a" * 900 + " = 1\n" for number in range(1000)),
        "a = " + "[\n" * 1_000_000,
        "a = " + "{b = " * 1_000_000,
        "a = " + "1" * 1_000_000,
    ],
    ids=lambda content: content[:30].encode("unicode_escape").decode(),
)
def test_a_large_lock_takes_neither_minutes_nor_memory(tmp_path: Path, content: str) -> None:
    (tmp_path / "zeroinit.lock").write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "out of memory" not in done.stderr
    assert len(done.stderr) < 2000


def test_a_link_to_itself_keeps_nothing_else_from_being_checked(
    zeroinit: Command, made: Path
) -> None:
    lock = made / "zeroinit.lock"
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry.replace('init.', 'zz.')}")
    (made / "zz.safetensors").symlink_to("zz.safetensors")
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out, result.err) == (
        2,
        "ok: init.safetensors (the file has the locked digest)\nunanswered: zz.safetensors\n",
        "error: cannot read the file in zz.safetensors\n"
        "  found: Too many levels of symbolic links\n",
    )


@pytest.mark.parametrize("mode", [(), ("--hash-only",)])
def test_a_name_that_no_file_can_have_keeps_nothing_else_from_being_checked(
    zeroinit: Command, made: Path, mode: tuple[str, ...]
) -> None:
    lock, long = made / "zeroinit.lock", "z" * 300
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry.replace('init.safetensors', long)}")
    result = zeroinit("verify", *mode)
    assert (result.code, result.err) == (
        2,
        f"error: cannot read the file in {long}\n  found: File name too long\n",
    )
    assert result.out.startswith("ok: init.safetensors (")
    assert result.out.endswith(f"\nunanswered: {long}\n")


def test_one_path_that_leaves_the_folder_keeps_nothing_else_from_being_checked(
    zeroinit: Command, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    lock = made / "zeroinit.lock"
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry.replace('init.', 'zz/init.')}")
    (made / "zz").symlink_to(outside)
    result = zeroinit("verify")
    assert (result.code, result.out, result.err) == (
        2,
        "ok: init.safetensors (the source gives the locked plan, the plan gives the locked bytes, "
        "the file has them)\nunanswered: zz/init.safetensors\n",
        "error: a checkpoint's path leaves the lock's folder in zeroinit.lock\n"
        f"  expected: a file within {made}\n"
        f"  found: zz/init.safetensors, which is {outside / 'init.safetensors'}\n\n"
        "hint: zeroinit verify --hash-only holds files against the locked digests wherever links "
        "lead; to check all, copy what they lead to: cp -rL . FOLDER\n",
    )


def test_by_digest_alone_a_link_out_of_the_folder_is_followed_and_nothing_else_is_told(
    zeroinit: Command, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As Hugging Face's, DVC's or Nix' caches keep files; a stranger's link may be to a secret."""
    blob = tmp_path_factory.mktemp("cache") / "blob"
    path = made / "init.safetensors"
    path.rename(blob)
    path.symlink_to(blob)
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out, result.err) == (
        0,
        "ok: init.safetensors (the file has the locked digest)\n",
        "",
    )
    blob.write_text("<html>a secret</html>")
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out, result.err) == (
        1,
        f"changed: init.safetensors\n  changed: not the locked bytes, behind a link to {blob}\n",
        "",
    )


def test_one_entry_that_needs_too_much_memory_keeps_nothing_else_from_being_checked(
    zeroinit: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(source: Source, options: Options) -> Plan:
        if source.arguments:
            raise MemoryError
        return plan_source(source, options)

    monkeypatch.setattr(models, "plan_source", planned)
    lock = made / "zeroinit.lock"
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    entry = entry.replace("init.", "zz.").replace("options", "arguments = {a = 1}\noptions")
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry}")
    result = zeroinit("verify")
    assert (result.code, result.err) == (2, "error: out of memory in zz.safetensors\n")
    assert result.out.startswith("ok: init.safetensors (")
    assert result.out.endswith("\nunanswered: zz.safetensors\n")


def test_a_lock_that_may_not_be_read_is_said(zeroinit: Command, made: Path) -> None:
    zeroinit("verify", "--hash-only")  # what is imported on first use is out of reach below
    made.chmod(0o755)
    (made / "zeroinit.lock").chmod(0)
    with unprivileged():
        result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: cannot read the file in zeroinit.lock\n  found: Permission denied\n",
    )

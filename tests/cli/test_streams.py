"""Standard streams and signals at their worst: the exit code still says what happened."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import MODEL, Command, child
from tests.long import some_long
from zeroinit_cli.cli import models

COMMAND = (sys.executable, "-m", "zeroinit_cli")
INTERRUPTED_IN_AN_IMPORT = """
import os, sys, time
from zeroinit_cli.__main__ import main
from zeroinit_cli.cli import models

number = int(sys.argv.pop())

def swallow(*arguments):
    try:
        os.kill(os.getpid(), number)
        time.sleep(10)
    except BaseException as error:
        raise ImportError("what a module's C code makes of an exception") from error

models.fnmatchcase = swallow
sys.argv.append("models")
main()
"""


def shell(redirection: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """The command with its streams as a shell lays them out."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments", [("models",), ("--help",), ("generate", "--help"), ("--version",), ()]
)
def test_a_reader_that_has_gone_exits_141_in_silence(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [("models",), ("--help",), ("--version",)])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_said_and_exits_2(
    tmp_path: Path, arguments: tuple[str, ...], redirection: str, reason: str
) -> None:
    assert shell(redirection, *arguments, cwd=tmp_path) == (
        2,
        "",
        f"error: cannot write to standard output\n  found: {reason}\n",
    )


@pytest.mark.parametrize(
    "redirection", some_long(["2>/dev/full", "2>&-"], lambda redirection: redirection == "2>&-")
)
def test_messages_that_nobody_can_be_told_do_not_change_the_exit_code(
    tmp_path: Path, redirection: str
) -> None:
    assert shell(redirection, "models", "no_such", cwd=tmp_path) == (2, "", "")
    code, out, err = shell(redirection, "generate", MODEL, "-o", "a", cwd=tmp_path)
    assert (code, out[64:], err) == (0, "  a\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.sha256", "zeroinit.lock"]


def test_a_reader_of_messages_that_has_gone_does_not_change_the_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, "models", "no_such"], stdout=subprocess.PIPE, stderr=writing, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.long
def test_a_terminal_that_has_gone_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """A bar of progress is drawn, and every byte of it fails with EIO."""
    master, slave = os.openpty()
    os.close(master)
    script = (
        "from zeroinit_cli.cli import console; console._PATIENCE = -1;"
        "from zeroinit_cli.__main__ import main; main()"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, "generate", MODEL, "-o", "a", "--no-lock"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=slave,
            text=True,
            check=False,
        )
    finally:
        os.close(slave)
    assert (done.returncode, done.stdout[64:]) == (0, "  a\n")


def test_a_pipe_that_another_program_made_non_blocking_gets_every_byte() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [*COMMAND, "plan", MODEL, "--json"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        select.select([reading], [], [])
        time.sleep(0.5)  # it is full meanwhile
        with os.fdopen(reading, "rb") as file:
            data = file.read()
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read()) == (0, b"")
    assert len(data) > 65536
    assert len(json.loads(data)["tensors"]) == 338


def test_no_file_is_opened_under_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what a library prints by number would be written into the checkpoint."""
    script = (
        "import os, sys; from zeroinit_cli.cli.streams import prepare_streams;"
        "prepare_streams(); number = os.open('file', os.O_WRONLY | os.O_CREAT);"
        "os.write(number, str(number).encode())"
    )
    command = [sys.executable, "-c", script]
    redirected = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *command]
    subprocess.run(redirected, cwd=tmp_path, check=True)
    assert int((tmp_path / "file").read_text()) > 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_answer_does_not_change_it(number: signal.Signals) -> None:
    script = (
        "import atexit, os, time\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), {number:d}), time.sleep(0.1)))\n"
        "from zeroinit_cli.__main__ import main; main()"
    )
    command = [sys.executable, "-c", script, "models", "no_such"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: no model matches 'no_such' in PATTERN\n",
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_modules_are_imported_is_answered(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "typer.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {number:d})\ntime.sleep(10)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = child("models", env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (
        code,
        "",
        f"interrupted by {number.name}; no file is left half written\n",
    )


BROKEN = {
    "missing": (
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
        "error: torch cannot be imported\n"
        "  found: ModuleNotFoundError: No module named 'torch'\n"
        "\nhint: install zeroinit again with what it depends on; without torch there is "
        "zeroinit verify --hash-only\n",
    ),
    "unloadable": (
        "raise OSError('libcudart.so.12: cannot open shared object file')",
        "error: the system refused in an operation on a file\n"
        "  found: libcudart.so.12: cannot open shared object file\n",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_torch_that_cannot_be_imported_is_no_fault_of_ours(tmp_path: Path, kind: str) -> None:
    line, message = BROKEN[kind]
    (tmp_path / "torch.py").write_text(line)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = child("digest", MODEL, env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_report_of_a_fault_cannot_be_forged(
    zeroinit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a bug\x1b[2K\nok: all is well")

    monkeypatch.setattr(models, "fnmatchcase", fail)
    result = zeroinit("models")
    assert result.code == 70
    assert "\x1b" not in result.err
    assert "  found: ZeroDivisionError: a bug\\x1b[2K\\nok: all is well\n" in result.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_an_import_turned_into_another_error_is_still_that_signal(
    number: signal.Signals, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_AN_IMPORT, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        code,
        f"interrupted by {number.name}; no file is left half written\n",
    )

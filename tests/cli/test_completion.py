"""What a shell completes: asked of the program, and of real shells where they are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zeroinit_cli.cli import complete
from zeroinit_cli.sources.torchvision import model_names

ROOT = Path(__file__).parents[2]


def test_the_names_are_torchvisions() -> None:
    assert complete.known_models() == model_names()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with specs, and the program under its name."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "zeroinit"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'zeroinit'\n"
        "from zeroinit_cli.__main__ import main\nmain()\n"
    )
    program.chmod(0o755)
    (tmp_path / "work" / "nets").mkdir(parents=True)
    (tmp_path / "work" / ".hidden").mkdir()
    for name in ("res.yaml", "nets/resnet.yml", "nets/notes.txt", "resource.txt", ".hidden/x.yaml"):
        (tmp_path / "work" / name).touch()
    (tmp_path / "work" / "res.safetensors").touch()
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'programs'}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder), "LC_ALL": "C.UTF-8"}


def bash(folder: Path, *words: str) -> list[str]:
    """What bash would offer for the last of some words, by the script that the program gives."""
    script = (
        "source <(_ZEROINIT_COMPLETE=source_bash zeroinit) || exit 9\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        'function=$(complete -p zeroinit | sed -E "s/.*-F ([^ ]+).*/\\1/")\n'
        '"$function" zeroinit "${COMP_WORDS[COMP_CWORD]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script, "bash", *words],
        cwd=folder / "work",
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


CASES: list[tuple[tuple[str, ...], list[str]]] = [
    (("plan", "vgg11"), ["vgg11", "vgg11_bn"]),
    (("generate", "-o", "x", "regnet_x_8"), ["regnet_x_800mf", "regnet_x_8gf"]),
    (("digest", "nets/"), ["nets/resnet.yml"]),
    (("plan", "res"), [*complete.model("res"), "res.yaml"]),
    (("plan", "ne"), ["nets/resnet.yml"]),
    (("plan", "resnet18", "--dtype", ""), ["float64", "float32", "float16", "bfloat16"]),
    (("plan", "resnet18", "--policy", ""), ["default", "paper"]),
    (("plan", "resnet18", "--policy", "pa"), ["paper"]),
    (("verify", "--format", ""), ["human", "json", "github"]),
    (("verify", "x", "--source", "vgg19"), ["vgg19", "vgg19_bn"]),
    (("verify", "--ignore"), ["--ignore-missing"]),
    (("diff", "res.s"), ["res.safetensors"]),
    (("models", "lrasp"), ["lraspp_mobilenet_v3_large"]),
    (("spec", "check", "re"), ["res.yaml"]),
    (("ver",), ["verify"]),
    (("verify", ""), []),  # bash then completes files by itself
]


@pytest.mark.parametrize(("words", "offered"), CASES)
def test_bash_offers_what_fits(folder: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert bash(folder, "zeroinit", *words) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("words", "offered"), CASES[:3] + CASES[5:8])
def test_fish_offers_what_fits(folder: Path, words: tuple[str, ...], offered: list[str]) -> None:
    line = " ".join(["zeroinit", *words])
    script = f"_ZEROINIT_COMPLETE=source_fish zeroinit | source; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=folder / "work",
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(offered)


ZSH = """\
autoload -Uz compinit && compinit -u -d "$HOME/.zcompdump"
_arguments() { print -r -- "$*" }
_files() { print -r -- FILES }
source <(_ZEROINIT_COMPLETE=source_zsh zeroinit)
words=("$@"); CURRENT=$#
_zeroinit_completion
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(("words", "offered"), CASES[:3] + CASES[5:8] + CASES[-1:])
def test_zsh_offers_what_fits(folder: Path, words: tuple[str, ...], offered: list[str]) -> None:
    """The script calls zsh's own `_arguments` or `_files`, which only a line editor can run."""
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", "zeroinit", *words],
        cwd=folder / "work",
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    listed = " ".join(f'"{each}"' for each in offered)
    assert done.stdout == (f"*: :(({listed}))\n" if offered else "FILES\n")


@pytest.mark.parametrize("line", ["zeroinit plan res", "zeroinit verify --format ", "zeroinit p"])
def test_a_key_press_imports_neither_torch_nor_numpy(line: str) -> None:
    script = (
        "import sys\nfrom zeroinit_cli.__main__ import run\nsys.argv = ['zeroinit']\ncode = run()\n"
        "heavy = ('torch', 'torchvision', 'numpy')\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    variables = {
        "_ZEROINIT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    *offered, last = done.stdout.splitlines()
    assert offered
    assert last == "0 []"


def test_a_folder_that_is_closed_or_gone_offers_nothing(tmp_path: Path) -> None:
    assert complete.spec(f"{tmp_path}/none/x") == []
    (tmp_path / "loop").symlink_to("loop")
    assert complete.spec(f"{tmp_path}/lo") == []


def test_hidden_folders_are_completed_where_the_dot_is_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "work")
    assert complete.spec("") == ["nets/resnet.yml", "res.yaml"]
    assert complete.spec(".h") == [".hidden/x.yaml"]
    assert complete.side("res.") == ["res.yaml", "res.safetensors"]

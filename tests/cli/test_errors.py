"""What goes wrong, in whole messages, with the right exit code."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import MODEL, Command, child
from tests.long import some_long
from zeroinit_cli.cli import models

UNKNOWN = (
    "error: no model is called 'resnet81' in SOURCE\n"
    "  expected: a name that zeroinit models lists\n"
    "\nhint: did you mean resnet18 or resnet152 or resnet101?\n"
)

MESSAGES: list[tuple[tuple[str, ...], str]] = [
    (("digest", "resnet81"), UNKNOWN),
    (("plan", "torchvision:resnet81"), UNKNOWN),
    (
        ("digest", "keras:resnet18"),
        "error: unknown prefix 'keras' in SOURCE\n"
        "  expected: a model name of torchvision's, a path to a .yaml file, or torchvision:, "
        "timm:, transformers:, python: and what it names\n"
        "  found: 'keras:resnet18'\n",
    ),
    (
        ("digest", "../resnet18"),
        "error: not a model name in SOURCE\n"
        "  expected: letters, digits and underscores, such as resnet18, or a path to a .yaml file\n"
        "  found: '../resnet18'\n"
        "\nhint: zeroinit models lists the names\n",
    ),
    (
        ("digest", "resnet18", "--set", "nonsense=1"),
        "error: resnet18 does not take 'nonsense' in --set\n"
        "  expected: groups, norm_layer, num_classes, replace_stride_with_dilation, "
        "width_per_group, zero_init_residual\n",
    ),
    (
        ("digest", "resnet18", "--set", "num_clases=10"),
        "error: resnet18 does not take 'num_clases' in --set\n"
        "  expected: groups, norm_layer, num_classes, replace_stride_with_dilation, "
        "width_per_group, zero_init_residual\n"
        "\nhint: did you mean num_classes?\n",
    ),
    (
        ("digest", "swin_v2_t", "--set", "stochastic_depth_prob=0"),
        "error: swin_v2_t does not take 'stochastic_depth_prob' in --set\n"
        "  expected: attention_dropout, dropout, mlp_ratio, norm_layer, num_classes\n",
    ),
    (
        ("digest", "resnet18", "--set", "num_classes"),
        "error: malformed setting in --set\n"
        "  expected: KEY=VALUE, such as num_classes=10\n"
        "  found: 'num_classes'\n",
    ),
    (
        ("digest", "resnet18", "--set", "num_classes=1", "--set", "num_classes=2"),
        "error: num_classes is given twice in --set\n",
    ),
    (
        ("digest", "resnet18", "--set", "num_classes={}"),
        "error: unusable value in --set num_classes\n"
        "  expected: an int, float, bool or str, or a tuple of them\n"
        "  found: {}\n",
    ),
    (
        ("digest", "resnet18", "--set", "num_classes=1e999"),
        "error: unusable value in --set num_classes\n  expected: a finite number\n  found: inf\n",
    ),
    (
        ("digest", "resnet18", "--set", f"num_classes=0x{'f' * 5000}"),
        "error: unusable value in --set num_classes\n"
        "  expected: an integer of at most 64 bits\n"
        "  found: int too large to write\n",
    ),
    (
        ("digest", "resnet18", "--dtype", "float31"),
        "error: unknown choice in --dtype\n"
        "  expected: float64, float32, float16, bfloat16\n"
        "  found: 'float31'\n"
        "\nhint: did you mean float32 or float16 or bfloat16?\n",
    ),
    (
        ("digest", "resnet18", "--override", "fc.weight"),
        "error: malformed override in --override\n"
        "  expected: PATTERN=RULE, such as '*.head.weight=zeros'\n"
        "  found: 'fc.weight'\n",
    ),
    (
        ("digest", "resnet18", "--override", "fc.weihgt=zeros"),
        "error: an override matches no tensor in --override 'fc.weihgt=zeros'\n"
        "  expected: a glob over the names that zeroinit plan --all lists\n"
        "\nhint: did you mean fc.weight?\n",
    ),
    (
        ("digest", "resnet18", "--override", "fc.bias=algorithm-1"),
        "error: algorithm-1 does not fit fc.bias in --override 'fc.bias=algorithm-1'\n"
        "  expected: a floating matrix (fan_out, fan_in), or a stack of such matrices\n"
        "  found: float32 [1000] of Linear\n",
    ),
    (
        ("models", "no_such"),
        "error: no model matches 'no_such' in PATTERN\n",
    ),
    (
        ("generate", "resnet18"),
        "error: missing option '--output' / '-o' in the command line\n"
        "\nhint: zeroinit --help, or zeroinit COMMAND --help\n",
    ),
    (
        ("digest", "resnet18", "--fast"),
        "error: no such option: --fast in the command line\n\nhint: did you mean --set?\n",
    ),
    (
        ("version",),
        "error: no such command 'version' in the command line\n\nhint: zeroinit --version\n",
    ),
    (
        ("verfy",),
        "error: no such command 'verfy' in the command line\n\nhint: did you mean verify?\n",
    ),
    (
        ("generate", "resnet18", "-o", "-"),
        "error: a checkpoint is no stream in --output\n"
        "  expected: a path: the .sha256 and the lock's entry name it\n"
        "  found: -\n"
        "\nhint: -o init.safetensors\n",
    ),
    (
        ("inspect", "https://example.com/m.safetensors"),
        "error: a URL, not a file in https://example.com/m.safetensors\n"
        "\nhint: download it first\n",
    ),
    (
        ("digest", "https://example.com/net.yaml"),
        "error: a URL, not a file in https://example.com/net.yaml\n\nhint: download it first\n",
    ),
    *(
        (
            ("digest", "resnet18", "--dtype", word),
            "error: unknown choice in --dtype\n"
            "  expected: float64, float32, float16, bfloat16\n"
            f"  found: '{word}'\n"
            f"\nhint: did you mean {meant}?\n",
        )
        for word, meant in (
            ("fp16", "float16"),
            ("half", "float16"),
            ("bf16", "bfloat16"),
            ("fp32", "float32"),
        )
    ),
    (
        ("frobnicate",),
        "error: no such command 'frobnicate' in the command line\n"
        "\nhint: zeroinit --help, or zeroinit COMMAND --help\n",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MESSAGES)
def test_a_wrong_command_is_answered_in_words(
    zeroinit: Command, arguments: tuple[str, ...], message: str
) -> None:
    result = zeroinit(*arguments)
    assert (result.code, result.out, result.err) == (2, "", message)


@pytest.mark.parametrize(
    "model",
    some_long(["fasterrcnn_resnet50_fpn", "deeplabv3_resnet50"], lambda model: "rcnn" in model),
)
def test_builders_that_swallow_any_key_are_not_asked(zeroinit: Command, model: str) -> None:
    result = zeroinit("digest", model, "--set", "nonsense=1")
    assert result.code == 2
    assert result.err.startswith(f"error: {model} does not take 'nonsense' in --set\n  expected: ")
    assert "num_classes" in result.err


def test_a_builders_own_refusal_is_ours(zeroinit: Command) -> None:
    result = zeroinit("digest", "resnet18", "--set", "num_classes=-1")
    assert result.code == 2
    assert result.err.startswith("error: the builder failed in torchvision:resnet18\n  found: ")
    assert result.err.endswith("\nhint: check the --set values\n")
    assert "Traceback" not in result.err


LOCKS: list[tuple[str, str | bytes, str]] = [
    ("no TOML", "version = ", "error: not a TOML file in zeroinit.lock\n"),
    ("no UTF-8", b"\xff", "error: not a TOML file in zeroinit.lock\n"),
    ("nested", "a = " + "[" * 100_000, "error: not a TOML file in zeroinit.lock\n"),
    (
        "newer",
        "version = 2",
        "error: unknown lock version in zeroinit.lock: version\n  expected: 1\n  found: 2\n",
    ),
    (
        "true",
        "version = true",
        "error: unknown lock version in zeroinit.lock: version\n  expected: 1\n  found: True\n",
    ),
    ("none", "", "error: unknown lock version in zeroinit.lock: version\n  expected: 1\n"),
    (
        "unknown key",
        "version = 1\nnew = 1",
        "error: 1 invalid field in zeroinit.lock\n  found: new: extra inputs are not permitted\n",
    ),
]


@pytest.mark.parametrize(
    ("content", "message"), [lock[1:] for lock in LOCKS], ids=[lock[0] for lock in LOCKS]
)
def test_a_hostile_lock_is_ordinary_bad_input(
    zeroinit: Command, tmp_path: Path, content: str | bytes, message: str
) -> None:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "zeroinit.lock").write_bytes(data)
    for arguments in (("verify",), ("generate", MODEL, "-o", "x")):
        result = zeroinit(*arguments)
        assert result.code == 2
        assert result.err.startswith(message)
        assert (tmp_path / "zeroinit.lock").read_bytes() == data
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        ('path = "init', 'path = "../init', "checkpoint.0.path: must be a plain relative path"),
        ('path = "init', 'path = "/init', "checkpoint.0.path: must be a plain relative path"),
        ('path = "init', 'path = "a\\\\b', "checkpoint.0.path: must be a plain relative path"),
        ('path = "init', 'path = "\\u001binit', "checkpoint.0.path: must be a plain relative"),
        ("size = ", "size = -", "checkpoint.0.size: input should be greater than or equal to 0"),
        ("size = ", "size = 1.5 # ", "checkpoint.0.size: input should be a valid integer"),
        ('"float32"', '"float31"', "unknown choice ('float31')"),
        ('sha256 = "', 'sha256 = "Z', "checkpoint.0.sha256: must be 64 hexadecimal digits"),
        ("options", "arguments = {a = nan}\noptions", "unusable value (nan)"),
    ],
)
def test_a_wrong_field_of_a_lock_is_named(
    zeroinit: Command, made: Path, pattern: str, replacement: str, said: str
) -> None:
    lock = made / "zeroinit.lock"
    text = lock.read_text()
    assert pattern in text
    lock.write_text(text.replace(pattern, replacement, 1))
    result = zeroinit("verify")
    assert result.code == 2
    assert result.err.startswith("error: 1 invalid field in zeroinit.lock\n  found: checkpoint.0")
    assert said in result.err
    assert "\x1b" not in result.err


def test_a_path_that_is_locked_twice_is_refused(zeroinit: Command, made: Path) -> None:
    lock = made / "zeroinit.lock"
    entry = lock.read_text().partition("[[checkpoint]]")[2]
    lock.write_text(f"{lock.read_text()}\n[[checkpoint]]{entry}")
    result = zeroinit("verify")
    assert result.code == 2
    assert "'init.safetensors' is locked twice" in result.err


def test_a_pipe_for_a_lock_does_not_hang(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "zeroinit.lock")
    done = child("verify", cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (2, "error: not a regular file in zeroinit.lock\n")


def test_a_fault_of_ours_exits_70_and_asks_for_a_report(
    zeroinit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(models, "fnmatchcase", fail)
    result = zeroinit("models")
    assert result.code == 70
    assert "\nerror: a fault of zeroinit 0.1.0, not of yours\n" in result.err
    assert "  found: ZeroDivisionError: a bug\n" in result.err


def test_a_closed_pipe_exits_141_in_silence() -> None:
    command = f"{sys.executable} -m zeroinit_cli models | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=[pytest.mark.long])],
)
def test_a_signal_leaves_the_old_file(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "a").write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-m", "zeroinit_cli", "generate", "vit_h_14", "-o", "a", "--force"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    part = tmp_path / ".a.zeroinit-stage" / ".a.zeroinit-part"
    deadline = time.monotonic() + 120
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        code,
        f"interrupted by {number.name}; no file is left half written\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_the_line_of_an_unfinished_merge_is_annotated(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "zeroinit.lock").write_text("version = 1\n<<<<<<< HEAD\n")
    result = zeroinit("verify", "--format", "github")
    assert result.out.startswith("::error file=zeroinit.lock,line=2,title=zeroinit verify::error: ")


def test_the_version_has_a_short_option(zeroinit: Command) -> None:
    assert zeroinit("-V").out == zeroinit("--version").out


def test_help_gives_flags_no_type() -> None:
    for command in ((), ("inspect",), ("spec", "check"), ("spec",)):
        assert "bool" not in child(*command, "--help").stdout


def test_a_tensor_is_found_by_a_part_of_its_name(zeroinit: Command, made: Path) -> None:
    for name, hint in (
        ("fc.wieght", "did you mean fc.weight?"),
        ("FC", "names with 'FC' are fc.bias, fc.weight"),
        ("zzz", "zeroinit inspect init.safetensors lists the names"),
    ):
        shown = zeroinit("inspect", "init.safetensors", "--tensor", name).err
        assert f"\nhint: {hint}" in shown, shown

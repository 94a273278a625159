"""Checkpoints that were generated otherwise: `verify` tries options, overrides and arguments."""

from pathlib import Path

import pytest

from tests.cli.command import MODEL, NAME, NET, Command
from tests.cli.happenings import PATH
from tests.cli.test_causes import causes
from tests.cli.test_verify import flip

OPTIONS = [
    ("--scale", "paper"),
    ("--expansion", "paley"),
    ("--dtype", "bfloat16"),
    ("--dtype", "float64"),
]


@pytest.mark.parametrize("words", OPTIONS)
def test_other_options_are_tried(zeroinit: Command, locked: Path, words: tuple[str, str]) -> None:
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *words).code == 0
    option = " ".join(words)
    assert causes(zeroinit) == [
        ("other-options", f"generated otherwise: {option} gives these tensors")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--residual", "none"), "--residual none"),
        (("--residual", "layer"), "--residual layer"),
        (("--preset", "paper"), "--preset paper"),
    ],
)
def test_options_of_residual_branches_are_tried(
    zeroinit: Command, tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    branch = "[Conv2d: {out_channels: 8, kernel_size: 3, padding: 1}, BatchNorm2d]"
    text = NET.replace("  - Flatten", f"  - residual: {branch}\n  - Flatten")
    (tmp_path / "net.yaml").write_text(text)
    assert zeroinit("generate", "net.yaml", "-o", NAME).code == 0
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *words).code == 0
    assert causes(zeroinit) == [
        ("other-options", f"generated otherwise: {said} gives these tensors")
    ]


def test_an_override_that_was_forgotten_is_seen(zeroinit: Command, locked: Path) -> None:
    words = ("--override", "4.weight=zeros")
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--force", *words).code == 0
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force").code == 0
    assert causes(zeroinit) == [
        ("other-options", "generated otherwise: no --override gives these tensors")
    ]


def test_another_number_of_classes_is_tried(zeroinit: Command, made: Path) -> None:
    words = ("--set", "num_classes=10")
    assert zeroinit("generate", MODEL, "-o", NAME, "--no-lock", "--force", *words).code == 0
    assert causes(zeroinit) == [
        ("other-arguments", "generated otherwise: --set num_classes=10 gives these tensors")
    ]
    assert zeroinit("generate", "squeezenet1_1", "-o", NAME, "--no-lock", "--force").code == 0
    assert causes(zeroinit) == [
        (
            "other-architecture",
            "another architecture, or another version of it: 0 of 338 tensors are there under "
            "their names",
        )
    ]


def test_a_trained_option_is_not_called_an_option(zeroinit: Command, locked: Path) -> None:
    """All but one element as another option gives them: no option gives the file."""
    words = ("--scale", "paper")
    assert zeroinit("generate", "net.yaml", "-o", NAME, "--no-lock", "--force", *words).code == 0
    flip(PATH, PATH.stat().st_size - 1)
    assert [kind for kind, _ in causes(zeroinit)] == []

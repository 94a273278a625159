"""`zeroinit plan` and `models`: what a person reads, and what a program does."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.cli.command import Command
from zeroinit_cli.sources.torchvision import model_names


def test_the_table_groups_alike_tensors_and_says_why(zeroinit: Command) -> None:
    result = zeroinit("plan", "resnet18")
    assert result.code == 0
    rows = [" ".join(line.split()) for line in result.out.splitlines()]
    assert rows[0] == "count elements rule why tensors"
    assert (
        "13 9,437,184 identity times signs around the centre "
        "Conv2d: Algorithm 1, around the centre layer*.*.conv*.weight"
    ) in rows
    assert (
        "8 1,920 0.25 last norm of residual branch layer*.*: scale 0.25 layer*.*.bn2.weight" in rows
    )
    assert rows[-2] == (
        "torchvision:resnet18: 122 tensors, 11,699,132 elements (80.5% zeros), 46,796,608 bytes"
    )
    assert len(rows) < 25
    assert result.err == ""


def test_the_papers_table_says_what_the_paper_says(zeroinit: Command) -> None:
    result = zeroinit("plan", "resnet18", "--policy", "paper")
    rows = [" ".join(line.split()) for line in result.out.splitlines()]
    for row in (
        "8 6,266,880 zeros last layer of residual branch layer*.*: weight 0 layer*.*.conv2.weight",
        "5 3,170,304 identity at one tap Conv2d: Algorithm 2 layer*.*.conv1.weight",
        "4 1,557,696 Hadamard at one tap Conv2d: Algorithm 2 conv1.weight, layer*.0.conv1.weight",
    ):
        assert row in rows
    assert (
        "warning: 8 expansions repeat rows, and such units stay equal until later layers tell them "
        "apart: conv1.weight (64 rows, 4 distinct), "
    ) in result.err


def test_all_shows_a_line_for_every_tensor(zeroinit: Command) -> None:
    out = zeroinit("plan", "resnet18", "--all").out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert (
        "conv1.weight F32 64 x 3 x 7 x 7 twisted Hadamard, p = 151, c = 2^-4, transposed "
        "Conv2d of the input: Algorithm 1 on its kernel"
    ) in rows
    assert len(rows) >= 122


def test_json_holds_the_canonical_form_and_its_digest(zeroinit: Command) -> None:
    made = zeroinit("plan", "resnet18", "--json").json
    fields = ("dtype", "name", "rule", "shape", "tied_to")
    canonical = {
        "scheme": made["scheme"],
        "tensors": [{key: tensor[key] for key in fields} for tensor in made["tensors"]],
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made["digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert {each["class"].partition(":")[0] for each in made["adds"]} == {"residual"}
    assert made["warnings"] == []
    paper = zeroinit("plan", "resnet18", "--json", "--policy", "paper").json
    assert [each["kind"] for each in paper["warnings"]] == [
        "shortcut-chain",
        "zero-before-norm",
        "equal-rows",
    ]


def test_strict_exits_1_where_there_is_a_warning_and_0_where_there_is_none(
    zeroinit: Command,
) -> None:
    assert zeroinit("plan", "resnet18", "--strict").code == 0
    assert zeroinit("plan", "resnet18", "--strict", "--policy", "paper").code == 1


def test_chains_of_convolution_and_batch_norm_are_warned_of(zeroinit: Command) -> None:
    err = zeroinit("plan", "vgg11_bn", "--policy", "paper").err
    assert "batch norms stand behind 3 or more Sylvester expansions in a row" in err
    assert "batch norms" not in zeroinit("plan", "vgg11_bn").err
    shortcuts = zeroinit("plan", "resnet50", "--policy", "paper").err
    assert "without a skip" not in shortcuts
    assert "shortcuts of branches that begin closed: layer3.0.downsample.1" in shortcuts
    assert "batch norms" not in zeroinit("plan", "resnet50").err


@pytest.mark.parametrize(
    ("layer", "default", "paper"),
    [
        (
            "{out_channels: 8, kernel_size: 3}",
            "Conv1d of the input: Algorithm 1 on its kernel",
            "Conv1d: Algorithm 2",
        ),
        ("{out_channels: 8, kernel_size: 1}", "Conv1d: Algorithm 1", "Conv1d: Algorithm 1"),
        (
            "{out_channels: 8, kernel_size: 3, groups: 2}",
            "grouped Conv1d: Algorithm 1 in each, around the centre",
            "grouped Conv1d: Algorithm 2 in each",
        ),
        (
            "{out_channels: 8, kernel_size: 2, stride: 2}",
            "Conv1d: patches of the input",
            "Conv1d: Algorithm 2",
        ),
    ],
)
def test_why_a_kernel_begins_so_is_said_under_either_policy(
    zeroinit: Command, tmp_path: Path, layer: str, default: str, paper: str
) -> None:
    (tmp_path / "x.yaml").write_text(f"zeroinit: 1\ninput: [4, 8]\nlayers: [Conv1d: {layer}]\n")
    for policy, reason in (("default", default), ("paper", paper)):
        made = zeroinit("plan", "x.yaml", "--policy", policy, "--json").json
        [weight] = [each for each in made["tensors"] if each["name"] == "0.weight"]
        assert weight["reason"] == reason


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("resnet1*", ["resnet101", "resnet152", "resnet18"]),
        ("_v2_t", ["swin_v2_t"]),
    ],
)
def test_models_are_found_by_glob_or_part(
    zeroinit: Command, pattern: str, found: list[str]
) -> None:
    assert zeroinit("models", pattern).out.split() == found
    assert zeroinit("models", pattern, "--json").json == found


def test_all_models_are_listed(zeroinit: Command) -> None:
    assert zeroinit("models").out.split() == model_names()

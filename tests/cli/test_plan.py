"""`zeroinit plan` and `models`: what a person reads, and what a program does."""

import hashlib
import json

import pytest

from tests.cli.command import Command
from zeroinit_cli.models import model_names


def test_the_table_groups_alike_tensors_and_says_why(zeroinit: Command) -> None:
    result = zeroinit("plan", "resnet18")
    assert result.code == 0
    rows = [" ".join(line.split()) for line in result.out.splitlines()]
    assert rows[0] == "count elements rule why tensors"
    assert "13 9,437,184 identity at one tap Conv2d: Algorithm 2 layer*.*.conv*.weight" in rows
    assert (
        "8 1,920 zeros last norm of residual branch layer*.*: scale 0 layer*.*.bn2.weight" in rows
    )
    assert rows[-2] == (
        "torchvision:resnet18: 122 tensors, 11,699,132 elements (92.6% zeros), 46,796,608 bytes"
    )
    assert len(rows) < 25
    assert (
        "warning: 8 expansions repeat rows, and such units stay equal until later layers tell them "
        "apart: conv1.weight (64 rows, 4 distinct), "
    ) in result.err


def test_all_shows_a_line_for_every_tensor(zeroinit: Command) -> None:
    out = zeroinit("plan", "resnet18", "--all").out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert (
        "conv1.weight F32 64 x 3 x 7 x 7 Hadamard, c = 2^-3 at tap (3, 3) Conv2d: Algorithm 2"
        in rows
    )
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
    assert [each["kind"] for each in made["warnings"]] == [
        "shortcut-chain",
        "equal-rows",
    ]


def test_strict_exits_1_where_there_is_a_warning_and_0_where_there_is_none(
    zeroinit: Command,
) -> None:
    assert zeroinit("plan", "resnet18", "--strict").code == 1
    assert zeroinit("plan", "resnet18", "--strict", "--policy", "paper").code == 0


def test_chains_of_convolution_and_batch_norm_are_warned_of(zeroinit: Command) -> None:
    err = zeroinit("plan", "vgg11_bn").err
    assert "batch norms stand behind 3 or more Sylvester expansions in a row" in err
    assert "batch norms" not in zeroinit("plan", "vgg11_bn", "--policy", "paper").err
    shortcuts = zeroinit("plan", "resnet50").err
    assert "without a skip" not in shortcuts
    assert "shortcuts of branches that begin closed: layer3.0.downsample.1" in shortcuts
    assert "batch norms" not in zeroinit("plan", "resnet50", "--policy", "paper").err


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

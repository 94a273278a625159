"""Records: kept whole, read only if whole, and put into words."""

from dataclasses import replace
from pathlib import Path

import pytest

from evidence.records import (
    BranchRecord,
    ModelRecord,
    Setting,
    StartRecord,
    read_record,
    write_record,
)
from evidence.tables import markdown

OWN = StartRecord(
    losses=[6.9, 6.5, 6.0, 5.5, 5.0, 4.25],
    not_finite=None,
    largest_gradient=21.6,
    largest_gradient_of="conv1.weight",
    channels=4800,
    flat_channels=0,
    arrivals={"0": 62},
    late={},
    never={},
    units=5800,
    idle={},
    idle_elements=0.0,
    seconds=60.0,
)
ZERO = replace(
    OWN,
    losses=[6.91, 7.5, None, None, None, None],
    not_finite="step 2: the output of layer1.0.bn1",
    largest_gradient=1904857.5,
    largest_gradient_of="layer2.0.downsample.0.weight",
    flat_channels=3292,
    arrivals={"0": 30, "2": 31},
    never={"its input is 0": ["conv1.weight"]},
    idle={"the activation after it is never positive": 58},
)
RECORD = ModelRecord(
    model="resnet18",
    plan="sha256:00",
    nbytes=46_800_000,
    setting=Setting(
        batch=8,
        pixels=96,
        learning_rate=0.01,
        faster=0.1,
        steps=5,
        auxiliary=0.3,
        torch="2.13.0",
        torchvision="0.28.0",
    ),
    warnings={},
    branches=BranchRecord(
        closed=8,
        largest_closed=0.0,
        scaled=0,
        damped=3,
        broken=["layer1.0"],
        open={"it ends in matmul": 2},
    ),
    zero=ZERO,
    own=OWN,
    zero_faster=ZERO,
    own_faster=OWN,
    paper=OWN,
    peak_bytes=1_400_000_000,
)
CALM = replace(
    RECORD, model="vgg11", warnings={"equal-rows": ""}, zero=OWN, own=OWN, zero_faster=OWN
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.json"
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    assert [each.name for each in tmp_path.iterdir()] == ["resnet18.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": "resnet18"}'])
def test_what_is_no_record_is_measured_again(text: str, tmp_path: Path) -> None:
    path = tmp_path / "resnet18.json"
    path.write_text(text)
    assert read_record(path) is None
    assert read_record(tmp_path / "none.json") is None


def test_what_is_missing_is_named() -> None:
    lines = markdown([RECORD], of=["vit_h_14", "resnet18", "alexnet"]).splitlines()
    assert "Not measured yet: alexnet, vit_h_14." in lines


def test_every_number_of_a_record_is_in_the_tables() -> None:
    lines = markdown([RECORD, CALM], of=[]).splitlines()
    assert (
        "| resnet18 | - | 22 | 2e6 | **9e4** | 22 | 0 | **69** | 0 | 6.90 -> 4.25 | "
        "**6.91 -> not finite** | 6.90 -> 4.25 | **6.91 -> not finite** |"
    ) in lines
    assert (
        "| vgg11 | **equal-rows** | 22 | 22 | 1 | 22 | 0 | 0 | 0 | 6.90 -> 4.25 | 6.90 -> 4.25 | "
        "6.90 -> 4.25 | 6.90 -> 4.25 |"
    ) in lines
    assert "| resnet18 | 62 | 30 / 0 / 31 | 0 | 1 | 0 | 1.0 |" in lines
    assert "| the activation after it is never positive | 0 | 58 |" in lines
    assert "- 16 closed: the largest value that any of them adds is 0." in lines
    assert "- 6 ended by a norm of 1/4 or a weight of 1/16, 0 by a layer scale." in lines
    assert "- resnet18: 2 open, it ends in matmul." in lines
    assert "- **resnet18: layer1.0 is not what the plan says.**" in lines


def test_what_misses_a_bar_is_named() -> None:
    both = replace(RECORD, model="lost_from_both", own=ZERO, own_faster=ZERO)
    lines = markdown([RECORD, CALM, both], of=[]).splitlines()
    start = lines.index("- `plan --strict` exits 1: 1 of 3: **vgg11**.")
    assert lines[start + 1 : start + 7] == [
        "- Over 10 times torch's largest gradient: 1 of 3: **resnet18**.",
        "- With batch-norm channels without variance at step 0: 2 of 3: "
        "**resnet18, lost_from_both**.",
        "- Not finite where torch's start is: 1 of 3: **resnet18**.",
        "",
        "- resnet18 from ZerO's start at 0.01 is not finite at step 2: the output of layer1.0.bn1.",
        "- resnet18 from ZerO's start at 0.1 is not finite at step 2: the output of layer1.0.bn1.",
    ]


def test_parameters_without_a_gradient_are_counted_by_pattern() -> None:
    never = {"nothing uses it": ["blocks.0.qkv.bias[k]", "blocks.10.qkv.bias[k]"]}
    lines = markdown([replace(RECORD, zero=replace(ZERO, never=never))], of=[]).splitlines()
    assert (
        "- resnet18 from ZerO's start, never `blocks.*.qkv.bias[k]` (2): nothing uses it."
    ) in lines


def test_a_gradient_that_is_not_finite_explodes() -> None:
    broken = replace(RECORD, zero=replace(ZERO, largest_gradient=None))
    text = markdown([broken], of=[])
    assert "| not finite | **not finite** |" in text
    assert "Over 10 times torch's largest gradient: 1 of 1: **resnet18**." in text

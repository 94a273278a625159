"""The confusion table counts what it says, and no net that tests thresholds has set them."""

from pathlib import Path

import pytest

from evidence.probe_cases import calibration, held_out
from evidence.probe_verdicts import Case, update_document


def case(verdict: str, *, trained: bool, net: str = "net", progress: float = 0.4) -> Case:
    return Case(
        net=net,
        start="default",
        verdict=verdict,
        reasons=[],
        suggested=0.01,
        ratio=2.0,
        moved=0.1,
        flat=0.5,
        progress=progress,
        torchs=2.0,
        rate=0.05,
        trained=trained,
    )


CASES = [
    case("will-train", trained=True),
    case("will-train", trained=True, net="other"),
    case("will-train", trained=False, progress=1.1),
    case("likely-not", trained=False),
    case("uncertain", trained=True),
]


def test_the_table_counts_verdicts_and_outcomes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- held-out -->\nold\n<!-- /held-out -->\nafter\n")
    update_document(page, "held-out", CASES, 90)
    text = page.read_text()
    assert text.startswith("before\n<!-- held-out -->\n5 starts of 2 nets, 2 minutes.\n")
    assert text.endswith("<!-- /held-out -->\nafter\n")
    assert "old" not in text
    for line in (
        "| will train | 2 | 1 | 0 |",
        "| smaller learning rate | 0 | 0 | 0 |",
        "| uncertain | 1 | 0 | 0 |",
        "| likely not | 0 | 0 | 1 |",
        "Of 4 verdicts 3 were right; 1 of 5 starts were uncertain.",
        "| net | default | will train | 2 | 0.1 | 50 | 0.01 | 55 | 0.05 | no | **wrong** |",
    ):
        assert f"{line}\n" in text


def test_a_page_without_its_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    with pytest.raises(
        ValueError, match=r"page\.md has no <!-- held-out --> \.\.\. <!-- /held-out -->"
    ):
        update_document(page, "held-out", CASES, 90)


def test_the_two_sets_share_no_net() -> None:
    first, second = ({net.name for net in each()} for each in (calibration, held_out))
    assert not first & second
    assert len(second) >= 12
    shapes = [
        {
            tuple(tuple(each.shape) for each in net.factory().parameters())
            for net in nets
            if "torchvision" not in net.name
        }
        for nets in (calibration(), held_out())
    ]
    assert not shapes[0] & shapes[1]

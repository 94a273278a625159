"""What the table says of records, and that they are kept as they are."""

from pathlib import Path

from tests.outside.expected import summary
from tests.outside.record import Record, append_record, read_records
from tests.outside.table import markdown

_RECORDS = [
    Record(
        key="timm:one",
        parameters=1_500_000,
        seconds=0.25,
        peak_mb=12.3,
        warnings={"equal-rows": 2},
        digest="sha256:0",
        adds={"closed": 3, "open": 1},
        shortcuts={"small": 1},
        open=("blocks.0: 0.5",),
        dead=("a", "b"),
        dead_of_torch=("b",),
    ),
    Record(key="timm:two", refused="error: 2 random tensors have no rule in build"),
    Record(key="other:three", problem="not done in 5 s", untraced=("its forward",)),
]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for record in (_RECORDS[1], *_RECORDS):
        append_record(path, record)
    assert read_records(path) == {record.key: record for record in _RECORDS}
    assert read_records(tmp_path / "none") == {}


def test_the_summary_is_what_does_not_change_between_machines() -> None:
    assert [summary(record) for record in _RECORDS] == [
        {"whole": True, "branches": 5, "closed": 3, "small": 1, "dead": 1},
        {"refused": "error: 2 random tensors have no rule in build"},
        {"refused": "not done in 5 s"},
    ]


def test_the_table_sums_up_gives_causes_and_names() -> None:
    lines = markdown(_RECORDS).splitlines()
    assert lines[2:5] == [
        "| 2 timm | 1 | 0 | 1 | 1 | 5 | 3 | 1 | 1 | 0 | 0 | 80.0 % | 2 (1) |",
        "| 1 other | 0 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | - | 0 (0) |",
        "| 3 all | 1 | 1 | 1 | 1 | 5 | 3 | 1 | 1 | 0 | 0 | 80.0 % | 2 (1) |",
    ]
    assert "- refused: error: N random tensors have no rule in build (1: timm:two)" in lines
    assert "- failed: not done in N s (1: other:three)" in lines
    assert "| one | 1.50 M | whole | 5 | 3 | 1 | 1 | 2 (1) | 0.25 | 12 |" in lines
    assert "| three | 0.00 M | not done in 5 s | - | - | - | - | - | 0.00 | 0 |" in lines
    assert "- **timm:one** open: blocks.0: 0.5; no gradient: a" in lines
    assert "- **other:three** not recorded: its forward" in lines

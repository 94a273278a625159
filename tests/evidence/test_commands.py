"""What plan and probe say: the table, and the Llama that probe is asked of."""

from pathlib import Path

from evidence.commands import Answer, markdown, smaller
from zeroinit_cli.spec.check import parse_spec


def test_what_is_not_as_it_should_be_is_in_bold_and_what_was_not_asked_is_named() -> None:
    good = Answer(source="resnet18", plan="a", strict=0, verdict="will train", ratio=0.5)
    bad = Answer(source="alexnet", plan="b", strict=1, verdict="uncertain", ratio=25)
    assert markdown([good, bad], of=["alexnet", "resnet18", "vgg11"]).splitlines() == [
        "Not asked yet: vgg11.",
        "",
        "Of 2 asked, `plan` warns of nothing and `probe` says will train: 1.",
        "",
        "| source | `plan --strict` | `probe` | gradient, times torch's |",
        "| --- | ---: | --- | ---: |",
        "| resnet18 | 0 | will train | 0.5 |",
        "| alexnet | **1** | **uncertain** | 25 |",
    ]


def test_the_smaller_llama_is_a_spec_of_the_same_shape(tmp_path: Path) -> None:
    path = smaller(tmp_path)
    found = parse_spec(path.read_bytes(), path.name)
    assert found.document.name == "Llama 3 8B"

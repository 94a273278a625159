"""Wrong specs, one file each, and their whole messages beside them."""

from pathlib import Path

import pytest

from tests.cli.command import Command
from zeroinit_cli.errors import SpecError
from zeroinit_cli.spec.check import parse_spec

BAD = Path(__file__).with_name("bad")
NAMES = sorted(path.stem for path in BAD.glob("*.yaml"))


def test_there_are_many_and_each_has_its_message() -> None:
    assert len(NAMES) >= 60
    assert sorted(path.stem for path in BAD.glob("*.txt")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_message_says_what_is_wrong_and_where(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec((BAD / f"{name}.yaml").read_bytes(), f"{name}.yaml")
    assert f"{caught.value}\n" == (BAD / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_no_message_speaks_of_what_is_behind_it(name: str) -> None:
    message = (BAD / f"{name}.txt").read_text()
    for leak in ("Input should", "pydantic", "yaml.", "[type=", "None", "dict", "\0"):
        assert leak not in message.replace(f"{name}.yaml", "")


@pytest.mark.parametrize("verb", ["check", "show", "plan", "digest"])
def test_a_wrong_spec_ends_every_command_with_2_and_its_message(
    zeroinit: Command, tmp_path: Path, verb: str
) -> None:
    name = "top-several-at-once"
    (tmp_path / f"{name}.yaml").write_bytes((BAD / f"{name}.yaml").read_bytes())
    command = ("spec", verb) if verb in ("check", "show") else (verb,)
    result = zeroinit(*command, f"{name}.yaml")
    assert (result.code, result.out, result.err) == (2, "", (BAD / f"{name}.txt").read_text())


def test_json_has_every_fault_with_its_place(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes((BAD / "shape-linear-features.yaml").read_bytes())
    result = zeroinit("spec", "check", "--json", "x.yaml")
    assert result.code == 2
    assert result.json == {
        "specs": [
            {
                "faults": [
                    {
                        "column": 25,
                        "expected": "256, or no in_features at all",
                        "found": "512",
                        "hint": None,
                        "key_path": "layers[2].Linear.in_features",
                        "line": 6,
                        "problem": "Linear expects 512 features, gets 256 from layers[1]",
                    }
                ],
                "path": "x.yaml",
            }
        ]
    }


NO_BUILDER = (
    "error: no model is called 'resnet81' in x.yaml:2:22: model.torchvision\n"
    "  expected: a name that zeroinit models lists\n"
    "\nhint: did you mean resnet18 or resnet152 or resnet101?\n"
)
NO_ARGUMENT = (
    "error: resnet18 does not take 'num_clases' in x.yaml:3:27: model.arguments.num_clases\n"
    "  expected: groups, norm_layer, num_classes, replace_stride_with_dilation, "
    "width_per_group, zero_init_residual\n"
    "\nhint: did you mean num_classes?\n"
)


@pytest.mark.parametrize("command", [("spec", "check"), ("plan",)])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zeroinit: 1\nmodel: {torchvision: resnet81}\n", NO_BUILDER),
        (
            "zeroinit: 1\nmodel: {torchvision: resnet18,\n"
            "        arguments: {       num_clases: 10}}\n",
            NO_ARGUMENT.replace("3:27", "3:28"),
        ),
    ],
)
def test_what_torchvision_does_not_know_is_told_at_its_place(
    zeroinit: Command, tmp_path: Path, command: tuple[str, ...], text: str, message: str
) -> None:
    (tmp_path / "x.yaml").write_text(text)
    result = zeroinit(*command, "x.yaml")
    assert (result.code, result.out, result.err) == (2, "", message)


@pytest.mark.parametrize("what", ["missing.yaml", "folder.yaml"])
def test_a_file_that_cannot_be_read_is_named(zeroinit: Command, tmp_path: Path, what: str) -> None:
    (tmp_path / "folder.yaml").mkdir()
    reasons = {
        "missing.yaml": "error: cannot read the file in missing.yaml\n"
        "  found: No such file or directory\n",
        "folder.yaml": "error: not a regular file in folder.yaml\n",
    }
    result = zeroinit("plan", what)
    assert (result.code, result.err) == (2, reasons[what])

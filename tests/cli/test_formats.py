"""`--format`: the same answer and the same exit code, for people, programs and GitHub Actions."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.test_verify import edit, flip
from tests.cli.workflow_commands import Annotation, annotations
from tests.stored_files import save

NET = "zeroinit: 1\ninput: [4]\nlayers: [Linear: 8, ReLU, Linear: 2]\n"
NAME = "init.safetensors"


@pytest.fixture
def locked(zeroinit: Command, tmp_path: Path) -> Path:
    """A small net's checkpoint and lock, in the current folder."""
    (tmp_path / "net.yaml").write_text(NET)
    assert zeroinit("generate", "net.yaml", "-o", NAME).code == 0
    return tmp_path


def damage(folder: Path) -> None:
    flip(folder / NAME, (folder / NAME).stat().st_size - 1)


CASES = {"ok": 0, "changed": 1, "missing": 1, "unanswered": 2, "no lock": 2}


def bring_about(case: str, folder: Path) -> None:
    match case:
        case "changed":
            damage(folder)
        case "missing":
            (folder / NAME).unlink()
        case "unanswered":
            (folder / "net.yaml").unlink()
        case "no lock":
            (folder / "zeroinit.lock").unlink()


@pytest.mark.parametrize("case", sorted(CASES))
def test_every_format_has_the_same_exit_code(zeroinit: Command, locked: Path, case: str) -> None:
    bring_about(case, locked)
    for arguments in ((), ("--json",), ("--format", "json"), ("--format", "github"), ("-q",)):
        result = zeroinit("verify", *arguments)
        assert result.code == CASES[case], arguments
        assert "Traceback" not in result.err
    assert zeroinit("verify", "--json").out == zeroinit("verify", "--format", "json").out


def test_a_failure_is_annotated_at_the_locks_entry(zeroinit: Command, locked: Path) -> None:
    damage(locked)
    result = zeroinit("verify", "--format", "github")
    assert (result.code, result.err) == (1, "")
    [found] = annotations(result.out)
    assert found.level == "error"
    assert found.properties == {
        "file": "zeroinit.lock",
        "line": "4",
        "title": "changed: init.safetensors",
    }
    assert found.message.splitlines()[0] == (
        "changed: tensor '2.weight': 1 of 16 elements differ, first at [1, 7]: "
        "expected 0.0, found -0.0"
    )
    assert result.out.startswith(
        "::error file=zeroinit.lock,line=4,title=changed%3A init.safetensors::changed: tensor "
    )


def test_what_holds_is_a_plain_line(zeroinit: Command, locked: Path) -> None:
    result = zeroinit("verify", "--format", "github")
    assert result.out == zeroinit("verify").out
    assert annotations(result.out) == []
    assert zeroinit("verify", "--format", "github", "-q").out == ""


def test_what_cannot_be_answered_is_annotated(zeroinit: Command, locked: Path) -> None:
    edit(locked / "net.yaml", "Linear: 8", "Lineer: 8")
    result = zeroinit("verify", "--format", "github")
    assert (result.code, result.err) == (2, "")
    [found] = annotations(result.out)
    assert found.properties["title"] == "unanswered: init.safetensors"
    assert (found.properties["file"], found.properties["line"]) == ("zeroinit.lock", "4")
    assert found.message.startswith("error: ")
    (locked / "zeroinit.lock").write_text("version = 2\n")
    result = zeroinit("verify", "--format", "github")
    assert annotations(result.out) == [
        Annotation("error", {"title": "zeroinit verify"}, result.err.rstrip("\n"))
    ]
    assert result.err.startswith("error: unknown lock version in zeroinit.lock: version\n")


def test_a_specs_mistakes_are_annotated_where_they_stand(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("zeroinit: 1\ninput: [4]\nlayers:\n  - Lineer: 8\n  - X\n")
    result = zeroinit("plan", "net.yaml", "--format", "github")
    assert result.code == 2
    found = annotations(result.out)
    assert [(each.properties["file"], each.properties["line"]) for each in found] == [
        ("net.yaml", "4"),
        ("net.yaml", "5"),
    ]
    assert {each.properties["col"] for each in found} == {"5"}
    assert "\n\n".join(each.message for each in found) == result.err.rstrip("\n")


def test_paths_are_told_from_the_top_of_the_repository(
    zeroinit: Command, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(locked)
    workspace, below = locked.parent, locked.name
    for value, file in ((workspace, f"{below}/zeroinit.lock"), ("/else,where", "zeroinit.lock")):
        monkeypatch.setenv("GITHUB_WORKSPACE", str(value))
        [found] = annotations(zeroinit("verify", "--format", "github").out)
        assert found.properties["file"] == file


NASTY = ["a,b:c%0A::d.safetensors", "##[error]x.safetensors", "line\nend\r.safetensors"]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_is_a_command(zeroinit: Command, locked: Path, name: str) -> None:
    (locked / NAME).rename(locked / name)
    diffed = zeroinit("diff", name, "net.yaml", "--format", "github")
    assert (diffed.code, annotations(diffed.out)) == (0, [])
    inspected = annotations(zeroinit("inspect", name, "--format", "github").out)
    shown = name.replace("\n", "\\n").replace("\r", "\\r")
    assert [each.properties["title"] for each in inspected] == ["zeroinit inspect"]
    assert inspected[0].message.startswith(f"{shown}: 4 tensors")
    damage_at = (locked / name).stat().st_size - 1
    flip(locked / name, damage_at)
    [found] = annotations(zeroinit("diff", name, "net.yaml", "--format", "github").out)
    assert found.properties == {"title": f"zeroinit diff: {shown} and net.yaml differ"}


def test_a_plans_warnings_are_annotations(zeroinit: Command, tmp_path: Path) -> None:
    paper = ("plan", "net.yaml", "--policy", "paper")
    (tmp_path / "net.yaml").write_text(NET.replace("[4]", "[3]"))
    human = zeroinit(*paper)
    assert human.err.startswith("warning: ")
    result = zeroinit(*paper, "--format", "github")
    assert (result.code, result.err) == (0, "")
    found = annotations(result.out)
    warnings = zeroinit(*paper, "--format", "json").json["warnings"]
    assert [each.message for each in found] == [
        each["text"] + (f"\nhint: {each['hint']}" if each["hint"] else "") for each in warnings
    ]
    assert [each.properties for each in found] == [
        {"file": "net.yaml", "title": f"zeroinit plan: {each['kind']}"} for each in warnings
    ]
    assert {each.level for each in found} == {"warning"}
    assert result.out.startswith("net.yaml: 4 tensors, ")
    for arguments in ((), ("--json",), ("--format", "github")):
        assert zeroinit(*paper, "--strict", *arguments).code == 1


def test_what_is_not_finite_is_warned_of(zeroinit: Command, tmp_path: Path) -> None:
    tensors = {"w": ("F32", [2], b"\0\0\xc0\x7f" + bytes(4)), "b": ("F32", [1], bytes(4))}
    save(tmp_path / "x.safetensors", tensors)
    for arguments in ((), ("--tensor", "w")):
        result = zeroinit("inspect", "x.safetensors", "--format", "github", *arguments)
        assert result.code == 0
        assert [each.level for each in annotations(result.out)] == ["notice", "warning"]
        warned = annotations(result.out)[-1]
        assert warned.properties == {"file": "x.safetensors", "title": "not finite: w"}
    assert [
        each.level
        for each in annotations(
            zeroinit("inspect", "x.safetensors", "--format", "github", "--header").out
        )
    ] == ["notice"]


def test_json_names_the_elements(zeroinit: Command, locked: Path) -> None:
    damage(locked)
    [checkpoint] = zeroinit("verify", "--json").json["checkpoints"]
    [finding] = checkpoint["findings"]
    assert finding["differing"] == [
        {
            "count": 1,
            "expected": "0.0",
            "found": "-0.0",
            "index": [1, 7],
            "name": "2.weight",
            "numel": 16,
        }
    ]
    [against] = zeroinit("verify", NAME, "--source", "net.yaml", "--json").json["checkpoints"]
    assert against["findings"] == [finding]
    assert (against["lock"], against["line"]) == (None, None)


@pytest.mark.parametrize("command", ["verify", "plan", "inspect", "diff"])
def test_two_formats_exclude_each_other(zeroinit: Command, command: str) -> None:
    arguments = {"plan": ["x"], "inspect": ["x"], "diff": ["x", "y"]}.get(command, [])
    result = zeroinit(command, *arguments, "--json", "--format", "github")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: --json and --format github exclude each other in the options\n",
    )


def test_many_lines_are_cut_for_people_and_not_for_programs(
    zeroinit: Command, tmp_path: Path
) -> None:
    layers = ", ".join(["Linear: 4"] * 40)
    (tmp_path / "net.yaml").write_text(f"zeroinit: 1\ninput: [4]\nlayers: [{layers}]\n")
    assert zeroinit("generate", "net.yaml", "-o", NAME).code == 0
    edited = {f"{n}.weight": ("F32", [4, 4], bytes(64)) for n in sorted(range(40), key=str)}
    save(tmp_path / NAME, edited)
    human = zeroinit("verify").out.splitlines()
    told = [line for line in human if line.startswith("  changed: ")]
    assert len(told) == 20
    assert told[-1].endswith("more; --json tells them all")
    [checkpoint] = json.loads(zeroinit("verify", "--json").out)["checkpoints"]
    assert len(checkpoint["findings"][0]["lines"]) == 2 + 40 + 40
    assert len(checkpoint["findings"][0]["differing"]) == 40
    [found] = annotations(zeroinit("verify", "--format", "github").out)
    assert len(found.message.splitlines()) <= 20

"""Specs in locks: what is recorded, what counts as a change, and what wins."""

from pathlib import Path

import pytest

from tests.cli.command import Command
from zeroinit_cli.errors import LockError
from zeroinit_cli.lock import read_lock

SPEC = """\
# a net
zeroinit: 1
input: 8
layers: [Linear: 16, ReLU, Linear: 4]
init:
  policy: paper
  overrides:
    - {pattern: "2.weight", rule: zeros}
"""
OK = (
    "ok: out/init.safetensors (the source gives the locked plan, the plan gives the locked "
    "bytes, the file has them)\n"
)


@pytest.fixture
def made(zeroinit: Command, tmp_path: Path) -> Path:
    """A spec and, in another folder, what generate makes of it."""
    (tmp_path / "net.yaml").write_text(SPEC)
    (tmp_path / "out").mkdir()
    result = zeroinit("generate", "net.yaml", "-o", "out/init.safetensors")
    assert result.code == 0, result.err
    return tmp_path


def test_the_lock_records_the_specs_path_digest_and_resulting_options(
    zeroinit: Command, made: Path
) -> None:
    [entry] = read_lock(made / "out" / "zeroinit.lock").checkpoint
    shown = zeroinit("spec", "show", "--json", "net.yaml").json
    assert (entry.source, entry.spec_sha256) == ("../net.yaml", shown["sha256"])
    assert (entry.options.policy, entry.options.overrides) == ("paper", ("2.weight=zeros",))
    text = (made / "out" / "zeroinit.lock").read_text()
    assert f'source = "../net.yaml"\nspec-sha256 = "{shown["sha256"]}"\n' in text
    assert "arguments" not in text
    assert zeroinit("verify", "out").out == OK


def test_words_on_the_command_line_win_over_the_specs(zeroinit: Command, made: Path) -> None:
    words = ("--policy", "default", "--override", "*.weight=ones", "--force")
    assert zeroinit("generate", "net.yaml", "-o", "out/init.safetensors", *words).code == 0
    [entry] = read_lock(made / "out" / "zeroinit.lock").checkpoint
    assert entry.options.policy == "default"
    assert entry.options.overrides == ("2.weight=zeros", "*.weight=ones")
    assert zeroinit("verify", "out").out == OK
    ones = zeroinit("plan", "net.yaml", "--all", "--override", "*.weight=ones").out
    assert ones.count(" ones ") == 2


def test_comments_names_and_order_are_no_change(zeroinit: Command, made: Path) -> None:
    (made / "net.yaml").write_text("name: mine\n" + SPEC.replace("# a net", "# other words"))
    assert zeroinit("verify", "out").out == OK


def test_a_changed_spec_has_drifted_and_is_said_to(zeroinit: Command, made: Path) -> None:
    [entry] = read_lock(made / "out" / "zeroinit.lock").checkpoint
    (made / "net.yaml").write_text(SPEC.replace("Linear: 16", "Linear: 32"))
    found = zeroinit("spec", "show", "--json", "net.yaml").json["sha256"]
    result = zeroinit("verify", "out")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].startswith("drifted, unreproduced")
    assert lines[1] == (
        f"  drifted: the spec ../net.yaml has changed: locked {entry.spec_sha256}, found {found}"
    )
    assert any("tensor '0.weight'" in line for line in lines)


def test_a_change_that_leaves_the_plan_is_still_told(zeroinit: Command, made: Path) -> None:
    [entry] = read_lock(made / "out" / "zeroinit.lock").checkpoint
    (made / "net.yaml").write_text(SPEC.replace("ReLU", "GELU"))
    found = zeroinit("spec", "show", "--json", "net.yaml").json["sha256"]
    result = zeroinit("verify", "out")
    assert (result.code, result.out) == (
        1,
        "drifted: out/init.safetensors\n"
        f"  drifted: the spec ../net.yaml has changed: locked {entry.spec_sha256}, found {found}\n"
        "  drifted: the plan is the same: lock it again with zeroinit generate\n",
    )
    assert zeroinit("generate", "net.yaml", "-o", "out/init.safetensors").code == 0
    assert zeroinit("verify", "out").code == 0


def test_a_spec_that_is_gone_or_wrong_leaves_the_question_unanswered(
    zeroinit: Command, made: Path
) -> None:
    (made / "net.yaml").write_text(SPEC.replace("Linear: 16", "Liner: 16"))
    result = zeroinit("verify", "out")
    assert result.code == 2
    assert "error: unknown layer 'Liner' in out/../net.yaml:4:10: layers[0].Liner" in result.err
    (made / "net.yaml").unlink()
    result = zeroinit("verify", "out")
    assert (result.code, result.err) == (
        2,
        "error: cannot read the file in out/../net.yaml\n  found: No such file or directory\n",
    )
    assert zeroinit("verify", "--hash-only", "out").code == 0


def test_a_lock_behind_a_link_finds_its_spec(zeroinit: Command, made: Path) -> None:
    (made / "deep" / "er").mkdir(parents=True)
    (made / "link").symlink_to(made / "deep" / "er")
    assert zeroinit("generate", "net.yaml", "-o", "link/init.safetensors").code == 0
    [entry] = read_lock(made / "link" / "zeroinit.lock").checkpoint
    assert entry.source == "../../net.yaml"
    assert zeroinit("verify", "link").code == 0
    assert zeroinit("verify", "deep/er").code == 0


def test_a_file_is_verified_against_a_spec_without_a_lock(zeroinit: Command, made: Path) -> None:
    (made / "out" / "zeroinit.lock").unlink()
    path = "out/init.safetensors"
    assert zeroinit("verify", path, "--source", "net.yaml").code == 0
    assert zeroinit("verify", path, "--source", "net.yaml", "--policy", "default").code == 1


def test_a_spec_takes_no_settings(zeroinit: Command, made: Path) -> None:
    result = zeroinit("plan", "net.yaml", "--set", "num_classes=10")
    assert (result.code, result.err) == (
        2,
        "error: a spec takes no settings in --set\n  found: num_classes\n"
        "\nhint: write them into net.yaml\n",
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"../net.yaml"', '"/etc/net.yaml"', "a spec is a relative path without arguments"),
        ('"../net.yaml"', '"..\\\\net.yaml"', "a spec is a relative path without arguments"),
        ('"../net.yaml"', '"resnet18"', "a spec has a spec-sha256, a model's name has none"),
        ("spec-sha256", "# ", "a spec has a spec-sha256, a model's name has none"),
    ],
)
def test_a_lock_that_does_not_hold_together_is_refused(
    made: Path, old: str, new: str, words: str
) -> None:
    lock = made / "out" / "zeroinit.lock"
    lock.write_text(lock.read_text().replace(old, new))
    with pytest.raises(LockError) as caught:
        read_lock(lock)
    assert words in str(caught.value)


def test_json_of_plan_names_the_spec_and_the_resulting_options(
    zeroinit: Command, made: Path
) -> None:
    plan = zeroinit("plan", "net.yaml", "--json", "--dtype", "bfloat16").json
    assert plan["source"] == "net.yaml"
    assert plan["options"]["policy"] == "paper"
    assert plan["options"]["dtype"] == "bfloat16"

"""`zeroinit probe`: what it says, what it leaves alone, and what it refuses in whole messages."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.command import Command, child

MLP = """zeroinit: 1
input: 6
layers: [Linear: 5, ReLU, Linear: 8, ReLU, Linear: 3]
"""
# Under the paper it cancels: equal channels, and the next Hadamard matrix sums their differences.
CHAIN = """zeroinit: 1
input: [3, 8, 8]
model:
  cnn:
    stages: [[16, 16], [32, 32, 32], [64, 64, 64]]
    norm: BatchNorm2d
    num_classes: 4
    global_pool: true
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "mlp.yaml").write_text(MLP)
    (tmp_path / "chain.yaml").write_text(CHAIN)
    return tmp_path


def test_the_verdict_and_both_starts_side_by_side(zeroinit: Command, nets: Path) -> None:
    done = zeroinit("probe", "mlp.yaml")
    assert (done.code, done.err) == (0, "")
    lines = [re.sub(r" {2,}", "  ", line).strip() for line in done.out.splitlines()]
    assert lines[0] == "mlp.yaml: will train"
    assert "before the first step  this start  torch's own" in lines
    assert "parameters without gradient  0  0" in lines
    assert "layer  type  activation  torch  gradient  torch  flat  distinct  rank" in lines
    assert lines[-2:] == [
        "ZerO: dtype float32, policy default",
        "3 steps of SGD at learning rate 0.01 on float32 8 x 6 (the default batch), cpu; "
        "beside it torch's own start, the middle of 3 seeds",
    ]


@pytest.mark.long
def test_a_chain_that_cancels_is_likely_not_to_train(zeroinit: Command, nets: Path) -> None:
    paper = ("--policy", "paper")
    done = zeroinit("probe", "chain.yaml", "--json", *paper)
    verdict = done.json["verdict"]
    assert verdict["will"] == "likely-not"
    assert re.fullmatch(
        r"likely not: \d norms see channels without variance, largest gradient \S+ against \S+",
        verdict["text"],
    )
    assert done.json["start"]["flat"] > done.json["torch"]["flat"]
    advised = zeroinit("probe", "chain.yaml", "--seeds", "1", *paper).out
    assert "hint: --policy default expands without the pattern that cancels" in advised
    assert zeroinit("probe", "chain.yaml", "--json").json["verdict"]["will"] == "will-train"


def test_strict_fails_unless_it_will_train(zeroinit: Command, nets: Path) -> None:
    short = ("--seeds", "1")
    paper = (*short, "--policy", "paper")
    assert zeroinit("probe", "chain.yaml", "-q", *paper).code == 0
    assert zeroinit("probe", "chain.yaml", "--strict", "--json", *paper).code == 1
    assert zeroinit("probe", "mlp.yaml", "--strict", "-q", *short).code == 0


def test_quiet_prints_nothing(zeroinit: Command, nets: Path) -> None:
    done = zeroinit("probe", "mlp.yaml", "-q", "--html", "page.html")
    assert (done.out, done.err) == ("", "")
    assert (nets / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.long
def test_two_runs_say_the_same_and_leave_the_process_as_it_was(
    zeroinit: Command, nets: Path
) -> None:
    torch.manual_seed(7)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)
    threads = torch.get_num_threads()
    short = ("--json", "--seeds", "2", "--steps", "2")
    first = zeroinit("probe", "chain.yaml", *short).out
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert str(np.random.get_state(legacy=False)) == str(states[2])
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(8)
    torch.set_default_dtype(torch.float64)
    try:
        assert zeroinit("probe", "chain.yaml", *short).out == first
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.long
def test_another_process_with_more_threads_says_the_same(zeroinit: Command, nets: Path) -> None:
    found = zeroinit("probe", "mlp.yaml", "--json").out
    environment = {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "3"}
    assert child("probe", "mlp.yaml", "--json", cwd=nets, env=environment).stdout == found


def test_a_file_of_the_source_is_probed_as_the_source_itself(zeroinit: Command, nets: Path) -> None:
    assert zeroinit("generate", "chain.yaml", "-o", "init.safetensors", "-q").code == 0
    short = ("--json", "--seeds", "1")
    of_file = zeroinit("probe", "init.safetensors", "--source", "chain.yaml", *short).json
    of_source = zeroinit("probe", "chain.yaml", *short).json
    assert of_file["start"].pop("is") == "init.safetensors"
    of_source["start"].pop("is")
    assert of_file["start"] == of_source["start"]
    assert of_file["layers"] == of_source["layers"]
    assert of_file["verdict"] == of_source["verdict"]
    assert (of_file["conditions"]["plan"], of_file["warnings"]) == (None, [])


@pytest.mark.long
def test_a_narrower_type_is_rounded_and_then_run_in_float32(zeroinit: Command, nets: Path) -> None:
    """8 rows by 5 columns: c = 2^(-3/2) is no number of bfloat16, so the values tell the types."""
    short = ("--json", "--seeds", "1", "--steps", "1")
    narrow = ("--dtype", "bfloat16")
    assert zeroinit("generate", "mlp.yaml", "-o", "x.safetensors", *narrow).code == 0
    of_file = zeroinit("probe", "x.safetensors", "--source", "mlp.yaml", *short).json
    of_source = zeroinit("probe", "mlp.yaml", *narrow, *short).json
    assert of_file["layers"] == of_source["layers"]
    assert of_source["layers"] != zeroinit("probe", "mlp.yaml", *short).json["layers"]


def test_a_given_batch_is_fed(zeroinit: Command, nets: Path) -> None:
    np.save("x.npy", np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6))
    done = zeroinit("probe", "mlp.yaml", "--input", "x.npy")
    assert "on float32 5 x 6 (given)" in done.out


@pytest.mark.long
def test_options_say_how_many_and_how_fast(zeroinit: Command, nets: Path) -> None:
    done = zeroinit(
        "probe", "chain.yaml", "--steps", "1", "--lr", "0.5", "--batch", "3", "--image-size", "12",
        "--seeds", "1", "--policy", "paper", "--json",
    )  # fmt: skip
    conditions = done.json["conditions"]
    assert conditions["inputs"] == {"": "float32 3 x 3 x 12 x 12"}
    assert (conditions["steps"], conditions["learning_rate"]) == (1, 0.5)
    assert conditions["seeds"] == [0]
    assert len(done.json["start"]["losses"]) == 2
    assert "policy paper" in done.json["start"]["is"]


@pytest.mark.long
def test_a_smaller_learning_rate_is_found_and_named(zeroinit: Command, nets: Path) -> None:
    done = zeroinit("probe", "mlp.yaml", "--lr", "50")
    first, *reasons = done.out.splitlines()[:3]
    assert re.fullmatch(r"mlp.yaml: will train, with a learning rate of about \S+ or less", first)
    assert reasons[0].startswith("  - 3 steps at learning rate 50 take the loss 1.")


def test_every_layer_has_its_line_or_the_oddest_do(zeroinit: Command, nets: Path) -> None:
    deep = ", ".join(["Linear: 6", "ReLU"] * 14)
    (nets / "deep.yaml").write_text(f"zeroinit: 1\ninput: 6\nlayers: [{deep}]\n")
    short = zeroinit("probe", "deep.yaml").out
    assert "the 12 oddest of 14 layers (--all shows every one):" in short
    assert len(re.findall(r"^\d+ +Linear", short, re.MULTILINE)) == 12
    assert len(re.findall(r"^\d+ +Linear", zeroinit("probe", "deep.yaml", "--all").out, re.M)) == 14


def test_a_page_is_replaced_only_by_force_and_never_in_part(zeroinit: Command, nets: Path) -> None:
    (nets / "page.html").write_text("mine")
    done = zeroinit("probe", "mlp.yaml", "--html", "page.html")
    assert (done.code, done.err) == (
        2,
        "error: a file is there in page.html\n\nhint: --force replaces it\n",
    )
    assert (nets / "page.html").read_text() == "mine"
    done = zeroinit("probe", "mlp.yaml", "--html", "page.html", "--force")
    assert (done.code, done.err) == (0, "page.html written\n")
    assert sorted(each.name for each in nets.iterdir()) == ["chain.yaml", "mlp.yaml", "page.html"]


REFUSED = {
    "a checkpoint alone": (
        ("x.safetensors",),
        "error: a checkpoint does not say how its tensors are used in SOURCE\n"
        "  expected: a model name or a YAML spec\n"
        "  found: x.safetensors\n"
        "\n"
        "hint: name both: zeroinit probe FILE --source SOURCE\n",
    ),
    "rules for a file": (
        ("x.safetensors", "--source", "mlp.yaml", "--policy", "paper"),
        "error: a file is as it is in the options\n"
        "\n"
        "hint: options that change bytes say how a SOURCE is started\n",
    ),
    "no such file": (
        ("x.safetensors", "--source", "mlp.yaml"),
        "error: cannot read the file in x.safetensors\n  found: No such file or directory\n",
    ),
    "no steps": (
        ("mlp.yaml", "--steps", "0"),
        "error: out of range in --steps\n  expected: 1 to 1000\n  found: 0\n",
    ),
    "no learning rate": (
        ("mlp.yaml", "--lr", "nan"),
        "error: no learning rate in --lr\n  expected: a number above 0\n  found: nan\n",
    ),
    "too many samples": (
        ("mlp.yaml", "--batch", "5000"),
        "error: out of range in --batch\n  expected: 1 to 4096\n  found: 5000\n",
    ),
    "two batches": (
        ("mlp.yaml", "--input", "x.npy", "--input", "y.npy"),
        "error: an input without a name is given twice in --input\n",
    ),
    "a batch and its size": (
        ("mlp.yaml", "--input", "x.npy", "--batch", "3"),
        "error: --input and --batch exclude each other in the options\n"
        "\n"
        "hint: the array says both\n",
    ),
    "a text as a batch": (
        ("mlp.yaml", "--input", "chain.yaml"),
        "error: not an array of numpy in chain.yaml\n"
        "  expected: a file that numpy.save has written\n"
        "  found: another beginning\n",
    ),
    "a batch for an input that there is not": (
        ("mlp.yaml", "--input", "x=x.npy"),
        "error: not the inputs of the model in --input\n  expected: FILE.npy\n  found: x\n",
    ),
    "a device that is not there": (
        ("mlp.yaml", "--device", "meta"),
        "error: a device without values in --device\n  found: meta\n",
    ),
    "the spec as the page": (
        ("mlp.yaml", "--html", "mlp.yaml", "--force"),
        "error: what is read would be replaced in --html\n"
        "  expected: a path of its own\n"
        "  found: mlp.yaml\n",
    ),
    "a folder that is not there": (
        ("mlp.yaml", "--html", "no/page.html"),
        "error: no such folder in no\n\nhint: mkdir -p no\n",
    ),
    "an unknown format": (
        ("mlp.yaml", "--format", "jsn"),
        "error: unknown choice in --format\n  expected: human, json, github\n  found: 'jsn'\n"
        "\n"
        "hint: did you mean json?\n",
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_probed_is_refused(zeroinit: Command, nets: Path, name: str) -> None:
    arguments, message = REFUSED[name]
    done = zeroinit("probe", *arguments)
    assert (done.code, done.out, done.err) == (2, "", message)
    assert (nets / "mlp.yaml").read_text() == MLP


def test_an_unknown_device_is_told_with_torchs_words(zeroinit: Command, nets: Path) -> None:
    done = zeroinit("probe", "mlp.yaml", "--device", "toaster")
    assert done.code == 2
    assert done.err.startswith(
        "error: a device that is not there in --device\n"
        "  expected: cpu, or one that torch knows here, such as cuda:0\n"
        "  found: toaster: "
    )


def test_a_file_of_another_source_is_refused(zeroinit: Command, nets: Path) -> None:
    assert zeroinit("generate", "mlp.yaml", "-o", "init.safetensors", "-q").code == 0
    done = zeroinit("probe", "init.safetensors", "--source", "chain.yaml")
    assert (done.code, done.err) == (
        2,
        "error: not a checkpoint of this source in init.safetensors\n"
        "  expected: the tensors of chain.yaml\n"
        "  found: it lacks 1.bias, 1.num_batches_tracked, 1.running_mean and 51 more; "
        "it has besides 2.bias, 2.weight\n"
        "\n"
        "hint: --source and --set say what it was made for\n",
    )
    (nets / "mlp.yaml").write_text(MLP.replace("Linear: 8", "Linear: 7"))
    done = zeroinit("probe", "init.safetensors", "--source", "mlp.yaml")
    assert done.err.splitlines()[2] == "  found: 2.bias [8] in place of [7]"


def test_a_verdict_is_an_annotation_for_github(zeroinit: Command, nets: Path) -> None:
    result = zeroinit("probe", "mlp.yaml", "--format", "github")
    assert result.code == 0
    _, command, message = result.out.rstrip().split("::")
    level = "notice" if message.startswith("will train") else "warning"
    assert command == f"{level} title=zeroinit probe%3A mlp.yaml"

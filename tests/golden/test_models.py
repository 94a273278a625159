"""The package's checkpoints have the digests that the restatement gave them."""

import re
from pathlib import Path

import pytest
from torch import Tensor

from tests.golden import make_models
from tests.golden.make_models import OPTION_SETS, OptionSet, saved_sha256
from tests.golden.recorded import MEMBERS, recorded, restated
from tests.golden.restated import FAMILIES, Choice, family_of, restate
from tests.long import some_long
from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source
from zeroinit_cli.sources.torchvision import model_names
from zeroinit_cli.store.stream import plan_sha256

# Between them they need every rule of the restatement, under either policy.
RESTATED_AGAIN = [
    ("default", "convnext_tiny"),
    ("default", "keypointrcnn_resnet50_fpn"),
    ("default", "mvit_v1_b"),
    ("default", "mvit_v2_s"),
    ("default", "raft_large"),
    ("default", "regnet_y_400mf"),
    ("default", "shufflenet_v2_x0_5"),
    ("default", "squeezenet1_1"),
    ("default", "ssdlite320_mobilenet_v3_large"),
    ("default", "swin_t"),
    ("default", "swin_v2_t"),
    ("default", "vit_b_32"),
    ("paper", "convnext_tiny"),
    ("paper", "efficientnet_v2_s"),
    ("paper", "mobilenet_v3_small"),
    ("paper", "vit_b_32"),
]
RESTATED_ALWAYS = [("default", "shufflenet_v2_x0_5"), ("paper", "mobilenet_v3_small")]


def test_every_model_has_a_digest() -> None:
    assert sorted(recorded("default")) == model_names()
    for title, option_set in OPTION_SETS.items():
        assert list(recorded(title)) == option_set.names()


def test_digests_under_other_options_are_others() -> None:
    for name, sha256 in recorded("paper").items():
        assert sha256 != recorded("default")[name], name


@pytest.mark.parametrize("family", MEMBERS)
def test_each_family_is_restated(family: str) -> None:
    assert set(MEMBERS[family]) <= set(restated("default"))


def test_every_family_has_a_model_and_no_model_has_two() -> None:
    for pattern in FAMILIES:
        assert any(re.fullmatch(pattern, name) for name in restated("default")), pattern
    assert [name for name in model_names() if family_of(name)] == restated("default")


@pytest.mark.long
@pytest.mark.parametrize(
    ("title", "name"),
    [("paper", name) for name in OPTION_SETS["paper"].names()],
)
def test_the_package_gives_the_digest(title: str, name: str) -> None:
    """Those of the default options are compared where all models are written."""
    plan = plan_source(parse_source(name), OPTION_SETS[title].options)
    assert plan_sha256(plan) == recorded(title)[name]


@pytest.mark.parametrize(
    ("title", "name"), some_long(RESTATED_AGAIN, lambda case: case not in RESTATED_ALWAYS)
)
def test_the_restatement_still_gives_the_digest(title: str, name: str, tmp_path: Path) -> None:
    tensors = restate(name, OPTION_SETS[title].choice)
    sha256 = saved_sha256(tensors, tmp_path / "restated.safetensors")
    assert sha256 == recorded(title)[name]


def test_a_disagreement_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disagreeing(name: str, choice: Choice) -> dict[str, Tensor]:
        tensors = restate(name, choice)
        tensors["classifier.1.bias"][7] = -0.0  # equal as a number, not as a byte
        tensors["classifier.1.weight"][7] *= 2
        return tensors

    monkeypatch.setattr(make_models, "restate", disagreeing)
    option_set = OptionSet(choice=Choice(), options=Options(), models=("squeezenet1_1",))
    entry, disagreements = make_models.digests(option_set, tmp_path)
    assert entry["sha256"] == {"squeezenet1_1": recorded("default")["squeezenet1_1"]}
    assert disagreements == ["squeezenet1_1: ['classifier.1.bias', 'classifier.1.weight']"]

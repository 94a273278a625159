"""The package's checkpoints have the digests that the restatement gave them."""

import re
from pathlib import Path

import pytest
from torch import Tensor

from tests.golden import make_models
from tests.golden.make_models import OPTION_SETS, OptionSet, saved_sha256
from tests.golden.recorded import recorded, restated
from tests.golden.restated import FAMILIES, Choice, family_of, restate
from tests.long import some_long
from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source
from zeroinit_cli.sources.torchvision import model_names
from zeroinit_cli.store.stream import plan_sha256

# At least one of each family, and more where there are several structures in it.
MEMBERS = {
    "alexnet": ["alexnet"],
    "vgg": ["vgg11", "vgg11_bn"],
    "resnet": ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"],
    "densenet": ["densenet121"],
    "inception": ["googlenet", "inception_v3"],
    "squeezenet": ["squeezenet1_0"],
    "shufflenet": ["shufflenet_v2_x0_5"],
    "mobilenet": ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"],
    "mnasnet": ["mnasnet1_0"],
    "efficientnet": ["efficientnet_b0", "efficientnet_v2_s"],
    "regnet": ["regnet_x_400mf", "regnet_y_400mf"],
    "convnext": ["convnext_tiny"],
    "vit": ["vit_b_16", "vit_b_32", "vit_h_14"],
    "swin": ["swin_t", "swin_v2_t"],
    "maxvit": ["maxvit_t"],
    "segmentation": ["fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large"],
    "rcnn": ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"],
    "one-stage detection": ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"],
    "ssd": ["ssd300_vgg16", "ssdlite320_mobilenet_v3_large"],
    "video resnet": ["r3d_18", "mc3_18", "r2plus1d_18"],
    "video": ["s3d", "swin3d_t", "mvit_v1_b", "mvit_v2_s"],
    "optical flow": ["raft_small", "raft_large"],
    "quantized": ["quantized_resnet18", "quantized_mobilenet_v2"],
}

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

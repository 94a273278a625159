"""What a plan says of one well-known model, tensor by tensor."""

import pytest

from tests.models.models import planned, tensor
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.rules import Hadamard, Identity, Ones, Rule, Zeros

CENTRE = ((1, 2), (1, 2))


@pytest.mark.parametrize(
    ("name", "rule", "reason"),
    [
        (
            "conv1.weight",
            Taps(ranges=((3, 4), (3, 4)), of=Hadamard(half_exponent=-6)),
            "Conv2d: Algorithm 2",
        ),
        ("layer1.0.conv1.weight", Taps(ranges=CENTRE, of=Identity()), "Conv2d: Algorithm 2"),
        (
            "layer2.0.conv1.weight",
            Taps(ranges=CENTRE, of=Hadamard(half_exponent=-7)),
            "Conv2d: Algorithm 2",
        ),
        (
            "layer4.0.downsample.0.weight",
            Taps(ranges=((0, 1), (0, 1)), of=Hadamard(half_exponent=-9)),
            "Conv2d: Algorithm 2",
        ),
        ("fc.weight", Hadamard(half_exponent=-10), "Linear: Algorithm 1"),
        ("fc.bias", Zeros(), "Linear: bias 0"),
        ("bn1.weight", Ones(), "BatchNorm2d: scale 1"),
        (
            "layer1.0.bn2.weight",
            Zeros(),
            "last norm of residual branch layer1.0: scale 0",
        ),
        ("layer1.0.bn1.weight", Ones(), "BatchNorm2d: scale 1"),
        ("bn1.bias", Zeros(), "BatchNorm2d: shift 0"),
        ("bn1.running_mean", Zeros(), "BatchNorm2d: running mean 0"),
        ("bn1.running_var", Ones(), "BatchNorm2d: running variance 1"),
        ("bn1.num_batches_tracked", Zeros(), "BatchNorm2d: counter 0"),
    ],
)
def test_each_kind_of_tensor_has_its_rule_and_reason(name: str, rule: Rule, reason: str) -> None:
    found = tensor("resnet18", name)
    assert (found.rule, found.reason, found.tied_to) == (rule, reason, None)


def test_the_plan_is_in_file_order_integers_first() -> None:
    names = [each.info.name for each in planned("resnet18").tensors]
    assert names[0] == "bn1.num_batches_tracked"
    assert names[20] == "bn1.bias"
    assert names[-1] == "layer4.1.conv2.weight"


def test_arguments_reach_the_builder() -> None:
    plan = planned("resnet18", "num_classes=10")
    [fc] = [each for each in plan.tensors if each.info.name == "fc.weight"]
    assert fc.info.shape == (10, 512)
    assert fc.rule == Identity()

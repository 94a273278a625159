"""What a plan says of one well-known model, tensor by tensor."""

import pytest

from tests.models.models import planned, tensor
from zeroinit_cli.plans.kernels import CentredTaps, Taps
from zeroinit_cli.plans.layouts import Transposed, Viewed
from zeroinit_cli.plans.rules import Constant, Identity, Ones, Rule, Twisted, Zeros

AROUND = "Conv2d: Algorithm 1, around the centre"


def twisted(block: int, prime: int, half_exponent: int) -> Rule:
    return Twisted(block=block, prime=prime, half_exponent=half_exponent)


@pytest.mark.parametrize(
    ("name", "rule", "reason"),
    [
        (
            "conv1.weight",
            Viewed(rows=64, of=Transposed(of=twisted(64, 151, -8))),
            "Conv2d of the input: Algorithm 1 on its kernel",
        ),
        ("layer1.0.conv1.weight", CentredTaps(of=Identity(), signs=twisted(16, 67, -4)), AROUND),
        (
            "layer2.0.conv1.weight",
            CentredTaps(of=twisted(64, 131, -7), signs=twisted(16, 131, -4)),
            AROUND,
        ),
        (
            "layer4.0.downsample.0.weight",
            Taps(ranges=((0, 1), (0, 1)), of=twisted(256, 523, -9)),
            "Conv2d: Algorithm 1",
        ),
        ("fc.weight", twisted(512, 1019, -10), "Linear: Algorithm 1"),
        ("fc.bias", Zeros(), "Linear: bias 0"),
        ("bn1.weight", Ones(), "BatchNorm2d: scale 1"),
        (
            "layer1.0.bn2.weight",
            Constant(value=0.25),
            "last norm of residual branch layer1.0: scale 0.25",
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

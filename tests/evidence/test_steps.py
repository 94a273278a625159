"""The instruments themselves, on nets small enough to know what must come out."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from evidence.records import Setting, StartRecord
from evidence.steps import first_steps
from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rules import Identity, Zeros

pytestmark = pytest.mark.long  # instruments of the evidence, not the product

SETTING = Setting(
    batch=8,
    pixels=4,
    learning_rate=0.1,
    faster=0.3,
    steps=3,
    auxiliary=0.5,
    torch="",
    torchvision="",
)
NO_PLAN = Plan(tensors=())


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((8, 3, 4, 4), generator=generator), torch.arange(8) % 4


def run(model: nn.Module, plan: Plan = NO_PLAN, steps: int = 3) -> StartRecord:
    return first_steps(model, plan, *data(), replace(SETTING, steps=steps))


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


def fused(name: str, rows: int) -> Plan:
    """A plan that splits one weight into q, k and v."""
    third = rows // 3
    rule = Split(parts=((third, Identity()), (third, Zeros()), (third, Zeros())))
    info = TensorInfo(name=name, shape=(rows, 3), dtype=FLOATS[0])
    reason = "attention: q, k, v each by Algorithm 1"
    return Plan(tensors=(PlannedTensor(info=info, rule=rule, reason=reason, module_type=""),))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_losses_are_those_of_torchs_own_sgd() -> None:
    model, twin = (nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), *head(5)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    record = run(model)
    images, labels = data()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        loss = cross_entropy(twin(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert record.losses == pytest.approx(losses)
    assert record.not_finite is None
    assert record.arrivals == {"0": 4}
    assert record.never == {}


def test_the_largest_gradient_is_that_of_step_0() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), *head(5))
    images, labels = data()
    cross_entropy(model(images), labels).backward()
    norms = {name: each.grad.norm().item() for name, each in model.named_parameters()}  # type: ignore[union-attr]  # after backward
    record = run(model, steps=1)
    assert record.largest_gradient == pytest.approx(max(norms.values()))
    assert norms[record.largest_gradient_of] == max(norms.values())


def idle(model: nn.Module) -> dict[str, int]:
    return run(model).idle


def conv_and_norm(channels: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels)


def test_a_unit_behind_a_relu_that_is_never_positive() -> None:
    conv = nn.Conv2d(3, 5, 1)
    nn.init.constant_(conv.bias, 0)  # type: ignore[arg-type]  # it has one
    conv.bias.data[2] = -1e6  # type: ignore[union-attr]  # likewise
    assert idle(nn.Sequential(conv, nn.ReLU(), *head(5))) == {
        "the activation after it is never positive": 1
    }


def test_a_unit_behind_a_relu_that_gets_exactly_zero() -> None:
    conv = nn.Conv2d(3, 5, 1, bias=False)
    conv.weight.data[[1, 3]] = 0
    assert idle(nn.Sequential(conv, nn.ReLU(), *head(5))) == {
        "the activation after it gets exactly 0": 2
    }


def test_a_unit_that_the_next_layer_does_not_read() -> None:
    """The third column stays 0, for what would move it is 0 as well."""
    first, second = nn.Conv2d(3, 5, 1, bias=False), nn.Conv2d(5, 6, 1)
    second.weight.data[:, 2] = 0
    first.weight.data[2] = 0
    model = nn.Sequential(first, nn.Tanh(), second, nn.ReLU(), *head(6))
    assert idle(model)["the next layer's weights for it are 0"] == 1


def test_a_unit_behind_a_scale_that_cannot_move() -> None:
    """A constant channel is normalized to 0: neither it nor the scale after it gets a gradient."""
    conv, norm = conv_and_norm(5)
    conv.weight.data[4] = 0
    norm.weight.data[4] = 0
    assert idle(nn.Sequential(conv, norm, nn.Tanh(), *head(5))) == {
        "the scale of the norm after it is still 0, for its input does not vary": 1
    }


def test_units_whose_readers_cancel() -> None:
    """Two rows that do not move read it with opposite signs, and get the same gradient."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(48, 1, bias=False)
            self.second = nn.Linear(1, 2, bias=False)
            self.second.weight.data = torch.tensor([[1.0], [-1.0]])
            self.second.weight.requires_grad_(False)

        def forward(self, images: Tensor) -> Tensor:
            value = self.second(self.first(images.flatten(1)))
            return torch.cat([value.sum(1, keepdim=True), images[:, :, 0, 0]], 1)

    assert idle(Net()) == {"its gradients cancel in the next layer": 1}


def test_a_whole_group_without_input() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 1, groups=2)
            self.rest = nn.Sequential(*head(6))

        def forward(self, images: Tensor) -> Tensor:
            return self.rest(self.conv(torch.cat([images[:, :2], images[:, :2] * 0], 1)))  # type: ignore[no-any-return]  # of Sequential

    assert idle(Net()) == {"its input is 0": 3}


def test_a_parameter_that_nothing_uses_never_gets_a_gradient() -> None:
    model = nn.Sequential(*head(3))
    model.register_parameter("spare", nn.Parameter(torch.ones(2)))
    record = run(model)
    assert record.never == {"the forward does not use it": ["spare"]}
    assert record.idle_elements == pytest.approx(2 / (2 + 4 * 3 + 4))


def test_a_layer_that_is_dead_as_a_whole_is_used_all_the_same() -> None:
    conv, norm = nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5)
    norm.bias.data.fill_(-1e6)
    model = nn.Sequential(conv, norm, nn.ReLU(), *head(5))
    record = run(model)
    assert record.never == {
        "its input is 0": ["5.weight"],
        "the activation after it is never positive": ["0.weight", "0.bias", "1.weight", "1.bias"],
    }
    assert all(torch.isfinite(each).all() for each in model.buffers())


class KeyWithoutBias(nn.Module):
    """Uses the first and the last third of its bias, as Swin v2 does."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(3, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        bias = self.qkv.bias.clone()
        bias[2:4].zero_()
        value = linear(images.mean((2, 3)), self.qkv.weight, bias)
        return self.head(value)  # type: ignore[no-any-return]  # of Linear


def test_a_third_of_a_bias_that_the_forward_sets_to_0_never_gets_a_gradient() -> None:
    plan = fused("qkv.weight", 6)
    record = run(KeyWithoutBias(), plan)
    assert record.never == {"the forward does not use it": ["qkv.bias[k]"]}


def test_an_output_of_no_probability_gets_no_gradient() -> None:
    classifier = nn.Linear(3, 4)
    classifier.bias.data[3] = -1e4
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)
    images, labels = data()
    record = first_steps(model, NO_PLAN, images, labels % 3, SETTING)
    assert record.idle == {"it is an output that the loss gives no gradient": 1}


class Attention(nn.Module):
    """As the policy starts it: query I, key and value 0."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.attention.in_proj_weight.data = torch.cat([torch.eye(3), torch.zeros(6, 3)])
        self.head = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)
        value, _ = self.attention(tokens, tokens, tokens)
        return self.head((tokens + value).square().mean(1))  # type: ignore[no-any-return]  # of Linear


def test_value_key_and_query_get_their_first_gradients_one_after_the_other() -> None:
    name = "attention.in_proj_weight"
    record = run(Attention(), fused(name, 9), steps=4)
    assert record.arrivals["1"] >= 1
    assert f"{name}[q]" in record.late["2"]
    assert f"{name}[k]" not in {label for labels in record.late.values() for label in labels}
    assert record.never == {}


class Heads(NamedTuple):
    logits: Tensor
    aux1: Tensor
    aux2: Tensor | None


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 4)
        self.other = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Heads:
        value = images.mean((2, 3))
        return Heads(self.one(value), self.other(value), None)


def test_an_auxiliary_head_counts_by_its_weight() -> None:
    model = TwoHeads()
    images, labels = data()
    one, other, _ = model(images)
    expected = cross_entropy(one, labels) + 0.5 * cross_entropy(other, labels)
    assert run(model, steps=1).losses[0] == pytest.approx(expected.item())


def test_what_is_not_finite_is_named_and_stops_the_run() -> None:
    conv = nn.Conv2d(3, 5, 1)
    conv.weight.data[0] = float("inf")
    record = run(nn.Sequential(conv, nn.ReLU(), *head(5)))
    assert record.not_finite == "step 0: the output of 0"
    assert record.losses == [None, None, None, None]
    assert record.largest_gradient is None


def test_batch_norm_channels_without_variance_are_counted() -> None:
    conv, norm = conv_and_norm(5)
    conv.weight.data[:2] = 0
    record = run(nn.Sequential(conv, norm, *head(5)), steps=1)
    assert (record.flat_channels, record.channels) == (2, 5)

"""The steps are torch's own SGD, and a fresh start each time; nothing of the process is changed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zeroinit_cli.dtypes import F32
from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rules import Identity, Zeros
from zeroinit_cli.probing.arrays import labels
from zeroinit_cli.probing.inputs import Feed
from zeroinit_cli.probing.training import loss_of, run_steps

NO_PLAN = Plan(tensors=())


def batch() -> Tensor:
    return torch.randn((8, 5), generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))


def test_losses_and_gradients_are_those_of_torchs_own_sgd() -> None:
    feed = Feed(arguments=(batch(),))
    run = run_steps(net(), NO_PLAN, feed, steps=3, learning_rate=0.1)
    twin = net()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    target = torch.from_numpy(labels(8, 4))
    losses, first = [], {}
    for step in range(4):
        loss = cross_entropy(twin(batch()), target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            first = {name: each.grad.norm().item() for name, each in twin.named_parameters()}  # type: ignore[union-attr]  # after backward
        optimizer.step()
    assert run.losses == pytest.approx(losses)
    assert run.not_finite is None
    assert run.never == ()
    found = {layer.name: layer.gradient for layer in run.layers}
    assert found == {
        name: pytest.approx(max(first[f"{name}.weight"], first[f"{name}.bias"]))
        for name in ("0", "1", "3")
    }
    size = net()[0].weight.norm().item()  # type: ignore[index]  # a Sequential
    assert run.layers[0].moved == pytest.approx(0.1 * first["0.weight"] / size)
    alone = run_steps(net(), None, feed, steps=3, learning_rate=0.1)
    assert (alone.losses, alone.layers) == (run.losses, ())


def test_a_start_that_overflows_stops_and_says_where() -> None:
    feed = Feed(arguments=(batch(),))
    run = run_steps(net(), NO_PLAN, feed, steps=3, learning_rate=1e38)
    assert run.not_finite is not None
    assert run.losses[0] is not None
    assert run.losses[-1] is None
    assert len(run.losses) == 4


def test_a_start_that_is_not_finite_has_no_numbers() -> None:
    model: Any = net()
    model[0].weight.data[0] = float("inf")
    run = run_steps(model, NO_PLAN, Feed(arguments=(batch(),)), steps=2, learning_rate=0.1)
    assert run.not_finite == "the output of 0, before the first step"
    assert run.losses == (None, None, None)
    assert run.layers[0].activation is None


class KeyAlone(nn.Module):
    """Uses the first and the last two rows of six."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(5, 6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.qkv(x)
        return torch.cat([value[:, :2], value[:, 4:]], 1)


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        ("attention of residual branch k.1: q identity, k and v 0", "qkv.weight[k]"),
        ("attention: v, k, q each by Algorithm 1", "qkv.weight[k]"),
        ("attention: q, k each by Algorithm 1", "qkv.weight[2:4]"),  # the last rows go elsewhere
        ("GRU: Algorithm 1 in each gate", "qkv.weight[2:4]"),
    ],
)
def test_what_gets_no_gradient_is_named_projection_by_projection(reason: str, never: str) -> None:
    rule = Split(parts=((2, Identity()), (2, Zeros()), (2, Zeros())))
    info = TensorInfo(name="qkv.weight", shape=(6, 5), dtype=F32)
    plan = Plan(tensors=(PlannedTensor(info=info, rule=rule, reason=reason, module_type=""),))
    run = run_steps(KeyAlone(), plan, Feed(arguments=(batch(),)), steps=2, learning_rate=0.1)
    assert run.never == (never,)


def test_units_that_part_are_counted_after_the_last_step() -> None:
    model: Any = net()
    model[0].weight.data[1] = model[0].weight.data[0]
    model[0].bias.data[1] = model[0].bias.data[0]
    run = run_steps(model, NO_PLAN, Feed(arguments=(batch(),)), steps=3, learning_rate=0.1)
    assert (run.layers[0].distinct, run.layers[0].distinct_after) == (5, 6)


LOSSES: list[tuple[str, Any, Any, Any]] = [
    # what, output, input, expected
    (
        "classes",
        torch.eye(4)[:3],
        torch.zeros(3, 2),
        cross_entropy(torch.eye(4)[:3], torch.from_numpy(labels(3, 4))),
    ),
    (
        "the next token",
        torch.arange(24.0).sin().reshape(2, 3, 4),
        torch.tensor([[0, 1, 2], [3, 2, 1]]),
        cross_entropy(
            torch.arange(24.0).sin().reshape(2, 3, 4)[:, :2].reshape(4, 4),
            torch.tensor([1, 2, 2, 1]),
        ),
    ),
    (
        "an autoencoder",
        torch.ones(2, 3, 4, 4),
        torch.zeros(2, 3, 4, 4),
        torch.tensor(1.0),
    ),
    ("losses of a detector", {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, None, 5.0),
]


@pytest.mark.parametrize(
    ("output", "given", "expected"),
    [each[1:] for each in LOSSES],
    ids=[each[0] for each in LOSSES],
)
def test_a_loss_for_whatever_comes_out(output: Any, given: Any, expected: Any) -> None:
    assert float(loss_of(output, (given,))) == pytest.approx(float(expected))


def test_auxiliary_heads_count_by_their_weight() -> None:
    main, aux = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    images = torch.zeros(2, 3, 3, 3)
    whole = loss_of({"out": main, "aux": aux}, (images,))
    assert float(whole) == pytest.approx(
        float(loss_of(main, (images,)) + 0.3 * loss_of(aux, (images,)))
    )

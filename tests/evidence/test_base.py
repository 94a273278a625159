"""What all experiments stand on: data, nets, starts, training and tuning."""

import math
from functools import partial
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from evidence.data import BYTES, Data, Split, batches, digits, patches, text
from evidence.nets import GPT, IMAGE_NETS, MLP, Deep, image_net
from evidence.starts import STARTS, start, zero_with
from evidence.training import Recipe, evaluate, train
from evidence.tuning import above, below, tune

pytestmark = pytest.mark.long  # nets and data of the evidence, not the product


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("data", [digits(), digits(3, 16), digits(1, 4), patches(), text(32)])
def test_splits_share_no_example(data: Data) -> None:
    counted = [
        {row.numpy().tobytes() for row in split.inputs}
        for split in (data.train, data.validation, data.test)
    ]
    assert all(len(each) > 100 for each in counted)
    if data.classes < BYTES and data.train.inputs.shape[-1] > 4:  # text and tiny images do repeat
        assert not counted[0] & counted[2]
        assert not counted[0] & counted[1]
        assert not counted[1] & counted[2]
    for split in (data.train, data.validation, data.test):
        assert len(split.inputs) == len(split.targets)
        assert int(split.targets.max()) < data.classes


def test_images_are_standardised_by_the_training_split() -> None:
    for data in (digits(3), patches()):
        inputs = data.train.inputs
        assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
        assert torch.allclose(inputs.std((0, 2, 3)), torch.ones(3), atol=1e-5)


def test_what_follows_a_byte_is_its_target() -> None:
    data = text(16)
    flat, following = data.train.inputs.flatten(), data.train.targets.flatten()
    assert torch.equal(flat[1:], following[:-1])


def test_batches_see_each_example_once_an_epoch_in_an_order_of_the_seed() -> None:
    seen = torch.cat(list(islice(batches(10, 5, 4, 7), 2)))
    assert sorted(seen.tolist()) == list(range(10))
    assert torch.equal(seen, torch.cat(list(batches(10, 5, 2, 7))))
    assert not torch.equal(seen, torch.cat(list(batches(10, 5, 2, 8))))


@pytest.mark.parametrize("name", sorted(IMAGE_NETS))
def test_a_zero_start_has_no_seed_and_runs(name: str) -> None:
    build = image_net(name, 3)
    one, other = start(build, "zero", 0), start(build, "zero", 1)
    assert same(one, other)
    assert not same(start(build, "torch", 0), start(build, "torch", 1))
    assert one(digits(3).train.inputs[:2]).shape == (2, 10)


@pytest.mark.parametrize("name", sorted(set(STARTS) - {"partial-identity"}))
def test_every_start_of_a_gpt_runs_and_leaves_the_seed_alone(name: str) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    model = start(GPT, name)
    assert torch.equal(before, torch.random.get_rng_state())
    assert model(torch.zeros(2, 8, dtype=torch.long)).shape == (2, 8, BYTES)


def test_fixup_zeroes_the_end_of_each_branch_and_the_classifier() -> None:
    model = start(partial(Deep, 6), "fixup")
    zero = [name for name, each in model.named_parameters() if each.ndim > 1 and not each.any()]
    assert zero == ["pairs.0.conv2.weight", "pairs.1.conv2.weight", "fc.weight"]


def test_an_override_reaches_the_start() -> None:
    model = zero_with(partial(MLP, (4, 4, 4)), "layers.0.weight=zeros")
    assert not model.get_parameter("layers.0.weight").any()
    assert torch.equal(model.get_parameter("layers.1.weight"), torch.eye(4))


@pytest.mark.long
def test_two_runs_of_one_seed_end_bitwise_equal() -> None:
    def run(seed: int) -> nn.Module:
        model = start(image_net("resnet20"), "zero")
        train(model, digits(), Recipe(steps=3), seed)
        return model

    assert same(run(0), run(0))
    assert not same(run(0), run(1))


def test_a_run_that_diverges_ends_with_the_loss_of_guessing() -> None:
    outcome = train(start(image_net("mlp"), "kaiming"), digits(), Recipe(learning_rate=1e6), 0)
    assert outcome.diverged == len(outcome.curve) - 1
    assert outcome.test_loss == pytest.approx(math.log(10))
    assert outcome.test_error == pytest.approx(90)


def test_the_rate_rises_and_then_falls_to_0() -> None:
    recipe = Recipe(learning_rate=1.0, warmup=4, steps=12)
    rates = [recipe.rate(step) for step in range(13)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[12] == pytest.approx(0)
    assert rates == [*rates[:4], *sorted(rates[4:], reverse=True)]


class Told(nn.Module):
    """Says of three examples of four what is right."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits = torch.zeros(len(inputs), 10)
        logits[torch.arange(len(inputs)), inputs[:, 0].long()] = 100.0
        return logits


def test_errors_are_percent_of_all_targets() -> None:
    split = Split(inputs=torch.tensor([[1.0], [2.0], [3.0], [4.0]]), targets=torch.arange(4) + 1)
    loss, error = evaluate(Told(), split)
    assert error == 0
    assert loss == pytest.approx(0)
    split.targets[3] = 0
    loss, error = evaluate(Told(), split)
    assert error == 25
    assert loss == pytest.approx(25)


@pytest.mark.parametrize("best", [1e-4, 3e-3, 0.1, 3.0])
def test_the_grid_grows_until_the_best_is_inside(best: float) -> None:
    tuned = tune(lambda rate: abs(math.log(rate / best)), [0.01, 0.03])
    assert tuned.rate == pytest.approx(best)
    assert not tuned.at_edge
    assert {f"{below(best):g}", f"{best:g}", f"{above(best):g}"} <= set(tuned.losses)


def test_a_grid_that_may_not_grow_says_so() -> None:
    tuned = tune(lambda rate: rate, [0.01, 0.03], lowest=1e-3)
    assert (tuned.rate, tuned.at_edge) == (1e-3, True)

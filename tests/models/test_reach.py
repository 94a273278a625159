"""What no run reaches is named, and runs on other inputs and in both modes count together."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.closings import Written, closed
from tests.models.test_planning import plan_of
from tests.models.warned import texts, warnings_of
from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.given import plan_given
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.models.trials import Trials
from zeroinit_cli.options import Options


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.f = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return x + self.f(self.norm(x))


class TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = Block(), Block()

    def forward(self, image: Any = None, text: Any = None) -> Any:
        return (
            None if image is None else self.image(image),
            None if text is None else self.text(text),
        )


class OneOfTwo(TwoTowers):
    def forward(self, image: Any = None, text: Any = None) -> Any:
        if (image is None) == (text is None):
            raise ValueError("exactly one of image and text")
        return super().forward(image, text)


class Contrasts(nn.Module):
    """An image of one size, and ids: neither can be left out, and both have defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.position = nn.Conv2d(3, 8, 16, 16), nn.Parameter(torch.randn(196, 8))
        self.table, self.image, self.text = nn.Embedding(20, 8), Block(), Block()

    def forward(self, input_ids: Any = None, pixel_values: Any = None, mask: Any = None) -> Any:
        image = self.patches(pixel_values).flatten(2).transpose(1, 2) + self.position
        return self.image(image).mean(1) @ self.text(self.table(input_ids)).mean(1).T


@pytest.mark.parametrize("net", [TwoTowers, OneOfTwo, Contrasts])
def test_inputs_with_defaults_are_given_until_all_is_reached(net: Callable[[], nn.Module]) -> None:
    structure = find_structure(net(), "end")
    assert structure.read == {name for name, _ in net().named_parameters()}
    assert closed(structure) == {"image.f.weight", "text.f.weight"}
    assert structure.untraced == ()
    assert len(structure.branches) == len(structure.adds) - (net is Contrasts) == 2


def test_what_was_guessed_is_said_where_one_run_does_not_show_all() -> None:
    assert warnings_of(TwoTowers) == {}
    assert texts(OneOfTwo, "guessed-inputs") == [
        (
            "what the model takes was guessed: float32 [2, 5, 8]; then text float32 [2, 5, 8]",
            "example_inputs=... says what it takes",
        )
    ]


class Unused(Block):
    def __init__(self) -> None:
        super().__init__()
        self.more, self.free = nn.Linear(8, 8), nn.Parameter(torch.randn(3))
        self.conv = nn.Conv2d(1, 1, 1)


def test_what_nothing_uses_is_named_with_what_its_rule_goes_by() -> None:
    [warning] = warnings_of(Unused)["not-reached"]
    assert (warning.text, warning.hint) == (
        "5 tensors were not reached by the forward: free, more.weight, more.bias, conv.weight and "
        "1 more; their rules go by no use at all: 0, the use of others of their class, the types "
        "of their layers",
        "example_inputs=... that lead to them",
    )
    assert warning.tensors == ("conv.bias", "conv.weight", "free", "more.bias", "more.weight")
    overrides = ("free=zeros", "more.*=zeros", "conv.*=zeros")
    assert warnings_of(Unused, *overrides) == {}


def test_the_same_of_given_inputs_which_may_be_meant_so() -> None:
    plan = plan_given(Unused, Options(), torch.zeros(2, 8))
    [warning] = [each for each in plan.warnings if each.kind != "equal-rows"]
    assert (warning.kind, warning.hint) == ("not-reached", None)


class Drops(nn.Module):
    """Layers that are drawn in training, a head that only training has, one that it has not."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(12))
        self.aux, self.head = Block(), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            if not self.training or random.random() < 0.5:
                x = block(x)
        return self.aux(x) if self.training else self.head(x)


def test_of_training_that_draws_and_of_evaluation_the_union_counts() -> None:
    structure = find_structure(Drops(), "end")
    blocks = [f"blocks.{index}" for index in range(12)]
    assert [add.place for add in structure.adds] == [*blocks, "aux"]
    assert [branch.place for branch in structure.branches] == [*blocks, "aux"]
    assert closed(structure) == {f"{place}.f.weight" for place in [*blocks, "aux"]}
    assert structure.read == {name for name, _ in Drops().named_parameters()}


class AsksForTargets(Block):
    def forward(self, x: Any, targets: Any = None) -> Any:
        if self.training and targets["boxes"] is None:
            raise ValueError("no boxes")
        return super().forward(x)


def test_where_training_does_not_run_evaluation_does() -> None:
    structure = find_structure(AsksForTargets(), "end")
    assert structure.untraced == ()
    assert closed(structure) == {"f.weight"}


def _fault(build: Callable[[], nn.Module], inputs: Any) -> str:
    with pytest.raises(PlanError) as raised:
        plan_given(build, Options(), inputs)
    return str(raised.value)


def _message(where: str, expected: str, found: str) -> str:
    return (
        f"error: the forward fails on example_inputs in {where}\n"
        f"  expected: what it takes: {expected}\n"
        f"  found: {found}\n"
        "\n"
        "hint: call the module on them to see the whole traceback"
    )


def test_given_inputs_that_a_forward_fails_on_are_an_error() -> None:
    x = torch.zeros(2, 8)
    assert _fault(Block, (x, x)) == _message(
        "Block",
        "x",
        "TypeError: Block.forward() takes 2 positional arguments but 3 were given, in its own "
        "forward; given were float32 [2, 8], float32 [2, 8]",
    )
    assert _fault(OneOfTwo, {"image": x, "text": x}) == _message(
        "OneOfTwo",
        "image, text",
        "ValueError: exactly one of image and text, in its own forward; given were image float32 "
        "[2, 8], text float32 [2, 8]",
    )
    assert _fault(lambda: nn.Sequential(Block()), torch.zeros(2, 9, device="meta")) == _message(
        "Sequential",
        "input",
        "RuntimeError: Given normalized_shape=[8], expected input with shape [8], but got input of "
        "size torch.Size([2, 9]), in 0.norm (LayerNorm); given were float32 [2, 9]",
    )


@pytest.mark.parametrize(
    ("net", "inputs", "where"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3)), torch.zeros(2, 1, 8, 8), "0 (Conv2d)"),
        (lambda: nn.Sequential(nn.Embedding(9, 8)), torch.zeros(2, 5), "0 (Embedding)"),
    ],
)
def test_so_is_a_wrong_number_of_channels_and_ids_that_are_fractions(
    net: Callable[[], nn.Module], inputs: torch.Tensor, where: str
) -> None:
    assert f", in {where}; given were float32 {list(inputs.shape)}\n" in _fault(net, inputs)


def _asks_numpy(m: Any, x: Any) -> Any:
    x = x + m.f(x)
    return x if x.numpy().sum() > 0 else x * 2


def _asks_torch(m: Any, x: Any) -> Any:
    x = x + m.f(x)
    return x[: x.argmax().item()].view(-1, 16).view(4, 4)  # no row, by the stand-in's answer


@pytest.mark.parametrize("forward", [_asks_numpy, _asks_torch])
def test_a_forward_that_lacks_values_alone_is_no_error(forward: Callable[..., Any]) -> None:
    plan = plan_given(lambda: Written(forward, f=nn.Linear(8, 8)), Options(), torch.zeros(2, 8))
    assert "not-reached" not in {warning.kind for warning in plan.warnings}
    assert {each.info.name for each in plan.tensors if "branch" in each.reason} >= {"f.weight"}


def test_a_batch_of_one_is_run_in_evaluation() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))

    assert plan_given(net, Options(), torch.zeros(1, 8)).digest() == plan_of(net).digest()


def test_parts_that_are_alike_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole that cannot be guessed, of many blocks that cannot either."""
    tried: list[str] = []
    once = Trials._once

    def counted(self: Trials, module: nn.Module, path: str, example: Any) -> Any:
        tried.append(path)
        return once(self, module, path, example)

    monkeypatch.setattr(Trials, "_once", counted)

    def needs_a_dict(m: Any, batch: Any) -> Any:
        return batch["x"] + m.f(batch["x"])

    def whole(m: Any, batch: Any) -> Any:
        for block in m.blocks:
            batch["x"] = block(batch)
        return batch

    blocks = nn.ModuleList(Written(needs_a_dict, f=nn.Linear(8, 8)) for _ in range(9))
    find_structure(Written(whole, blocks=blocks), "end")
    times = [tried.count(f"blocks.{index}") for index in range(1, 9)]  # the first ends the whole
    assert times[0] > 2
    assert times[1:] == [2] * 7  # one in either mode

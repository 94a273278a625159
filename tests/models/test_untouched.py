"""Looking at a module leaves no trace in it, nor in torch, nor in any generator of numbers."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.closings import (
    ends,
)
from tests.models.forwards import block, untraced
from zeroinit_cli.models.structure import find_structure


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_that_a_module_is_in_does_not_matter(training: bool) -> None:
    def forward(m: Any, x: Any) -> Any:
        x = x + m.f(x)
        return (x, x + m.g(x)) if m.training else x

    module = block(forward).train(training)
    assert ends(module) == {"f.weight", "g.weight"}
    assert {each.training for each in module.modules()} == {training}


class LayerDrop(nn.Module):
    """Passes over a layer at random: what a forward shows once is not what the module is."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(20))
        self.draw = draw

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            if self.training and self.draw() < 0.5:
                continue
            x = x + layer(x)
        return x


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, lambda: torch.rand(1).item()],
    ids=["random", "numpy", "torch"],
)
def test_a_forward_that_draws_its_layers_shows_all_of_them(draw: Callable[[], float]) -> None:
    module = LayerDrop(draw)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]  # typed as a dict, too
    assert ends(module) == {f"layers.{i}.weight" for i in range(20)}
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]  # typed as a dict, too
    assert torch.equal(torch.get_rng_state(), before[2])


class Remembering(nn.Module):
    """Keeps what it computed, counts its calls, and makes a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)
        self.calls = nn.Buffer(torch.zeros(()))
        self.last: Any = None
        self.cache: dict[str, Any] = {}
        self.history: list[Any] = []
        self.seen: set[Any] = set()

    def forward(self, x: Any) -> Any:
        self.calls.add_(1)
        self.last = x
        self.cache["x"] = x
        self.history.append(x)
        self.seen.add(x)
        self.register_buffer("late", x)
        return x + self.f(x) * torch.tensor([1.0] * 8)


def test_looking_at_a_module_leaves_no_trace_in_it() -> None:
    module = Remembering()
    attributes = {name: id(value) for name, value in vars(module).items()}
    for _ in range(2):
        assert ends(module) == {"f.weight"}
    assert {name: id(value) for name, value in vars(module).items()} == attributes
    assert (module.last, module.cache, module.history, module.seen) == (None, {}, [], set())
    assert list(module.state_dict()) == ["calls", "f.weight", "f.bias"]
    assert module.calls.item() == 0
    assert torch.arange(3).tolist() == [0, 1, 2]


def test_nor_does_a_forward_that_fails() -> None:
    def forward(m: Any, x: Any) -> Any:
        m.kept = x
        raise RuntimeError("no")

    module = block(forward)
    arange = torch.arange
    assert untraced(module) == [""]
    assert not hasattr(module, "kept")
    assert torch.arange is arange


class Normed(nn.Module):
    """Norms that count and keep averages, and a weight that is normed with vectors of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.f = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))

    def forward(self, x: Any) -> Any:
        return x + self.f(self.norm(x))


def test_averages_and_vectors_stay_as_they_are_and_no_gradient_or_hook_is_left() -> None:
    module = Normed()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    find_structure(module, "end")
    after = module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in module.parameters())
    hooks = nn.modules.module
    assert not hooks._global_forward_pre_hooks
    assert not hooks._global_forward_hooks


class Counting(nn.Module):
    """Writes into tensors of its own, and asks for one's value."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)
        self.calls = nn.Buffer(torch.zeros(()))
        self.plain = torch.zeros(3)

    def forward(self, x: Any) -> Any:
        self.plain.add_(1)
        self.calls.add_(1)
        return x + self.f(x) if self.calls.item() == 1 else x


def test_a_forward_that_writes_into_its_tensors_changes_none_of_them() -> None:
    module = Counting()
    assert ends(module) == {"f.weight"}
    assert (module.calls.item(), module.plain.tolist()) == (0.0, [0.0] * 3)

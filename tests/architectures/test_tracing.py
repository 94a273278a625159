"""What a forward may do, and still be seen; and that looking at it leaves no trace."""

import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.architectures.checks import CHECKS
from tests.architectures.closings import (
    Around,
    Written,
    begins_as_identity,
    closed,
    ends,
    left_open,
    tokens,
)
from zeroinit_cli.architectures.structure import find_structure
from zeroinit_cli.architectures.tracing import trace


def block(forward: Callable[..., Any], **modules: Any) -> Written:
    return Written(forward, **{"f": nn.Linear(8, 8), "g": nn.Linear(8, 8), **modules})


def untraced(module: nn.Module) -> list[str]:
    return [each.path for each in find_structure(module, "end").untraced]


@pytest.mark.parametrize("forward", CHECKS)
def test_a_check_that_can_only_raise_passes(forward: Callable[..., Any]) -> None:
    assert ends(block(forward)) == {"f.weight"}
    assert begins_as_identity(block(forward), tokens())


def _branches_on_data(m: Any, x: Any) -> Any:
    if x.sum() > 0:
        return x + m.f(x)
    return x + m.g(x)


def _loops_over_a_size(m: Any, x: Any) -> Any:
    for _ in range(x.size(1)):
        x = x + m.f(x)
    return x


def _loops_while(m: Any, x: Any) -> Any:
    while x.norm() > 1:
        x = x + m.f(x)
    return x


@pytest.mark.parametrize("forward", [_branches_on_data, _loops_over_a_size, _loops_while])
def test_a_forward_that_depends_on_its_data_is_named_and_nothing_in_it_guessed(
    forward: Callable[..., Any],
) -> None:
    structure = find_structure(block(forward), "end")
    assert [(each.path, each.module_type) for each in structure.untraced] == [("", "Written")]
    assert structure.adds == ()
    assert closed(structure) == set()


def test_one_such_submodule_hides_nothing_of_the_rest() -> None:
    """The whole is seen around it, and its own children are seen inside it."""
    inner = block(_branches_on_data, inside=Around(nn.Linear(8, 8)))
    whole = block(lambda m, x: (lambda y: y + m.f(m.inner(y)))(x + m.g(x)), inner=inner)
    structure = find_structure(whole, "end")
    assert [(each.path, each.module_type) for each in structure.untraced] == [("inner", "Written")]
    assert closed(structure) == {"f.weight", "g.weight", "inner.inside.branch.0.weight"}


def test_a_weight_that_is_shared_with_what_is_not_seen_is_not_zeroed() -> None:
    whole = block(_branches_on_data, inside=Around(nn.Linear(8, 8)))
    assert closed(find_structure(whole, "end")) == {"inside.branch.0.weight"}
    shared = whole.get_parameter("inside.branch.0.weight")
    whole.get_submodule("f").register_parameter("weight", shared)
    structure = find_structure(whole, "end")
    assert closed(structure) == set()
    assert left_open(structure) == ["inside.branch.0 (Linear) ends it and is used elsewhere too"]


def test_a_branch_that_ends_in_such_a_submodule_is_left_open() -> None:
    structure = find_structure(Around(block(_branches_on_data)), "end")
    assert [branch.obstacle for branch in structure.branches] == ["it ends in branch.0 (Written)"]
    assert untraced(Around(block(_branches_on_data))) == ["branch.0"]


class Optional(nn.Module):
    """What has a default is not given; what is asked for, is."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(
        self, x: Any, mask: Any = None, *, scale: float = 1.0, training: bool = False, **rest: Any
    ) -> Any:
        if mask is not None:
            x = x * mask
        if training or rest:
            x = x + self.g(x)
        return {"out": x + self.f(x) * scale, "hidden": (x,)}


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        x = args[0]
        return x + self.f(x)


class KeywordsOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, *, hidden_states: Any, scale: Any = 2) -> Any:
        return hidden_states + self.f(hidden_states) * scale


class TakesADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, batch: Any) -> Any:
        x = batch["tokens"]
        return {"tokens": x + self.f(x), "mask": batch.get("mask")}


@pytest.mark.parametrize("module", [Optional(), Everything(), KeywordsOnly(), TakesADict()])
def test_arguments_and_results_of_every_form(module: nn.Module) -> None:
    assert ends(module) == {"f.weight"}


class NeedsBoth(nn.Module):
    """A second input that has a default, but cannot be done without."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Around(nn.Linear(8, 8)), Around(nn.Linear(8, 8))

    def forward(self, x: Any, y: Any = None) -> Any:
        return self.one(x) + self.two(y)


class NeedsIt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, x: Any, y: Any = None) -> Any:
        x = x + self.f(x)
        return x * y


def test_an_argument_that_is_needed_is_given_even_if_it_has_a_default() -> None:
    assert ends(NeedsBoth()) == {"one.branch.0.weight", "two.branch.0.weight"}
    # called with one input it fails inside, but what it holds is known by itself
    structure = find_structure(nn.Sequential(NeedsBoth()), "end")
    assert closed(structure) == {f"0.{name}.branch.0.weight" for name in ("one", "two")}
    assert structure.untraced == ()
    assert ends(NeedsIt()) == {"f.weight"}


class FirstOptional(nn.Module):
    """transformers' way: every argument has a default, and one of two is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.f = nn.Embedding(10, 8), nn.Linear(8, 8)

    def forward(self, input_ids: Any = None, inputs_embeds: Any = None) -> Any:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("exactly one of input_ids and inputs_embeds")
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        return x + self.f(x)


def test_the_first_argument_is_given_even_if_it_has_a_default() -> None:
    assert ends(FirstOptional()) == {"f.weight"}


def _reentrant(m: Any, x: Any) -> Any:
    return x + checkpoint(m.f, x, use_reentrant=True)


def _not_reentrant(m: Any, x: Any) -> Any:
    return x + checkpoint(m.f, x, use_reentrant=False)


def _a_method(m: Any, x: Any) -> Any:
    return checkpoint(lambda y: y + m.f(y), x, use_reentrant=False)


def _in_segments(m: Any, x: Any) -> Any:
    return checkpoint_sequential(m.blocks, 2, x, use_reentrant=True)


@pytest.mark.parametrize("forward", [_reentrant, _not_reentrant, _a_method, _in_segments])
def test_what_is_checkpointed_is_seen_through(forward: Callable[..., Any]) -> None:
    blocks = nn.Sequential(Around(nn.Linear(8, 8)), nn.Identity())
    end = "blocks.0.branch.0.weight" if forward is _in_segments else "f.weight"
    assert ends(block(forward, blocks=blocks)) == {end}


def test_a_module_made_in_a_forward_is_seen_through() -> None:
    module = block(lambda m, x: x + nn.Dropout(0.1)(m.f(nn.ReLU()(m.g(x)))))
    assert ends(module) == {"f.weight"}


def test_a_mask_that_is_written_into_is_no_obstacle() -> None:
    def forward(m: Any, x: Any) -> Any:
        mask = torch.zeros(x.size(1), x.size(1), device=x.device)
        mask[:, 0] = 1
        return x + mask @ m.f(m.g(x))

    structure = find_structure(block(forward), "end")
    assert structure.untraced == ()
    assert [branch.obstacle for branch in structure.branches] == ["it ends in matmul"]


def _starred(m: Any, x: Any) -> Any:
    *lead, width = x.shape
    return x + m.f(x).view(*lead, 2, width // 2).reshape(*x.shape[:-1], -1)


def _into_a_tuple(m: Any, x: Any) -> Any:
    shape = (*x.shape[:-1], 2, -1)
    return x + m.f(x).view(shape).flatten(-2)


def _both_ends(m: Any, x: Any) -> Any:
    first, *_, last = x.size()
    return x + m.f(x).view(first, -1, last)


@pytest.mark.parametrize("forward", [_starred, _into_a_tuple, _both_ends])
def test_a_shape_may_be_taken_apart(forward: Callable[..., Any]) -> None:
    assert ends(block(forward)) == {"f.weight"}
    assert begins_as_identity(block(forward), tokens())


def test_a_value_that_is_no_shape_may_not() -> None:
    def forward(m: Any, x: Any) -> Any:
        return sum(m.f(each) for each in x)

    assert untraced(block(forward)) == [""]


def test_what_is_known_of_a_parameter_without_a_run_may_be_asked() -> None:
    """T5's norm asks for the type of its own scale."""

    def forward(m: Any, x: Any) -> Any:
        y = m.f(x)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        if m.scale.dtype in (torch.float16, torch.bfloat16):
            y = y.to(m.scale.dtype)
        if m.scale.dim() == 1 and m.scale.shape[0] == m.scale.numel() == 8:
            y = m.scale * y
        return x + y

    module = block(forward)
    module.scale = nn.Parameter(torch.ones(8))
    assert ends(module) == {"scale"}


def test_reshapes_of_einops_are_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in, as einops is no dependency: like it, it refuses what is no tensor."""

    def rearrange(tensor: torch.Tensor, pattern: str, **axes: int) -> torch.Tensor:
        assert type(tensor) is torch.Tensor, f"tensor type unknown to einops: {type(tensor)}"
        return tensor.flatten(1) if axes else tensor

    class Rearrange(nn.Module):
        def forward(self, x: Any) -> Any:
            return rearrange(x, "b t c -> b t c")

    Rearrange.__module__ = "einops.layers.torch"
    Rearrange.__qualname__ = "Rearrange"
    einops = types.ModuleType("einops")
    vars(einops)["rearrange"] = rearrange
    monkeypatch.setitem(sys.modules, "einops", einops)
    module = block(
        lambda m, x: x + m.view(einops.rearrange(m.f(x), "b t c -> b t c")), view=Rearrange()
    )
    assert ends(module) == {"f.weight"}
    assert begins_as_identity(module, tokens())


def test_wrappers_are_seen_through() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.module(*args, **kwargs)

    assert ends(Wrapper(Around(nn.Linear(8, 8)))) == {"module.branch.0.weight"}


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
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
    assert ends(module) == {f"layers.{i}.weight" for i in range(20)}
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
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


class Counting(nn.Module):
    """Writes into tensors of its own, and asks for one's value, so that it is no graph's."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)
        self.calls = nn.Buffer(torch.zeros(()))
        self.plain = torch.zeros(3)

    def forward(self, x: Any) -> Any:
        self.plain.add_(1)
        self.calls.add_(1)
        return x + self.f(x) if self.calls.item() > 1 else x


def test_a_forward_that_writes_into_its_tensors_changes_none_of_them() -> None:
    module = Counting()
    assert untraced(module) == [""]
    assert (module.calls.item(), module.plain.tolist()) == (0.0, [0.0] * 3)


def test_a_buffer_that_a_forward_asks_for_is_at_hand() -> None:
    def forward(m: Any, x: Any) -> Any:
        return x + m.f(x) if m.on.item() else x + m.g(x)

    module = block(forward)
    module.on = nn.Buffer(torch.tensor(False))
    assert ends(module) == {"g.weight"}


def test_a_module_without_a_forward_only_holds_others() -> None:
    holder = nn.Module()
    holder.block = Around(nn.Linear(8, 8))
    assert ends(holder) == {"block.branch.0.weight"}
    assert ends(nn.ModuleList([holder])) == {"0.block.branch.0.weight"}


def test_a_layer_alone_is_no_riddle() -> None:
    for module in (nn.Linear(8, 8), nn.MultiheadAttention(8, 2), nn.BatchNorm1d(8)):
        assert trace(module).untraced == ()


def test_a_net_shared_by_two_parts_is_looked_at_once() -> None:
    inner = Around(nn.Linear(8, 8))
    whole = block(_branches_on_data, one=inner, other=nn.Sequential(inner))
    structure = find_structure(whole, "end")
    assert closed(structure) == {"one.branch.0.weight"}

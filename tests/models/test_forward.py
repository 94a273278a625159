"""What a forward may do, and still be seen."""

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.models.checks import CHECKS
from tests.models.closings import (
    Around,
    begins_as_identity,
    closed,
    ends,
    tokens,
)
from tests.models.forwards import block
from zeroinit_cli.models.forward import run
from zeroinit_cli.models.structure import find_structure


@pytest.mark.parametrize("forward", CHECKS)
def test_a_check_that_can_only_raise_passes(forward: Callable[..., Any]) -> None:
    assert ends(block(forward)) == {"f.weight"}
    assert begins_as_identity(block(forward), tokens())


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
    inputs = ({"tokens": tokens()},) if isinstance(module, TakesADict) else None
    assert ends(module, inputs=inputs) == {"f.weight"}


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


def test_a_loop_over_a_size_applies_its_layer_as_often() -> None:
    def forward(m: Any, x: Any) -> Any:
        for _ in range(x.size(1)):
            x = x + m.f(x)
        return x

    assert ends(block(forward)) == {"f.weight"}


def test_so_may_any_other_value() -> None:
    def forward(m: Any, x: Any) -> Any:
        one, other = (m.f(each) for each in x)
        return one + m.g(one) + other

    assert ends(block(forward)) == {"g.weight"}


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
        assert run(module).untraced == ()

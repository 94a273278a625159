"""Attention is what it does: however it is spelled, it begins as the same function."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.uses.spelled_attention import (
    MIXES,
    NARROW,
    OTHERS,
    SHARED,
    WAYS,
    WIDTH,
    Block,
    Way,
    fused,
)
from tests.uses.started import noise, planned, started, without_gradient

X = noise(2, 5, WIDTH)
EVERY = {**WAYS, **SHARED, **OTHERS}
Mix = Callable[..., Tensor]


def block(way: Way, mix: Mix = fused, *, residual: bool = True) -> Any:
    return started(lambda: Block(way, mix, residual=residual), X)


@pytest.mark.parametrize("name", EVERY)
def test_a_branch_of_attention_gives_its_input_back_bit_by_bit_and_can_learn(name: str) -> None:
    module = block(EVERY[name])
    assert torch.equal(module(X), X)
    assert without_gradient(module, X) != {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("name", EVERY)
def test_the_plan_does_not_depend_on_how_values_are_mixed(name: str, residual: bool) -> None:
    builds = [partial(Block, EVERY[name], mix, residual=residual) for mix in MIXES]
    digests = {planned(build, X).digest() for build in builds}
    assert len(digests) == 1


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.one is not None])
def test_q_k_and_v_lie_where_the_forward_takes_them(name: str) -> None:
    way = WAYS[name]
    assert way.one is not None
    module = block(way)
    weight = module.get_parameter("w" if hasattr(module.w, "shape") else "w.weight")
    expected = torch.cat([torch.eye(WIDTH), torch.zeros(2 * WIDTH, WIDTH)])
    assert torch.equal(way.one(weight), expected)
    assert torch.equal(module.out.weight, torch.eye(WIDTH))


@pytest.mark.parametrize("name", [name for name, way in SHARED.items() if way.one is not None])
def test_so_they_do_where_several_queries_share_a_key(name: str) -> None:
    way = SHARED[name]
    assert way.one is not None
    expected = torch.cat([torch.eye(WIDTH), torch.zeros(2 * NARROW, WIDTH)])
    assert torch.equal(way.one(block(way).w.weight), expected)


@pytest.mark.parametrize("ways", [WAYS, SHARED], ids=["alike", "shared"])
def test_attention_that_is_not_closed_begins_as_the_same_function(ways: dict[str, Way]) -> None:
    """Each projection by Algorithm 1: all that three layers compute, whatever holds them."""
    outputs = {name: block(way, residual=False)(X) for name, way in ways.items()}
    first, *others = outputs.values()
    assert first.abs().max() > 0.1
    for name, other in zip(list(outputs)[1:], others, strict=True):
        torch.testing.assert_close(other, first, msg=name)


def test_of_one_weight_for_all_three_the_branch_is_closed_behind_it() -> None:
    module = block(OTHERS["queries are keys and values"])
    assert torch.equal(module.x.weight, torch.eye(WIDTH))
    assert not module.out.weight.any()

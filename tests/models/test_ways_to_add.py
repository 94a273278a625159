"""An add is an add, however it is spelt; and what is none is named where it may hide one."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    Written,
    begins_as_identity,
    classes,
    closed,
    ends,
    left_open,
    obstacles,
    tokens,
)
from zeroinit_cli.models.structure import find_structure


def block(forward: Callable[..., Any], **modules: Any) -> Written:
    """A module over three Linear layers."""
    layers = {name: nn.Linear(8, 8) for name in ("f", "g", "h")}
    return Written(forward, **{**layers, **modules})


def _in_place(m: Any, x: Any) -> Any:
    y = x.clone()
    y += m.f(x)
    return y


def _method_in_place(m: Any, x: Any) -> Any:
    y = x.clone()
    y.add_(m.f(x))
    return y  # what was written into


def my_residual(x: Any, y: Any) -> Any:
    return x + y


SPELLINGS = {
    "x + f": lambda m, x: x + m.f(x),
    "f + x": lambda m, x: m.f(x) + x,
    "+=": _in_place,
    "iadd": lambda m, x: operator.iadd(m.f(x), x),  # type: ignore[no-untyped-call]  # of operator
    "operator.add": lambda m, x: operator.add(x, m.f(x)),
    "torch.add": lambda m, x: torch.add(x, m.f(x)),
    "torch.add with alpha": lambda m, x: torch.add(x, m.f(x), alpha=0.5),
    "torch.add by keyword": lambda m, x: torch.add(input=x, other=m.f(x)),
    "method": lambda m, x: x.add(m.f(x)),
    "method of the branch": lambda m, x: m.f(x).add_(x),
    "method in place": _method_in_place,
    "unbound": lambda m, x: torch.Tensor.add(x, m.f(x)),
    "unbound in place": lambda m, x: torch.Tensor.add_(m.f(x), x),
    "in a function": lambda m, x: my_residual(x, m.f(x)),
    "negated twice": lambda m, x: x + torch.neg(-m.f(x)),
    "sum of a list": lambda m, x: sum([x, m.f(x)]),
    "sum of a generator": lambda m, x: sum(each for each in (m.f(x), x)),
    "reduce": lambda m, x: reduce(torch.add, [x, m.f(x)]),
    "stack and sum": lambda m, x: torch.stack([x, m.f(x)]).sum(0),
    "torch.sum of a stack": lambda m, x: torch.sum(torch.stack((m.f(x), x), dim=1), dim=1),
    "identity": lambda m, x: nn.Identity()(x) + m.f(x),
    "residual first": lambda m, x: (lambda residual: m.f(residual) + residual)(x),
    "scaled by a number": lambda m, x: x + 0.1 * m.f(x),
    "scaled by a size": lambda m, x: x + m.f(x) / x.shape[-1] ** 0.5,
    "cast": lambda m, x: x + m.f(x.float()).type_as(x),
    "cast by type": lambda m, x: x + m.f(x).type(torch.float32),
    "reshaped": lambda m, x: x + m.f(x).flatten(1).view(x.shape),
    "masked": lambda m, x: x + m.f(x).masked_fill(x > 1e9, 0.0),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_add_is_an_add_however_it_is_spelt(spelling: str) -> None:
    module = block(SPELLINGS[spelling])
    assert ends(module) == {"f.weight"}
    assert begins_as_identity(module, tokens())


THREE = {
    "in a row": lambda m, x: x + m.f(x) + m.g(x),
    "grouped": lambda m, x: x + (m.f(x) + m.g(x)),
    "last": lambda m, x: m.f(x) + m.g(x) + x,
    "sum": lambda m, x: sum([m.f(x), x, m.g(x)]),
    "stack": lambda m, x: torch.stack([m.f(x), m.g(x), x], 0).sum(0),
    "dropped": lambda m, x: x + functional.dropout(m.f(x) + m.g(x), 0.0),
    "in place": lambda m, x: m.f(x).add_(m.g(x)).add_(x),
}


@pytest.mark.parametrize("spelling", THREE)
def test_a_sum_of_three_has_two_branches_in_any_order(spelling: str) -> None:
    module = block(THREE[spelling])
    assert ends(module) == {"f.weight", "g.weight"}
    assert begins_as_identity(module, tokens())


def _two_in_a_row(m: Any, x: Any) -> Any:
    x = x + m.f(x)
    return x + m.g(x)


def _nested(m: Any, x: Any) -> Any:
    inner = m.f(x)
    inner = inner + m.g(inner)
    return x + m.h(inner)


def test_two_adds_in_a_row_and_one_inside_another() -> None:
    assert ends(block(_two_in_a_row)) == {"f.weight", "g.weight"}
    assert classes(block(_two_in_a_row)) == ["IDENTITY", "IDENTITY"]
    assert begins_as_identity(block(_two_in_a_row), tokens())
    assert ends(block(_nested)) == {"g.weight", "h.weight"}


DISGUISED = {
    "sub": lambda m, x: x - m.f(x),
    "torch.sub": lambda m, x: torch.sub(x, m.f(x)),
    "addcmul": lambda m, x: torch.addcmul(x, m.f(x), m.g(x)),
    "lerp": lambda m, x: torch.lerp(x, m.f(x), 0.5),
    "baddbmm": lambda m, x: torch.baddbmm(x, m.f(x), m.g(x)),
}


@pytest.mark.parametrize("spelling", DISGUISED)
def test_what_may_hide_a_residual_add_is_left_as_it_is_and_named(spelling: str) -> None:
    structure = find_structure(block(DISGUISED[spelling]), "end")
    assert (closed(structure), left_open(structure)) == (set(), [])
    assert [add.kind.name for add in structure.adds] == ["DISGUISED"]


def _scaled(m: Any, x: Any) -> Any:
    return m.alpha * x + m.beta * m.f(x)


def test_a_sum_of_two_scaled_values_is_named_if_it_would_be_residual_without_their_scales() -> None:
    one = nn.Parameter(torch.ones(1))
    module = block(_scaled, alpha=one, beta=nn.Parameter(torch.ones(1)))
    assert ends(module) == set()
    assert classes(module) == ["SCALED"]
    module = block(lambda m, x: m.alpha * m.f(x) + m.alpha * m.g(x), alpha=one)
    assert classes(module) == ["PRODUCTS"]


def test_what_takes_no_layers_to_come_from_a_value_hides_no_add() -> None:
    assert classes(block(lambda m, x: m.f(x - x.mean(-1, keepdim=True)))) == []
    assert classes(block(lambda m, x: x.size(0) - 1 + m.f(x))) == []


NO_BRANCH = {
    "sizes": lambda m, x: m.f(x).view(x.size(0) + x.size(1) - 2, -1),
    "lists": lambda m, x: torch.cat([m.f(x), *[m.g(x)]]),
    "a number": lambda m, x: m.f(x) + 1,
    "like": lambda m, x: m.f(x) + torch.ones_like(x),
    "made of a shape": lambda m, x: m.f(x) + torch.arange(x.shape[-1], device=x.device),
    "new": lambda m, x: m.f(x) + x.new_zeros(x.shape),
    "noise": lambda m, x: m.f(x) + torch.randn_like(x) * 0.1,
}


@pytest.mark.parametrize("spelling", NO_BRANCH)
def test_sizes_lists_and_what_has_only_a_shape_are_no_operands(spelling: str) -> None:
    assert classes(block(NO_BRANCH[spelling])) == []


WITHOUT_LAYER = {
    "a mean": lambda m, x: m.f(x + x.mean(1, keepdim=True)),
    "GELU written out": lambda m, x: m.f(0.5 * x * (1 + torch.tanh(x + 0.044715 * x.pow(3)))),
    "a layer before the fork": lambda m, x: (lambda y: y + torch.relu(y))(m.f(x)),
}


@pytest.mark.parametrize("spelling", WITHOUT_LAYER)
def test_where_no_layer_stands_between_there_is_no_branch(spelling: str) -> None:
    assert ends(block(WITHOUT_LAYER[spelling])) == set()
    assert classes(block(WITHOUT_LAYER[spelling])) == ["NO_LAYER"]


ABOVE = {
    "a norm alone": lambda m, x: (lambda y: m.h(y + m.norm(y)))(m.f(x)),
    "a scale of 1 alone": lambda m, x: (lambda y: m.h(y + m.one * y))(m.f(x)),
    "beside another branch": lambda m, x: (lambda y: m.h(y + m.norm(y) + m.g(y)))(m.f(x)),
}


@pytest.mark.parametrize("spelling", ABOVE)
def test_what_lies_above_the_fork_is_no_part_of_a_branch(spelling: str) -> None:
    module = block(ABOVE[spelling], norm=nn.LayerNorm(8), one=nn.Parameter(torch.ones(8)))
    for residual in ("end", "layer"):
        structure = find_structure(module, residual)
        assert closed(structure) <= {"norm.weight", "g.weight"}
        if "norm.weight" not in closed(structure):
            assert left_open(structure) == ["it has no weight layer"]


TUPLES = {
    "a tuple and the rest": lambda m, x: operator.add((m.g(m.f(x)),), m.attn(x, x, x)[1:]),
    "the rest and a tuple": lambda m, x: operator.add(m.attn(x, x, x)[1:], (m.g(m.f(x)),)),
    "two rests": lambda m, x: m.attn(x, x, x)[1:] + m.attn(m.f(x), x, x)[1:],
}


@pytest.mark.parametrize("spelling", TUPLES)
def test_tuples_that_are_put_together_are_no_sums(spelling: str) -> None:
    """transformers' way to return more than one result."""
    module = block(TUPLES[spelling], attn=nn.MultiheadAttention(8, 2, batch_first=True))
    assert ends(module) == set()
    assert classes(module) == []


EQUAL = {
    "two layers": lambda m, x: m.f(x) + m.g(x),
    "two pools": lambda m, x: m.f(x.mean(1)) + m.f(x.amax(1)),
    "as long": lambda m, x: m.g(m.f(x)) + m.f(m.h(x)),
}


@pytest.mark.parametrize("spelling", EQUAL)
def test_ways_of_equal_length_are_not_residual(spelling: str) -> None:
    module = block(EQUAL[spelling])
    assert ends(module) == set()
    assert classes(module) == ["EQUAL"]


def test_two_long_ways_are_not_residual_a_shortcut_has_one_layer_at_most() -> None:
    module = block(lambda m, x: m.h(m.g(m.f(x))) + m.g(m.h(x)))
    assert ends(module) == set()
    assert classes(module) == ["TWO_BRANCHES"]


def test_attention_is_as_long_as_its_two_projections() -> None:
    attn = nn.MultiheadAttention(8, 2, batch_first=True)
    module = block(lambda m, x: m.attn(x, x, x)[0] + m.g(torch.tanh(m.f(x))), attn=attn)
    assert classes(module) == ["EQUAL"]


LAYERS_AS_FUNCTIONS = {
    "linear of a layer's weight": lambda m, x: x + functional.linear(x, m.f.weight, m.f.bias),
    "forward": lambda m, x: x + m.f.forward(x),
    "matmul": lambda m, x: x + x @ m.f.weight.t(),
    "einsum": lambda m, x: x + torch.einsum("btc,dc->btd", x, m.f.weight),
}


@pytest.mark.parametrize("spelling", LAYERS_AS_FUNCTIONS)
def test_a_layer_written_as_a_function_is_that_layer(spelling: str) -> None:
    module = block(LAYERS_AS_FUNCTIONS[spelling])
    assert ends(module) == {"f.weight"}
    assert begins_as_identity(module, tokens())


def test_a_parameter_applied_as_a_layer_ends_a_branch_like_one() -> None:
    module = block(lambda m, x: x + torch.relu(x @ m.w1) @ m.w2)
    module.w1, module.w2 = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8, 8))
    assert ends(module) == {"w2"}
    module = block(lambda m, x: x + functional.conv1d(x, m.w1, padding=1))
    module.w1 = nn.Parameter(torch.randn(5, 5, 3))
    assert ends(module) == {"w1"}


def test_norms_as_functions_end_a_branch_if_they_are_given_a_scale() -> None:
    module = block(lambda m, x: x + functional.layer_norm(m.f(x), (8,), m.n.weight, m.n.bias))
    module.n = nn.LayerNorm(8)
    assert ends(module) == {"n.weight"}
    module = block(lambda m, x: x + functional.rms_norm(m.f(x), (8,), weight=m.scale))
    module.scale = nn.Parameter(torch.ones(8))
    assert ends(module) == {"scale"}
    module = block(lambda m, x: x + functional.normalize(m.f(x), dim=-1))
    assert obstacles(module) == ["normalize ends it and has no scale"]


OPEN = {
    "a shift": (
        lambda m, x: x + torch.relu(m.f(x)).sub(m.g(x)),
        "it ends in a difference",
    ),
    "a choice": (
        lambda m, x: x + torch.where(x > 0, m.f(x), m.g(x)),
        "it ends in where",
    ),
    "a square": (
        lambda m, x: x + (lambda y: y * y)(m.f(x)),
        "a square stands before the add and is dead at 0",
    ),
    "a fill": (
        lambda m, x: x + m.f(x).masked_fill(x > 1e9, 1.0),
        "it ends in masked_fill",
    ),
    "a reciprocal": (lambda m, x: x + 1 / m.f(x), "it ends in a quotient"),
}


@pytest.mark.parametrize("spelling", OPEN)
def test_a_branch_that_ends_in_what_is_not_known_is_left_open_by_name(spelling: str) -> None:
    forward, obstacle = OPEN[spelling]
    assert obstacles(block(forward)) == [obstacle]


def test_an_lstm_in_a_branch_leaves_it_open() -> None:
    lstm = nn.LSTM(8, 8, batch_first=True)
    module = block(lambda m, x: x + m.lstm(x)[0], lstm=lstm)
    assert obstacles(module) == ["it ends in lstm (LSTM)"]
    assert ends(block(lambda m, x: x + m.f(m.lstm(x)[0]), lstm=lstm)) == {"f.weight"}


def test_a_layer_that_is_no_submodule_cannot_be_zeroed() -> None:
    hidden = [nn.Linear(8, 8)]
    module = block(lambda m, x: x + hidden[0](x))
    [obstacle] = obstacles(module)
    assert obstacle.endswith("(Linear) ends it and is registered nowhere")


def test_softsign_and_swish_written_out_are_products_that_live_at_0() -> None:
    assert ends(block(lambda m, x: x + (lambda y: y / (1 + y.abs()))(m.f(x)))) == {"f.weight"}
    assert ends(block(lambda m, x: x + (lambda y: y * torch.sigmoid(y))(m.f(x)))) == {"f.weight"}
    assert ends(block(lambda m, x: x + (lambda y: y * functional.relu6(y + 3) / 6)(m.f(x)))) == {
        "f.weight"
    }

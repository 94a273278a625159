"""What a record of a run holds: each step once, and each value as what it is by then."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import Written
from zeroinit_cli.models.nodes import Record
from zeroinit_cli.models.record import record


def recorded(forward: Callable[..., Any], *args: Any, **modules: Any) -> Record:
    module = Written(forward, **modules)
    return record(module, args, {}, tensors={})


def steps(found: Record) -> list[str]:
    """Each function and module with the labels of what it takes."""
    return [
        f"{node.label} {' '.join(each.label for each in node.all_input_nodes)}".strip()
        for node in found.nodes
    ]


X = torch.ones(2, 4)


def test_composite_functions_are_one_step() -> None:
    found = recorded(lambda m, x: functional.layer_norm(torch.relu(x), (4,)), X)
    assert steps(found) == ["x", "relu x", "layer_norm relu", "output layer_norm"]


def test_what_is_passed_over_is_one_step_whatever_happens_inside() -> None:
    module = Written(lambda m, x: m.f(x) + 1, f=nn.Linear(4, 4))
    passed_over = frozenset({module.get_submodule("f")})
    found = record(module, (X,), {}, tensors={}, passed_over=passed_over)
    assert steps(found) == ["x", "f x", "add f", "output add"]
    assert set(found.modules) == {"", "f"}


def test_reversed_operators_have_their_operands_in_order() -> None:
    found = recorded(lambda m, x: (1 - x, 1 / x, 2**x), X)
    assert [(node.target, node.args[0]) for node in found.nodes[1:4]] == [
        ("sub", 1),
        ("truediv", 1),
        ("pow", 2),
    ]


def _in_place(m: Any, x: Any) -> Any:
    y = x.clone()
    y += 1
    return y * 2


def _into_a_view(m: Any, x: Any) -> Any:
    y = x.clone()
    y[:, :2].mul_(3)
    return y * 2


def _by_index(m: Any, x: Any) -> Any:
    y = x.clone()
    y[0] = 1
    return y * 2


def _by_a_module(m: Any, x: Any) -> Any:
    y = x.clone()
    m.relu(y)
    return y * 2


@pytest.mark.parametrize(
    ("forward", "read"),
    [(_in_place, "add"), (_into_a_view, "setitem"), (_by_index, "setitem"), (_by_a_module, "relu")],
)
def test_what_is_written_into_is_read_as_what_it_then_is(forward: Any, read: str) -> None:
    found = recorded(forward, X, relu=nn.ReLU(inplace=True))
    product = next(node for node in found.nodes if node.target == "mul")
    assert [each.label for each in product.all_input_nodes] == [read]


def test_a_value_that_is_gone_is_not_taken_for_a_later_one() -> None:
    def forward(m: Any, x: Any) -> Any:
        for _ in range(50):
            x.clone()  # freed at once: its memory, and its id, are there to be given again
        return x.sin() + x.cos()

    assert steps(recorded(forward, X))[-2:] == ["add sin cos", "output add"]


def test_parts_of_a_result_are_picked_by_their_keys() -> None:
    found = recorded(lambda m, x: x.max(1)[0] + x.unbind(1)[2], X)
    picks = [node.args[1] for node in found.nodes if node.target == "getitem"]
    assert picks == [0, 1, 0, 1, 2, 3]


def test_a_run_that_fails_is_kept_up_to_there_with_where_it_was() -> None:
    inner = Written(lambda m, x: x.relu().nothing())
    found = recorded(lambda m, x: m.inner(x.sin()), X, inner=inner)
    assert steps(found) == ["x", "sin x", "relu sin"]
    assert found.failed[0] is inner
    assert len(found.failed) == 2
    assert isinstance(found.error, AttributeError)
    assert not nn.modules.module._global_forward_hooks


def test_other_threads_are_not_recorded() -> None:
    layer, given = nn.Linear(4, 4), torch.zeros(1, 4)

    def forward(m: Any, x: Any) -> Any:
        thread = threading.Thread(target=layer, args=(given,))
        thread.start()
        thread.join()
        return x + 1

    assert steps(recorded(forward, X)) == ["x", "add x", "output add"]

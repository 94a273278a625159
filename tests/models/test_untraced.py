"""A forward that no graph can hold: what is said of it, and what is still known around it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.models.closings import (
    Around,
    closed,
    left_open,
)
from tests.models.forwards import block, untraced
from zeroinit_cli.models.structure import find_structure


def _branches_on_data(m: Any, x: Any) -> Any:
    if x.numpy().sum() > 0:  # what torch does not see, no stand-in answers
        return x + m.f(x)
    return x + m.g(x)


def _loops_while(m: Any, x: Any) -> Any:
    while np.linalg.norm(x.numpy()) > 1:
        x = x + m.f(x)
    return x


@pytest.mark.parametrize("forward", [_branches_on_data, _loops_while])
def test_a_forward_that_depends_on_its_data_is_named_and_nothing_in_it_guessed(
    forward: Callable[..., Any],
) -> None:
    structure = find_structure(block(forward), "end")
    assert [(each.path, each.module_type) for each in structure.untraced] == [("", "Written")]
    assert structure.adds == ()
    assert closed(structure) == set()


def test_what_torch_is_asked_is_answered_by_a_stand_in_and_the_run_goes_on() -> None:
    def forward(m: Any, x: Any) -> Any:
        if x.sum() > 0 or bool((x != x).any()):
            return x
        rows = x[x > 0].view(2, 5, 8)[:, x.argmax().item() :]
        return rows + m.f(rows)

    structure = find_structure(block(forward), "end")
    assert structure.untraced == ()
    assert closed(structure) == {"f.weight"}


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


def test_a_net_shared_by_two_parts_is_looked_at_once() -> None:
    inner = Around(nn.Linear(8, 8))
    whole = block(_branches_on_data, one=inner, other=nn.Sequential(inner))
    structure = find_structure(whole, "end")
    assert closed(structure) == {"one.branch.0.weight"}

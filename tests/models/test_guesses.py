"""What a module takes, guessed from its layers, or given."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.models.closings import Around, Written, ends
from tests.models.forwards import untraced
from tests.models.test_planning import plan_of
from zeroinit_cli.errors import UsageError
from zeroinit_cli.models.given import plan_given
from zeroinit_cli.models.inputs import example_given
from zeroinit_cli.options import Options


def test_an_example_is_a_tensor_a_tuple_of_arguments_or_a_dict_of_keywords() -> None:
    x = torch.zeros(2)
    assert example_given(None) is None
    for given, args, kwargs in (
        (x, (x,), {}),
        ((x, 1), (x, 1), {}),
        ([x], (x,), {}),
        ({"x": x}, (), {"x": x}),
    ):
        example = example_given(given)
        assert example is not None
        assert (example.args, dict(example.kwargs)) == (args, kwargs)
    with pytest.raises(UsageError, match="no inputs of a forward"):
        example_given(3)


def _needs_a_dict(m: Any, batch: Any) -> Any:
    x = batch["x"]
    return x + m.f(x)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_cannot_be_guessed_is_named_and_can_be_given(device: str) -> None:
    def build() -> nn.Module:
        return Written(_needs_a_dict, f=nn.Linear(8, 8))

    assert untraced(build()) == [""]
    assert "untraced" in {warning.kind for warning in plan_of(build).warnings}
    inputs = ({"x": torch.zeros(2, 8, device=device)},)
    plan = plan_given(build, Options(), inputs)
    assert "untraced" not in {warning.kind for warning in plan.warnings}
    assert ends(build(), inputs=inputs) == {"f.weight"}


@pytest.mark.parametrize("size", [(2, 5), (3, 9), (1, 1)])
def test_the_structure_does_not_depend_on_the_size_of_the_example(size: tuple[int, int]) -> None:
    module = nn.Sequential(nn.Embedding(9, 8), Around(nn.Linear(8, 8)), nn.LayerNorm(8))
    assert ends(module, inputs=(torch.zeros(size, dtype=torch.long),)) == {"1.branch.0.weight"}


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), Around(nn.Conv1d(8, 8, 1))),
        nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), Around(nn.Conv3d(8, 8, 1))),
        nn.Sequential(nn.Embedding(9, 8), Around(nn.Linear(8, 8))),
        nn.Sequential(nn.BatchNorm1d(6), Around(nn.Linear(6, 6))),
        nn.Sequential(nn.Linear(6, 8).double(), Around(nn.Linear(8, 8).double())),
        nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1352, 8), Around(nn.Linear(8, 8))
        ),
    ],
)
def test_the_first_layer_says_what_a_module_takes(module: nn.Module) -> None:
    assert len(ends(module)) == 1

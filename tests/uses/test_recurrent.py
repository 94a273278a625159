"""Recurrent layers, as torch computes them, by their gates; however they are called."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.uses.started import noise, planned, rules, started, without_gradient

X = noise(2, 5, 8)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: nn.LSTM(8, 6),
    "LSTM both ways": lambda: nn.LSTM(8, 6, bidirectional=True),
    "LSTM with a projection": lambda: nn.LSTM(8, 6, 2, proj_size=3),
    "LSTM without biases": lambda: nn.LSTM(8, 6, bias=False, batch_first=True),
    "GRU": lambda: nn.GRU(8, 6, 2, dropout=0.1),
    "RNN": lambda: nn.RNN(8, 6),
    "RNN of relu": lambda: nn.RNN(8, 6, nonlinearity="relu", bidirectional=True),
}
CELLS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "LSTMCell": (lambda: nn.LSTMCell(8, 6), 4),
    "GRUCell": (lambda: nn.GRUCell(8, 6), 3),
    "RNNCell": (lambda: nn.RNNCell(8, 6), 1),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", LAYERS)
def test_every_parameter_of_a_recurrent_layer_has_a_rule_and_learns(name: str) -> None:
    build = LAYERS[name]
    assert {each.reason for each in planned(build, X).tensors} <= {
        f"{type(build()).__name__}: {what}"
        for what in (
            "Algorithm 1 in each gate",
            "the state, twisted",
            "Algorithm 1 in each gate of the state",
            "Algorithm 1",
            "bias 0",
        )
    }
    module: Any = started(build, X)
    states = module(X)[0]
    assert states.isfinite().all()
    (states * noise(*states.shape)).sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_is_called_step_by_step_begins_as_its_layer(name: str) -> None:
    """Weights of both are the same, whether torch or a loop goes along the sequence."""

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell: Any = CELLS[name][0]()

        def forward(self, x: Tensor) -> Tensor:
            state: Any = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            last: Tensor = state[0] if isinstance(state, tuple) else state
            return last

    layer = rules(LAYERS[name.removesuffix("Cell")], X)
    found = rules(Loop, X)
    for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        assert found[f"cell.{key}"] == layer[f"{key}_l0"]
    assert not without_gradient(started(Loop, X), X) - {"cell.bias_hh"}


@pytest.mark.parametrize("name", CELLS)
def test_gates_lie_one_behind_the_other(name: str) -> None:
    build, gates = CELLS[name]
    module: Any = started(build, noise(2, 8))
    for weight in (module.weight_ih, module.weight_hh):
        first, *others = weight.chunk(gates)
        for other in others:
            assert torch.equal(first, other)
    assert torch.equal(module.weight_ih[:6], torch.eye(6, 8))
    assert len(module.weight_hh[:6].unique(dim=0)) == 6


def test_inputs_are_seen_wherever_the_state_is_given() -> None:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader, self.start = nn.LSTM(8, 6, batch_first=True), nn.Linear(8, 6)

        def forward(self, x: Tensor) -> Any:
            first = self.start(x.mean(1))[None]
            return self.reader(x, (first, torch.zeros_like(first)))[0]

    found = rules(Given, X)
    alone = rules(lambda: nn.LSTM(8, 6, batch_first=True), X)
    assert {key: found[f"reader.{key}"] for key in alone} == alone

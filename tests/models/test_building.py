"""Modules are built without their large weights, and without a trace in the process."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit_cli.models.building import build
from zeroinit_cli.models.provenance import transcendental_names


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight


def test_weights_move_to_meta_and_the_rest_stays_real() -> None:
    module = build(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), seed=0)
    metas = {name for name, tensor in module.state_dict().items() if tensor.is_meta}
    assert metas == {"0.weight"}


def test_ties_survive_the_move() -> None:
    module = build(Tied, seed=0)
    assert isinstance(module, Tied)
    assert module.head.weight is module.embed.weight
    assert module.head.weight.is_meta


def test_a_constructor_that_reads_what_a_forward_pass_gave_is_built_with_real_weights() -> None:
    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)
            nn.init.ones_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)
            self.out = self.layer(torch.ones(1, 3)).tolist()

    module = build(Peeking, seed=0)
    assert isinstance(module, Peeking)
    assert module.out == [[3.0] * 4]
    assert not any(tensor.is_meta for tensor in module.state_dict().values())


def test_a_constructor_that_writes_what_weights_give_is_built_with_real_weights() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)
            nn.init.ones_(self.layer.weight)
            self.register_buffer("total", torch.zeros(3))
            self.get_buffer("total").copy_(self.layer.weight.detach().sum(0))

    assert build(Written, seed=0).state_dict()["total"].tolist() == [4.0] * 3


def test_a_constructor_that_asks_only_for_shapes_keeps_its_weights_on_meta() -> None:
    class Measuring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval()
            self.channels = self.body(torch.zeros(1, 3, 9, 9)).shape[1]

    module = build(Measuring, seed=0)
    assert isinstance(module, Measuring)
    assert module.channels == 8
    assert module.state_dict()["body.0.weight"].is_meta


def test_a_buffer_computed_from_a_weight_is_computed_from_a_real_one() -> None:
    class Derived(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)
            self.register_buffer("norm", self.layer.weight.detach().norm())

    module = build(Derived, seed=0)
    assert not module.state_dict()["norm"].is_meta


def test_the_processs_state_is_put_back() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # typed as a dict, too
    register = nn.Module.register_parameter
    torch.set_default_dtype(torch.float64)
    try:
        module = build(lambda: nn.Linear(3, 4), seed=0)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert module.bias.dtype is torch.float32
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]  # typed as a dict, too
    assert random.getstate() == before[2]
    assert nn.Module.register_parameter is register


def test_the_processs_state_is_put_back_after_a_failure() -> None:
    def fail() -> nn.Module:
        raise RuntimeError("no")

    register = nn.Module.register_parameter
    with pytest.raises(RuntimeError, match="no"):
        build(fail, seed=0)
    assert nn.Module.register_parameter is register


def test_values_from_transcendental_functions_are_told_from_others() -> None:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("plain", torch.arange(4) / 3)
            self.register_buffer("root", torch.full((2,), 2.0).sqrt())
            logarithm = torch.log(torch.full((2,), 10.0))
            self.logarithm = nn.Parameter(logarithm)
            self.register_buffer("derived", (logarithm * 2)[:1].clone())
            overwritten = torch.sin(torch.ones(3))
            self.register_buffer("overwritten", overwritten.zero_())

    assert transcendental_names(Scales, seed=0) == {"logarithm", "derived"}

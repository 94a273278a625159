"""Modules are built without their large weights, and without a trace in the process.

What is noted of a value meanwhile: whether it was drawn, is a number, or was never written.
"""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit_cli.models.building import Built, build, build_noted
from zeroinit_cli.models.origins import Origin
from zeroinit_cli.models.placing import LARGE

WIDE = 200  # a square of it is large


class One(nn.Module):
    """A parameter that a function makes of two sizes."""

    def __init__(self, make: Callable[[int], Any], size: int) -> None:
        super().__init__()
        made = make(size)
        self.w = made if isinstance(made, nn.Parameter) else nn.Parameter(made)


def written(write: Callable[[nn.Parameter], Any]) -> Callable[[int], nn.Parameter]:
    """A parameter that is written when it is there, as constructors do."""

    class Holder(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(size, size))
            with torch.no_grad():
                write(self.w)

    return lambda size: Holder(size).w


def in_two_halves(w: torch.Tensor, first: float, second: float) -> None:
    half = len(w) // 2
    w[:half] = first
    w[half:].fill_(second)


DRAWS: dict[str, Callable[[int], Any]] = {
    "made": lambda n: torch.randn(n, n),
    "scaled": lambda n: torch.rand(n, n) * 0.02 - 0.01,
    "default": lambda n: nn.Linear(n, n).weight,
    "truncated": written(lambda w: nn.init.trunc_normal_(w, std=0.02)),
    "truncated far": written(lambda w: nn.init.trunc_normal_(w, std=1.0, a=1.5, b=3.0)),
    "orthogonal": written(nn.init.orthogonal_),
    "sparse": written(lambda w: nn.init.sparse_(w, 0.5)),
    "copied": written(lambda w: w.copy_(torch.randn(w.shape))),
    "after zeros": written(lambda w: w.zero_().add_(torch.randn(w.shape))),
    "with a padding row": lambda n: nn.Embedding(n, n, padding_idx=1).weight,
    "in pieces": written(lambda w: [w[:3].normal_(), w[3:].uniform_()]),
    "by its data": written(lambda w: setattr(w, "data", torch.randn(w.shape))),
    "in a clone": lambda n: copy.deepcopy(nn.Linear(n, n)).weight,
    "normed": written(lambda w: w.normal_().div_(w.norm())),
    "chosen": written(lambda w: w.copy_(torch.randperm(w.numel()).view(w.shape))),
}

CONSTANTS: dict[str, Callable[[int], Any]] = {
    "zeros": lambda n: torch.zeros(n, n),
    "ones": written(nn.init.ones_),
    "number": written(lambda w: nn.init.constant_(w, 0.25)),
    "drawn before": written(lambda w: w.normal_().fill_(-1.5)),
    "draw without spread": written(lambda w: nn.init.normal_(w, 0.0, 0.0)),
    "draw times 0": written(lambda w: w.normal_().mul_(0)),
    "written, then seen otherwise": written(lambda w: w.fill_(3.0).t_()),
    "shape of a draw": lambda n: torch.zeros_like(torch.randn(n, n)),
}

VALUES: dict[str, Callable[[int], Any]] = {
    "range": lambda n: torch.arange(float(n * n)).view(n, n),
    "copied": written(lambda w: w.copy_(torch.arange(w.numel()).view(w.shape))),
    "identity": written(nn.init.eye_),
    "number, then scaled": written(lambda w: w.fill_(2.0).mul_(0.5)),
    "in halves": written(lambda w: in_two_halves(w, 1.0, 2.0)),
    "by its data": written(lambda w: setattr(w, "data", torch.ones(w.shape).cumsum(0))),
}

SIZES = (3, WIDE)


def origin(make: Callable[[int], Any], size: int) -> tuple[Built, Origin, torch.Tensor]:
    built = build_noted(lambda: One(make, size), seed=0)
    tensor = built.module.get_parameter("w")
    return built, built.origin(tensor), tensor


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", DRAWS)
def test_a_draw_is_noted_and_no_large_one_is_held(how: str, size: int) -> None:
    built, found, tensor = origin(DRAWS[how], size)
    assert found.random
    assert not found.doubtful
    assert not built.has_drawn
    assert tensor.is_meta == (size == WIDE)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", CONSTANTS)
def test_a_number_is_noted_and_not_held(how: str, size: int) -> None:
    expected = One(CONSTANTS[how], 3).w.reshape(-1)[0].item()
    _, found, tensor = origin(CONSTANTS[how], size)
    assert found.value == expected
    assert not found.random
    assert tensor.is_meta == (size == WIDE)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", VALUES)
def test_values_are_there_or_it_is_noted_what_must_be_left_real(how: str, size: int) -> None:
    _, found, tensor = origin(VALUES[how], size)
    assert (found.random, found.unwritten, found.value) == (False, False, None)
    if tensor.is_meta:
        assert found.lost
        again = build_noted(lambda: One(VALUES[how], size), 0, found.lost)
        assert again.real == found.lost
        tensor = again.module.get_parameter("w")
    assert torch.equal(tensor, One(VALUES[how], size).w)


def test_of_a_draw_that_is_written_over_in_pieces_two_builds_must_tell() -> None:
    write = written(lambda w: in_two_halves(w.normal_(), 1.0, 2.0))
    assert origin(write, 3)[1].doubtful
    assert origin(write, WIDE)[1].doubtful
    own = written(lambda w: w.normal_(generator=torch.Generator().manual_seed(3)))
    assert origin(own, 3)[1].doubtful


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("write", "is_unwritten"),
    [
        (lambda w: None, True),
        (lambda w: w.mul_(0.5), True),
        (lambda w: w.copy_(torch.empty(w.shape)), True),
        (lambda w: w[1:].zero_(), True),
        (lambda w: in_two_halves(w, 1.0, 2.0), False),
        (lambda w: w.index_put_((torch.tensor([0]),), torch.ones(w.shape[1])), False),
    ],
)
def test_memory_that_nobody_wrote_is_noted(
    write: Callable[[torch.Tensor], Any], is_unwritten: bool, size: int
) -> None:
    built, _, tensor = origin(written(write), size)
    assert built.origins.is_unwritten(tensor) is is_unwritten


def test_a_slice_of_larger_memory_is_written_when_all_of_it_is() -> None:
    built, _, tensor = origin(lambda n: nn.init.ones_(torch.empty(2 * n, n)[:n]), 3)
    assert not built.origins.is_unwritten(tensor)


def test_what_has_no_plain_memory_is_told_by_two_builds() -> None:
    _, found, _ = origin(lambda n: torch.eye(n).to_sparse().to_dense(), 3)
    assert found.outside
    assert not found.random


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WIDE, WIDE)
        self.head = nn.Linear(WIDE, WIDE, bias=False)
        self.head.weight = self.embed.weight


def test_large_weights_move_to_meta_and_the_rest_stays_real() -> None:
    module = build(lambda: nn.Sequential(nn.Linear(WIDE, WIDE), nn.BatchNorm1d(WIDE)), seed=0)
    metas = {name for name, tensor in module.state_dict().items() if tensor.is_meta}
    assert metas == {"0.weight"}
    assert WIDE * WIDE > LARGE > WIDE


def test_ties_survive_the_move() -> None:
    module = build(Tied, seed=0)
    assert isinstance(module, Tied)
    assert module.head.weight is module.embed.weight
    assert module.head.weight.is_meta


def test_memory_that_two_parameters_share_is_shared_after_the_move() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            memory = torch.empty(2 * WIDE, WIDE)
            self.first = nn.Parameter(memory[:WIDE])
            self.second = nn.Parameter(memory[WIDE:])
            memory.normal_()

    built = build_noted(Shared, seed=0)
    first, second = built.module.parameters()
    assert first.untyped_storage()._cdata == second.untyped_storage()._cdata
    assert second.storage_offset() == WIDE * WIDE
    assert first.is_meta
    assert built.origin(first).random


def test_what_was_set_on_a_parameter_stays_on_it() -> None:
    class Marked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight = nn.Parameter(torch.randn(WIDE, WIDE), requires_grad=False)
            vars(weight)["mark"] = "a"  # as many libraries do
            self.weight = weight

    weight = build(Marked, seed=0).weight
    assert isinstance(weight, nn.Parameter)
    assert weight.is_meta
    assert vars(weight)["mark"] == "a"
    assert not weight.requires_grad


def counted(factory: Callable[[], nn.Module]) -> tuple[Built, int]:
    calls = 0

    def counting() -> nn.Module:
        nonlocal calls
        calls += 1
        return factory()

    return build_noted(counting, seed=0), calls


class Peeking(nn.Module):
    """Reads what a forward pass gave, one layer's weight having no part in it."""

    def __init__(self, read: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.other = nn.Linear(WIDE, WIDE)
        self.layer = nn.Linear(WIDE, WIDE)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.out = read(self.layer(torch.ones(1, WIDE)))


@pytest.mark.parametrize(
    "read",
    [
        torch.Tensor.tolist,
        lambda out: out.detach().numpy().tolist(),
        lambda out: [[each.item() for each in out[0]]],
        lambda out: out[out > 0].view(1, -1).tolist(),
    ],
)
def test_a_constructor_that_reads_a_value_is_built_with_just_that_weight_real(
    read: Callable[[torch.Tensor], Any],
) -> None:
    built, calls = counted(lambda: Peeking(read))
    assert isinstance(built.module, Peeking)
    assert built.module.out == [[float(WIDE)] * WIDE]
    metas = {name for name, tensor in built.module.state_dict().items() if tensor.is_meta}
    assert metas == {"other.weight"}
    assert calls == 2


def test_a_buffer_is_computed_from_real_weights() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(WIDE, WIDE)
            self.layer = nn.Linear(WIDE, WIDE)
            nn.init.ones_(self.layer.weight)
            self.total = nn.Buffer(torch.zeros(WIDE))
            self.total.copy_(self.layer.weight.detach().sum(0))
            self.norm = nn.Buffer(self.layer.weight.detach().norm())

    built, calls = counted(Written)
    state = built.module.state_dict()
    assert state["total"].tolist() == [float(WIDE)] * WIDE
    assert state["norm"].item() == pytest.approx(WIDE)
    assert state["other.weight"].is_meta
    assert calls == 2


def test_a_constructor_that_fails_on_meta_alone_is_built_with_real_weights() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDE, WIDE)
            if self.layer.weight.untyped_storage().device.type != "cpu":
                raise RuntimeError("no")

    built, calls = counted(Picky)
    assert not any(tensor.is_meta for tensor in built.module.state_dict().values())
    assert (built.real, calls) == (None, 2)


def test_a_constructor_that_asks_only_for_shapes_keeps_its_weights_on_meta() -> None:
    class Measuring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64)).eval()
            self.channels = self.body(torch.zeros(1, 64, 9, 9)).shape[1]
            device = self.body.get_parameter("0.weight").device
            self.index = nn.Buffer(torch.arange(3, device=device))

    built, calls = counted(Measuring)
    assert isinstance(built.module, Measuring)
    assert built.module.channels == 64
    assert built.module.state_dict()["body.0.weight"].is_meta
    assert built.module.index.tolist() == [0, 1, 2]
    assert calls == 1


@pytest.mark.parametrize(
    ("draw", "has_drawn"),
    [
        (lambda: random.random(), True),
        (lambda: np.random.rand(), True),
        (lambda: torch.rand(1).item(), True),
        (lambda: torch.rand(1).tolist(), True),
        (lambda: torch.arange(3).tolist(), False),
        (lambda: torch.rand(3).sum(), False),
    ],
)
def test_chance_that_is_not_seen_is_told(draw: Callable[[], object], has_drawn: bool) -> None:
    def factory() -> nn.Module:
        draw()
        return nn.Linear(2, 2)

    assert build_noted(factory, seed=0).has_drawn is has_drawn


def test_the_processs_state_is_put_back() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # typed as a dict, too
    patched = nn.Module.register_parameter, nn.init._no_grad_trunc_normal_
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
    assert (nn.Module.register_parameter, nn.init._no_grad_trunc_normal_) == patched


def test_the_processs_state_is_put_back_after_a_failure() -> None:
    def fail() -> nn.Module:
        raise RuntimeError("no")

    patched = nn.Module.register_parameter, nn.init._no_grad_trunc_normal_
    with pytest.raises(RuntimeError, match="no"):
        build(fail, seed=0)
    assert (nn.Module.register_parameter, nn.init._no_grad_trunc_normal_) == patched


def test_the_default_device_does_not_reach_a_constructor() -> None:
    with torch.device("meta"):
        module = build(lambda: nn.Linear(3, 4), seed=0)
    assert not module.weight.is_meta


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
            self.register_buffer("copied_over", torch.sin(torch.ones(3)).copy_(torch.ones(3)))

    built = build_noted(Scales, seed=0)
    names = {
        name
        for name, tensor in built.module.state_dict().items()
        if built.origin(tensor).transcendental
    }
    assert names == {"logarithm", "derived"}

"""A parameter that a function maps with is a linear map, in whatever layout: it begins as one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zeroinit_cli
from tests.uses.started import Written, noise, planned, rules, started, without_gradient
from zeroinit_cli.plans.layouts import Groups, Split, Transposed, Viewed
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros

NARROW, WIDE = 8, 16
X = noise(2, 5, NARROW)
OUT_IN, IN_OUT = (WIDE, NARROW), (NARROW, WIDE)
Function = Callable[..., Tensor]

ALONE: dict[str, tuple[tuple[int, ...], Function]] = {
    "x @ w": (IN_OUT, lambda w, x: x @ w),
    "x @ w.T": (OUT_IN, lambda w, x: torch.matmul(x, w.T)),
    "w @ x": (OUT_IN, lambda w, x: (w @ x.mT).mT),
    "w.t() @ x": (IN_OUT, lambda w, x: (w.t() @ x.mT).mT),
    "mm": (IN_OUT, lambda w, x: torch.mm(x.flatten(0, 1), w).view(2, 5, -1)),
    "addmm": (
        IN_OUT,
        lambda w, x: torch.addmm(torch.zeros(WIDE), x.flatten(0, 1), w).view(2, 5, -1),
    ),
    "F.linear": (OUT_IN, lambda w, x: functional.linear(x, w)),
    "F.linear of w.t()": (IN_OUT, lambda w, x: functional.linear(x, w.t())),
    "F.linear of a squeezed kernel": (
        (WIDE, NARROW, 1),
        lambda w, x: functional.linear(x, w.squeeze(-1)),
    ),
    "F.linear of w in another type": (
        OUT_IN,
        lambda w, x: functional.linear(x.double(), w.to(torch.float64)).float(),
    ),
    "einsum": (OUT_IN, lambda w, x: torch.einsum("bti,oi->bto", x, w)),
    "einsum of letters that say less": (IN_OUT, lambda w, x: torch.einsum("abi,io", x, w)),
    "einsum, other letters": (IN_OUT, lambda w, x: torch.einsum("n d, a c n -> a c d", w, x)),
    "conv1d": ((WIDE, NARROW, 1), lambda w, x: functional.conv1d(x.mT, w).mT),
    "tensordot of the last": (IN_OUT, lambda w, x: torch.tensordot(x, w, 1)),
    "tensordot by dimensions": (OUT_IN, lambda w, x: torch.tensordot(x, w, dims=([2], [1]))),
    "tensordot, weight first": (
        IN_OUT,
        lambda w, x: torch.tensordot(w, x, ([0], [-1])).permute(1, 2, 0),
    ),
    "(1, in, out)": ((1, *IN_OUT), lambda w, x: x @ w),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_bare_matrix_begins_as_the_layer_of_its_sizes(name: str) -> None:
    shape, function = ALONE[name]
    layer = zeroinit_cli.init_(nn.Linear(NARROW, WIDE, bias=False))
    torch.testing.assert_close(started(partial(Written, function, w=shape), X)(X), layer(X))


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((NARROW,), lambda w, x: x @ w),
        ((NARROW,), lambda w, x: torch.matmul(x, w)[..., None]),
        ((NARROW,), lambda w, x: x[0].mv(w)),
        ((NARROW, 1), lambda w, x: x @ w),
        ((WIDE, NARROW), lambda w, x: torch.mv(w, x[0, 0])),
    ],
)
def test_a_product_with_a_vector_begins_as_a_layer_of_one_number(
    shape: tuple[int, ...], function: Function
) -> None:
    build = partial(Written, function, w=shape)
    [weight] = started(build, X).parameters()
    rows = WIDE if shape[0] == WIDE else 1
    layer: Any = zeroinit_cli.init_(nn.Linear(NARROW, rows, bias=False))
    assert torch.equal(weight.reshape(rows, NARROW), layer.weight)
    assert not without_gradient(started(build, X), X)


def test_a_net_of_bare_parameters_is_planned_like_one_of_layers() -> None:
    """As people write their first nets: every weight (fan_in, fan_out)."""

    def function(w: Tensor, b: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return (x @ w + b).relu() @ v

    build = partial(Written, function, w=(NARROW, WIDE), b=(WIDE,), v=(WIDE, 3))
    assert rules(build, X) == {
        "b": Zeros(),
        "v": Transposed(of=Identity()),
        "w": Transposed(of=Twisted(block=8, prime=19, half_exponent=-4)),
    }
    assert not without_gradient(started(build, X), X)


class Foreign(nn.Module):
    """A layer of another library, which is no torch.nn.Linear, as of PyTorch Geometric."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(fan_out, fan_in) - 0.5)
        self.bias = nn.Parameter(torch.rand(fan_out) - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


def test_another_librarys_layers_begin_as_torchs() -> None:
    foreign = started(lambda: nn.Sequential(Foreign(8, 16), nn.ReLU(), Foreign(16, 4)), X)
    own = started(lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), X)
    for (name, one), other in zip(foreign.named_parameters(), own.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_another_librarys_layer_that_no_run_reaches_is_like_those_that_it_does() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = Foreign(8, 16), Foreign(8, 24)

        def forward(self, x: Tensor) -> Any:
            return self.used(x)

    assert rules(Spare, X)["spare.weight"] == Twisted(block=8, prime=31, half_exponent=-5)


EXPERTS = 3
STACKS: dict[str, tuple[tuple[int, ...], Function]] = {
    "bmm": ((EXPERTS, *IN_OUT), lambda w, x: torch.bmm(x.flatten(0, 1).expand(3, -1, -1), w)),
    "bmm, weight first": (
        (EXPERTS, *OUT_IN),
        lambda w, x: torch.bmm(w, x.flatten(0, 1).T.expand(3, -1, -1)).mT,
    ),
    "einsum of all": ((EXPERTS, *IN_OUT), lambda w, x: torch.einsum("bti,eio->ebto", x, w)),
    "einsum of each its own": (
        (EXPERTS, *OUT_IN),
        lambda w, x: torch.einsum("ebti,eoi->ebto", x.expand(3, -1, -1, -1), w),
    ),
    "matmul": ((EXPERTS, *IN_OUT), lambda w, x: x.flatten(0, 1) @ w),
    "one by one": ((EXPERTS, *OUT_IN), lambda w, x: torch.stack([x @ w[e].T for e in range(3)])),
    "F.linear one by one": (
        (EXPERTS, *OUT_IN),
        lambda w, x: torch.stack([functional.linear(x, each) for each in w.unbind()]),
    ),
    "grouped": (
        (EXPERTS, *IN_OUT),
        lambda w, x: torch._grouped_mm(
            x.flatten(0, 1).bfloat16().repeat(3, 1),
            w.bfloat16(),
            offs=torch.tensor([10, 20, 30], dtype=torch.int32),
        ).float(),
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_each_map_of_a_stack_begins_as_one_alone(name: str) -> None:
    if name == "grouped" and not hasattr(torch, "_grouped_mm"):
        pytest.skip("torch has no product of groups before 2.8")
    shape, function = STACKS[name]
    [rule] = rules(partial(Written, function, w=shape), X).values()
    alone = Twisted(block=8, prime=19, half_exponent=-4)
    stored = alone if shape[1:] == OUT_IN else Transposed(of=alone)
    assert rule == Viewed(rows=EXPERTS * shape[1], of=Groups(count=EXPERTS, of=stored))
    if name != "grouped":  # which torch computes on few machines
        layer = zeroinit_cli.init_(nn.Linear(NARROW, WIDE, bias=False))
        given = started(partial(Written, function, w=shape), X)(X).reshape(EXPERTS, 10, WIDE)
        for each in given:
            torch.testing.assert_close(each, layer(X).flatten(0, 1))


def test_biases_of_a_stack_are_no_positions() -> None:
    def function(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return torch.einsum("bti,eio->ebto", x, w) + b[:, None, None]

    found = rules(partial(Written, function, w=(EXPERTS, 8, 16), b=(EXPERTS, 16)), X)
    assert found["b"] == Zeros()


GATED: dict[str, tuple[tuple[int, ...], Function]] = {
    "glu": (OUT_IN, lambda w, x: functional.glu(functional.linear(x, w))),
    "chunk": (OUT_IN, lambda w, x: torch.mul(*functional.linear(x, w).chunk(2, -1))),
    "split": (OUT_IN, lambda w, x: torch.mul(*functional.linear(x, w).split(8, -1))),
    "slices": (OUT_IN, lambda w, x: (lambda y: y[..., :8] * y[:, :, 8:])(functional.linear(x, w))),
    "narrow": (
        OUT_IN,
        lambda w, x: (lambda y: y.narrow(-1, 0, 8) * y.narrow(-1, 8, 8))(functional.linear(x, w)),
    ),
    "chunk of x @ w": (IN_OUT, lambda w, x: torch.mul(*(x @ w).chunk(2, dim=-1))),
    "chunk of an einsum": (
        OUT_IN,
        lambda w, x: torch.mul(*torch.einsum("bti,oi->bto", x, w).chunk(2, -1)),
    ),
}


@pytest.mark.parametrize("name", GATED)
def test_of_a_gated_layer_each_half_begins_as_one_alone(name: str) -> None:
    shape, function = GATED[name]
    [rule] = rules(partial(Written, function, w=shape), X).values()
    halves = Split(parts=((NARROW, Identity()),) * 2)
    assert rule == (halves if shape == OUT_IN else Transposed(of=halves))


@pytest.mark.parametrize(
    "function",
    [
        lambda w, x: (lambda y: y[..., ::2] * y[..., 1::2])(functional.linear(x, w)),
        lambda w, x: (lambda y: y[..., :8] * y[..., 4:12])(functional.linear(x, w)),
        lambda w, x: (lambda y: y[..., :8] + y.sum())(functional.linear(x, w)),
        lambda w, x: (lambda y: y[:, :2] * y[:, 2:4])(functional.linear(x, w)),
    ],
)
def test_what_takes_no_runs_of_outputs_takes_no_parts(function: Function) -> None:
    assert rules(partial(Written, function, w=OUT_IN), X) == {
        "w": Twisted(block=8, prime=19, half_exponent=-4)
    }


@pytest.mark.parametrize("transposed", [False, True])
def test_so_it_does_in_a_stack(transposed: bool) -> None:
    letters = "eio" if transposed else "eoi"

    def function(w: Tensor, x: Tensor) -> Tensor:
        return torch.mul(*torch.einsum(f"ebti,{letters}->ebto", x, w).chunk(2, -1))

    shape = (EXPERTS, *(IN_OUT if transposed else OUT_IN))
    [rule] = rules(partial(Written, function, w=shape), X.expand(3, -1, -1, -1)).values()
    halves = Split(parts=((NARROW, Identity()),) * 2)
    inside = Transposed(of=halves) if transposed else halves
    assert rule == Viewed(rows=EXPERTS * shape[1], of=Groups(count=EXPERTS, of=inside))


def test_a_bare_kernel_is_ruled_as_its_convolution_moves() -> None:
    def function(w: Tensor, x: Tensor) -> Tensor:
        return functional.conv2d(x, w, stride=4)

    image, shape = noise(2, 3, 8, 8), (48, 3, 4, 4)
    bare = planned(partial(Written, function, w=shape), image)
    layer = planned(lambda: nn.Conv2d(3, 48, 4, stride=4, bias=False), image)
    assert [each.rule for each in bare.tensors] == [each.rule for each in layer.tensors]

    def grouped(w: Tensor, x: Tensor) -> Tensor:
        return functional.conv2d(x, w, None, 1, 1, 1, 4)

    maps = noise(2, 8, 6, 6)
    bare = planned(partial(Written, grouped, w=(8, 2, 3, 3)), maps)
    layer = planned(lambda: nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False), maps)
    assert [each.rule for each in bare.tensors] == [each.rule for each in layer.tensors]


@pytest.mark.parametrize("bias", [True, False])
def test_a_bilinear_layer_and_its_function_begin_alike(bias: bool) -> None:
    layer = started(lambda: nn.Bilinear(4, 3, 6, bias=bias), noise(2, 4), noise(2, 3))
    written = started(
        partial(Written, lambda w, x, y: functional.bilinear(x, y, w), w=(6, 4, 3)),
        noise(2, 4),
        noise(2, 3),
    )
    pairs = noise(2, 4), noise(2, 3)
    assert torch.equal(layer(*pairs), written(*pairs))
    assert torch.equal(layer(*pairs), torch.einsum("bi,bj->bij", *pairs).flatten(1)[:, :6])

"""Each warning of a plan: a module that must bring it about, one that must not, and its words."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.closings import Around, Written
from tests.models.warned import texts, warnings_of


def test_open_branches_are_warned_of_with_the_reason_and_what_mends_it() -> None:
    kind = "open-branch"
    relu = "branch.1 (ReLU) stands before the add and is dead at 0"

    def dead() -> nn.Module:
        return nn.Sequential(*(Around(nn.Linear(8, 8), nn.ReLU()) for _ in range(6)))

    assert texts(dead, kind) == [
        (f"6 residual branches are left open, in 0, 1, 2, 3 and 2 more: {relu}", None)
    ]

    def scaleless() -> nn.Module:
        return nn.Sequential(Around(nn.Linear(8, 8), nn.BatchNorm1d(8, affine=False)))

    assert texts(scaleless, kind) == [
        (
            "1 residual branch is left open, in 0: branch.1 (BatchNorm1d) ends it and has no scale",
            None,
        )
    ]
    assert texts(scaleless, "zero-before-norm", residual="layer") != []

    def unknown() -> nn.Module:
        return Around(nn.Linear(8, 8), nn.Softmax(-1))

    assert texts(unknown, kind) == [
        (
            "1 residual branch is left open, in the model: it ends in branch.1 (Softmax)",
            None,
        )
    ]
    assert texts(lambda: Around(nn.Linear(8, 8)), kind) == []


def test_residual_none_is_warned_of_where_there_are_branches() -> None:
    def net() -> nn.Module:
        return nn.Sequential(*(Around(nn.Linear(8, 8)) for _ in range(3)))

    assert texts(net, "residual-none", residual="none") == [
        (
            "3 residual branches are left open by the policy: activations double in each, "
            "and overflow near 128 of them",
            "--policy default closes them",
        )
    ]
    assert texts(net, "residual-none") == []
    assert texts(lambda: nn.Linear(8, 8), "residual-none", residual="none") == []
    layer = partial(nn.TransformerEncoderLayer, 8, 2, 8)
    assert "residual-none" in warnings_of(layer, residual="none")


def test_activations_double_in_each_open_block() -> None:
    """What the warning says: 2^blocks, and not finite behind 128 of them."""
    net = nn.Sequential(*(Around(nn.Linear(2, 2, bias=False)) for _ in range(128)))
    for parameter in net.parameters():
        nn.init.eye_(parameter)
    ones = torch.ones(1, 2)
    assert net[:100](ones).tolist() == [[2.0**100] * 2]
    assert net(ones).isinf().all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "holes"),
    [(2, 2, 0, False), (4, 2, 1, False), (3, 2, 1, False), (3, 2, 2, True), (2, 3, 0, True)],
)
def test_holes_are_warned_of_where_outputs_stay_0(
    kernel: int, stride: int, padding: int, holes: bool
) -> None:
    """Whether there are any is asked of torch, with the weight that the rule gives."""

    def net() -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(4, 4, kernel, stride, padding, output_padding=stride - 1)

    expected = [
        (
            "transposed convolutions leave some outputs at 0, since fewer taps than their stride "
            "are left of the kernel: weight",
            "a kernel of at least stride + padding has no holes",
        )
    ]
    assert texts(net, "holes") == (expected if holes else [])
    if kernel >= stride + padding:
        assert not holes


def test_parts_that_could_not_be_traced_are_warned_of() -> None:
    def forward(m: Any, x: Any) -> Any:
        return x + m.f(x) if x.numpy().sum() > 0 else x

    def net() -> nn.Module:
        return nn.Sequential(Written(forward, f=nn.Linear(8, 8)))

    found = warnings_of(net)
    assert list(found) == ["guessed-inputs", "untraced", "not-reached"]
    [[guess], [untraced], [unreached]] = found.values()
    assert (untraced.text, untraced.hint, untraced.tensors) == (
        "the forward of 0 (Written) could not be traced: what it adds itself, or looks up by "
        "position, is not known; what it calls was looked at part by part",
        "--override '0.f.weight=zeros' closes a branch if that is its last weight",
        ("0.f.bias", "0.f.weight"),
    )
    assert (unreached.text, unreached.hint, unreached.tensors) == (
        "2 tensors were not reached by the forward: 0.f.weight, 0.f.bias; their rules go by "
        "the types of their layers",
        "example_inputs=... that lead to them",
        ("0.f.bias", "0.f.weight"),
    )
    assert (guess.text, guess.hint, guess.tensors) == (
        "what the model takes was guessed: float32 [2, 5, 8], which its forward does not run "
        "through on",
        "example_inputs=... says what it takes",
        (),
    )


def test_adds_in_disguise_are_warned_of() -> None:
    def factory() -> nn.Module:
        return Written(lambda m, x: x - m.f(x), f=nn.Linear(8, 8))

    assert texts(factory, "hidden-add") == [
        (
            "no plain adds, but of a value and what comes from it: sub in the model; no branch is "
            "looked for there",
            "--override 'f.weight=zeros' closes it by its last weight",
        )
    ]
    [warning] = warnings_of(factory)["hidden-add"]
    assert warning.tensors == ("f.weight",)
    assert texts(factory, "hidden-add", "f.weight=zeros") == []


class Scaled(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.f, self.gamma = nn.Linear(8, 8), nn.Parameter(torch.full((8,), value))

    def forward(self, x: Any) -> Any:
        return x + self.gamma * self.f(x)


@pytest.mark.parametrize(("value", "warned"), [(1e-6, False), (0.1, False), (0.5, True)])
def test_a_layer_scale_that_is_not_small_is_warned_of(value: float, warned: bool) -> None:
    expected = [
        (
            "layer scales that are kept as constructed hardly damp their residual branches: "
            "gamma (0.5)",
            "--override 'f.weight=zeros' closes it by its last weight",
        )
    ]
    assert texts(lambda: Scaled(value), "damped-branch") == (expected if warned else [])
    assert texts(lambda: Scaled(value), "damped-branch", residual="layer") == []


class Spreads(nn.Module):
    """A branch that a product ends, which no rule of the policy closes."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        mask = torch.zeros(x.size(1), x.size(1))
        mask[:, 0] = 1
        return x + mask @ self.f(self.g(x))


def test_a_warning_is_gone_once_the_override_that_it_advises_is_given() -> None:
    def net() -> nn.Module:
        return nn.Sequential(Spreads(), Spreads())

    assert texts(net, "open-branch") == [
        (
            "2 residual branches are left open, in 0, 1: it ends in matmul",
            "--override '0.f.weight=zeros' closes one of them by its last weight",
        )
    ]
    [warning] = warnings_of(net)["open-branch"]
    assert warning.tensors == ("0.f.weight", "1.f.weight")
    assert texts(net, "open-branch", "0.f.weight=zeros") == [
        (
            "1 residual branch is left open, in 1: it ends in matmul",
            "--override '1.f.weight=zeros' closes it by its last weight",
        )
    ]
    assert texts(net, "open-branch", "*.f.weight=zeros") == []

    def shared() -> nn.Module:
        def forward(m: Any, x: Any) -> Any:
            y = m.f(x)
            return m.g(x + y) * m.h(y)

        return Written(forward, **{name: nn.Linear(8, 8) for name in ("f", "g", "h")})

    [(_, hint)] = texts(shared, "open-branch")
    assert hint == "--override 'f.weight=zeros' sets it to 0 all the same"
    assert "open-branch" not in warnings_of(shared, "f.weight=zeros")


def test_every_warning_carries_the_names_of_its_tensors() -> None:
    linear = Around(nn.Linear(8, 8))
    cases: dict[str, tuple[Any, tuple[str, ...], dict[str, str]]] = {
        "residual-none": (lambda: linear, ("branch.0.weight",), {"residual": "none"}),
        "damped-branch": (lambda: Scaled(0.5), ("gamma",), {}),
        "zero-before-norm": (
            lambda: Around(nn.Linear(8, 8), nn.LayerNorm(8)),
            ("branch.0.weight",),
            {"residual": "layer"},
        ),
        "holes": (lambda: nn.ConvTranspose2d(4, 4, 2, 3), ("weight",), {}),
    }
    for kind, (factory, tensors, words) in cases.items():
        [warning] = warnings_of(factory, **words)[kind]
        assert warning.tensors == tensors, kind
    assert texts(lambda: Scaled(0.5), "damped-branch", "gamma=zeros") == []
    assert texts(lambda: linear, "residual-none", "branch.0.weight=zeros", residual="none") == []

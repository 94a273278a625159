"""The counter itself: what it calls a residual branch, and what it sees it add."""

from collections.abc import Callable, Collection
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.outside.branches import State, branches
from tests.outside.cases import called
from tests.outside.flow import Step, flow
from zeroinit_cli.nets.torchvision import import_torchvision

_X = torch.randn((2, 3, 8), generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A forward written in the test, with layers to use in it."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.written = forward
        self.f, self.g, self.h = (nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.scale = nn.Parameter(torch.full((8,), 1e-3))
        self.table = nn.Parameter(torch.randn(3, 8))
        self.zero = nn.Linear(8, 8)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def seen(forward: Callable[[Any, Any], Any], x: Any = _X) -> list[tuple[str, bool]]:
    """State of each branch, and whether its start goes on as it is."""
    torch.manual_seed(0)
    net = Net(forward).eval()

    def run(nudged: Collection[int] = ()) -> list[Step]:
        return flow(net, {"x": x}, called, nudged)

    return [(each.state.value, each.direct) for each in branches(run(), run)]


def _in_place(m: Any, x: Any) -> Any:
    y = m.f(x)
    y += m.zero(m.norm(y))
    return y


def _written_into(m: Any, x: Any) -> Any:
    y = torch.zeros_like(x)
    y[:, :2].copy_(m.f(x[:, :2]))
    return y + m.zero(y)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: x + m.zero(m.f(x)),
        lambda m, x: m.zero(x) + x,
        lambda m, x: torch.add(x, m.zero(x)),
        lambda m, x: x.view(6, 8) + m.zero(x).view(6, 8),
        lambda m, x: x * 0.5 + m.zero(x),
        lambda m, x: sum([x, m.zero(x)]),
        lambda m, x: m.norm(x + functional.dropout(m.zero(x), 0.5, m.training)),
        _in_place,
        _written_into,
    ],
)
def test_a_branch_that_adds_nothing_is_closed(forward: Callable[[Any, Any], Any]) -> None:
    assert seen(forward) == [("closed", True)]


def test_what_is_lost_by_rounding_is_closed_and_what_is_small_is_named() -> None:
    assert seen(lambda m, x: x + 1e-12 * m.f(x)) == [("closed", True)]
    assert seen(lambda m, x: x + m.scale * m.f(x)) == [("small", True)]
    assert seen(lambda m, x: x + m.f(x)) == [("open", True)]


def _of_nothing(m: Any, x: Any) -> Any:
    """A class token that is 0, and attends to others."""
    y = torch.cat([0 * x[:, :1], x[:, 1:]], 1)
    return m.h(y[:, :1] + m.zero(m.norm(y))[:, :1])


def test_a_start_of_nothing_proves_nothing_until_it_is_nudged() -> None:
    """Behind a zero that closes no branch, every branch without a bias would look closed."""

    def forward(m: Any, x: Any) -> Any:
        return (lambda y: y + (m.f(y) - m.f.bias))(0 * x)

    assert [each.state for each in branches(flow(Net(forward), _X, called))] == [State.DEAD]
    assert seen(forward) == [("open", True)]
    assert seen(lambda m, x: (lambda y: y + m.zero(y))(0 * x)) == [("closed", True)]
    assert seen(lambda m, x: (lambda y: m.zero(m.f(y)) + m.zero(y))(x)) == [("closed", False)]
    assert seen(_of_nothing) == [("closed", False)]
    assert seen(lambda m, x: x / 0 + m.f(x / 0)) == [("not finite", True)]


def test_adds_that_only_feed_the_next_are_one_sum() -> None:
    """Parallel branches, in whatever order they are written."""
    closed, opened = ("closed", True), ("open", True)
    assert seen(lambda m, x: x + m.zero(m.f(x)) + m.zero(x)) == [closed, closed]
    assert seen(lambda m, x: m.zero(m.f(x)) + m.zero(x) + x) == [closed, closed]
    assert seen(lambda m, x: (m.f(x) + m.zero(x)) + x) == [opened, closed]


def test_a_shortcut_has_fewer_layers_than_the_branch() -> None:
    assert seen(lambda m, x: m.zero(m.f(x)) + m.g(x)) == [("closed", False)]
    assert seen(lambda m, x: m.h(m.f(x)) + x.flip(1)) == [("open", False)]
    assert seen(lambda m, x: m.h(m.g(m.f(x))) + m.g(m.f(x.flip(1)))) == []  # too long a shortcut
    assert seen(lambda m, x: m.f(x) + m.g(x)) == []  # equal
    assert seen(lambda m, x: m.h(m.f(x)) + m.g(x.flip(1)) * x.relu()) == [("open", False)]


def test_what_another_input_goes_into_is_no_branch_of_a_fork() -> None:
    """A map that is modulated by another input, and shifted by it."""

    def forward(m: Any, two: Any) -> Any:
        x, y = two
        y = m.g(y)
        return m.norm(x) * (1 + m.f(y)) + y.relu()

    assert seen(forward, (_X, _X.flip(0))) == []


def test_two_parts_of_one_tensor_are_two_forks() -> None:
    """Res2Net and cascaded heads: each part takes what became of the last."""

    def forward(m: Any, x: Any) -> Any:
        one, other = m.g(x).chunk(2, -1)
        return m.h(torch.cat([one, one], -1))[..., :4] + other

    assert seen(forward) == []


def test_what_joins_a_branch_on_its_way_does_not_matter() -> None:
    """The time of a diffusion step, which is itself spread over the map and starts nothing."""

    def forward(m: Any, two: Any) -> Any:
        x, y = two
        x = m.f(x) + m.g(y[:, :1])
        return m.zero(m.f(x) + m.h(y[:, :1])) + m.g(x)

    assert seen(forward, (_X, _X.flip(0))) == [("closed", False)]


def test_enlarged_maps_are_added_as_they_are() -> None:
    """A feature pyramid's."""

    def forward(m: Any, x: Any) -> Any:
        y = m.f(x)
        return functional.interpolate(m.h(m.g(y))[..., ::2], 8) + m.h(y)

    assert seen(forward) == []


def _attention(m: Any, x: Any) -> Any:
    scores = m.f(x) @ m.g(x).mT
    scores = scores + m.h(x)[..., :3]  # relative positions, from what attends
    return x + scores.softmax(-1) @ m.zero(x)


def _attention_in_one(m: Any, x: Any) -> Any:
    mask = m.h(m.f(x))[..., :3] + m.g(x)[..., :3]
    q = m.h(x) + m.f(x)
    return x + functional.scaled_dot_product_attention(q, m.f(x), m.zero(x), attn_mask=mask)


def _positions_anew(m: Any, x: Any) -> Any:
    """SAM's and DETR's: what began as the positions is the stream, and they are added again."""
    y = x + m.zero(m.f(x))
    q = m.g(y + x)  # to what the queries are made of, and to nothing else
    return y + m.zero((q @ m.h(y).mT).softmax(-1) @ m.f(y))


def _written_into_scores(m: Any, x: Any) -> Any:
    """MViT's relative positions, written into the scores, and its queries added to the result."""
    q, k = m.f(x), m.g(x)
    scores = 0.5 * q @ k.mT
    scores[:, 1:] = scores[:, 1:] + (q @ m.table.mT)[:, 1:]
    y = scores.softmax(-1) @ m.h(x)
    y[:, 1:] += q[:, 1:]
    return x + m.zero(y)


def _two_poolings(m: Any, x: Any) -> Any:
    q = m.g(m.f(x) + x.flip(1))
    return x + functional.scaled_dot_product_attention(q, m.f(x), m.zero(x))


@pytest.mark.parametrize(
    ("forward", "branches_of"),
    [
        (_attention, 1),
        (_attention_in_one, 1),
        (_positions_anew, 2),
        (_written_into_scores, 1),
        (_two_poolings, 1),
    ],
)
def test_what_becomes_scores_of_attention_is_not_residual(
    forward: Callable[[Any, Any], Any], branches_of: int
) -> None:
    assert seen(forward) == [("closed", True)] * branches_of


def test_a_softmax_that_weighs_nothing_makes_no_scores() -> None:
    """Probabilities of classes: all branches of a net would go into nothing else."""
    assert seen(lambda m, x: m.g(x + m.zero(x)).softmax(-1)) == [("closed", True)]
    assert seen(lambda m, x: m.g(x + m.f(x)).softmax(-1) @ m.table.mT) == [("open", True)]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.f(x) + m.table,
        lambda m, x: x + 0.044715 * x**3,
        lambda m, x: m.f(x).sigmoid() * x + m.g(x).sigmoid() * m.h(m.norm(m.f(x))).tanh(),
        lambda m, x: x * x.cos() + x.roll(1, -1) * x.sin(),
        lambda m, x: sum([m.f(x) * m.g(x).tanh(), m.h(m.f(x)) * m.g(x)]),
        lambda m, x: (lambda a, b: a + m.h(m.f(x.relu()))[..., :4] * b)(*m.g(x).chunk(2, -1)),
    ],
)
def test_other_sums_are_not_residual(forward: Callable[[Any, Any], Any]) -> None:
    assert seen(forward) == []


def test_a_recurrence_through_one_block_counts_every_pass() -> None:
    def forward(m: Any, x: Any) -> Any:
        for _ in range(3):
            x = m.norm(x + m.zero(x))
        return x

    assert seen(forward) == [("closed", True)] * 3


@pytest.mark.parametrize(
    ("name", "direct", "shortcuts"),
    [("resnet18", 5, 3), ("mobilenet_v2", 10, 0), ("swin_t", 24, 0)],
)
def test_torchvisions_branches_are_those_that_were_counted_by_hand(
    name: str, direct: int, shortcuts: int
) -> None:
    """The same numbers as in tests/families, which other code found."""
    import_torchvision()
    from torchvision.models import get_model

    found = branches(flow(get_model(name).eval(), torch.randn(2, 3, 64, 64), called))
    assert sum(each.direct for each in found) == direct
    assert sum(not each.direct for each in found) == shortcuts
    assert {each.state for each in found} <= {State.OPEN, State.SMALL}

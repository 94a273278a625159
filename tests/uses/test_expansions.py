"""Expansions are seen wherever a rule lays them out."""

from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from tests.uses.started import noise, planned
from zeroinit_cli.models.warnings.expansions import repeating
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups, Interleaved, Split, Transposed, Viewed
from zeroinit_cli.plans.norms import Directions, Norms
from zeroinit_cli.plans.rules import Hadamard, Identity, Rule, Zeros

H, EYE, Z = Hadamard(half_exponent=-4), Identity(), Zeros()


@pytest.mark.parametrize(
    ("rule", "shape", "found"),
    [
        (H, (16, 4), [(16, 4)]),
        (H, (16, 16), []),
        (Interleaved(blocks=4, parts=((4, H), (1, Z))), (20, 4), [(16, 4)]),
        (Interleaved(blocks=2, parts=((2, H), (2, EYE))), (8, 4), []),
        (Split(parts=((16, H), (16, H))), (32, 4), [(16, 4)]),
        (Viewed(rows=32, of=Groups(count=2, of=Transposed(of=H))), (2, 4, 16), []),
        (Transposed(of=H), (4, 16), [(16, 4)]),
        (Directions(dim=0, of=Taps(ranges=((1, 2),), of=H)), (16, 4, 3), [(16, 4)]),
        (Norms(shape=(16, 4), dim=0, of=H), (16, 1), []),
    ],
    ids=repr,
)
def test_repeated_rows_are_found_in_every_layout(
    rule: Rule, shape: tuple[int, ...], found: list[tuple[int, int]]
) -> None:
    assert list(repeating(rule, shape)) == found


class Heads(nn.Module):
    """Queries, keys and values of many heads from few inputs, head by head."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = nn.Linear(4, 3 * 16)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.fused(x).view(*x.shape[:2], 4, 3, 4).permute(3, 0, 2, 1, 4)
        return functional.scaled_dot_product_attention(q, k, v)


def test_rows_that_repeat_head_by_head_are_warned_of() -> None:
    [warning] = planned(Heads, noise(2, 5, 4), policy="paper").warnings
    assert warning.kind == "equal-rows"
    assert "fused.weight (16 rows, 4 distinct)" in warning.text


@pytest.mark.parametrize("normed", [False, True])
def test_a_chain_of_expansions_is_one_under_weight_norm_too(normed: bool) -> None:
    def layer(fan_in: int) -> nn.Module:
        made = nn.Conv2d(fan_in, 2 * fan_in, 3, padding=1)
        return parametrizations.weight_norm(made) if normed else made

    def build() -> nn.Module:
        return nn.Sequential(*map(layer, (3, 6, 12)), nn.BatchNorm2d(24))

    kinds = [each.kind for each in planned(build, noise(2, 3, 8, 8), policy="paper").warnings]
    assert "batch-norm-chain" in kinds

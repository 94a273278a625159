"""Transformer blocks as people write them, and what closes their branches."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.closings import (
    begins_as_identity,
    classes,
    closed,
    ends,
    left_open,
    obstacles,
    tokens,
)
from tests.models.transformer_blocks import (
    Cross,
    FusedAttention,
    Mlp,
    Multihead,
    PostNorm,
    PreNorm,
    SeparateAttention,
    SwiGlu,
)
from zeroinit_cli.models.structure import find_structure


@pytest.mark.parametrize("attention", [SeparateAttention, FusedAttention])
def test_attention_written_out_is_closed_by_what_gives_its_values(
    attention: type[nn.Module],
) -> None:
    last = "attn.v.weight: v" if attention is SeparateAttention else "attn.qkv.weight: v"
    assert ends(PreNorm(attention())) == {last, "mlp.fc2.weight"}
    assert ends(PostNorm(attention())) == {last, "mlp.fc2.weight"}
    assert begins_as_identity(PreNorm(attention()), tokens())


def test_torchs_attention_is_closed_by_v() -> None:
    assert ends(PreNorm(Multihead())) == {"attn.mha.in_proj_weight: v", "mlp.fc2.weight"}
    assert ends(PostNorm(Multihead())) == {"attn.mha.in_proj_weight: v", "mlp.fc2.weight"}
    assert begins_as_identity(PreNorm(Multihead()), tokens())


@pytest.mark.parametrize("residual", ["end", "layer"])
def test_closed_attention_is_the_same_under_layer_and_stays_closed_under_none(
    residual: str,
) -> None:
    assert "attn.mha.in_proj_weight: v" in ends(PreNorm(Multihead()), residual)
    structure = find_structure(PreNorm(Multihead()), "none")
    assert closed(structure) == {"attn.mha.in_proj_weight: v"}
    assert left_open(structure) == ["the policy closes none"]


def test_a_gated_feed_forward_ends_in_its_down_projection() -> None:
    assert ends(PreNorm(Multihead(), SwiGlu())) == {
        "attn.mha.in_proj_weight: v",
        "mlp.down_proj.weight",
    }
    assert begins_as_identity(PreNorm(Multihead(), SwiGlu()), tokens())


class AttentionWeights(nn.Module):
    """Returns the attention's weights too, which v = 0 does not change."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        out, weights = self.attn(x, x, x)
        return x + out, weights


def test_attention_whose_weights_are_returned_is_closed_all_the_same() -> None:
    assert ends(AttentionWeights()) == {"attn.in_proj_weight: v"}


class Parallel(nn.Module):
    """GPT-J's and PaLM's block: one norm, two branches, in some order."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.norm, self.attn, self.mlp = nn.LayerNorm(8), Multihead(), Mlp()
        self.drop, self.order = nn.Dropout(0.0), order

    def forward(self, x: Any) -> Any:
        h = self.norm(x)
        if self.order == "x first":
            return x + self.attn(h) + self.mlp(h)
        if self.order == "x last":
            return self.attn(h) + self.mlp(h) + x
        if self.order == "dropped together":
            return x + self.drop(self.attn(h) + self.mlp(h))
        if self.order == "python's sum":
            return sum([self.attn(h), self.mlp(h), x])
        return torch.stack([x, self.attn(h), self.mlp(h)]).sum(dim=0)


@pytest.mark.parametrize(
    "order", ["x first", "x last", "dropped together", "python's sum", "stacked"]
)
def test_parallel_attention_and_feed_forward_are_two_branches(order: str) -> None:
    assert ends(Parallel(order)) == {"attn.mha.in_proj_weight: v", "mlp.fc2.weight"}
    assert begins_as_identity(Parallel(order), tokens())


def test_a_decoders_three_branches() -> None:
    assert ends(Cross()) == {"own.in_proj_weight: v", "other.in_proj_weight: v", "mlp.fc2.weight"}
    assert begins_as_identity(Cross(), tokens(), tokens())


class Queries(nn.Module):
    """Perceiver's and Q-Former's: the trunk begins as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(3, 8))
        self.norm, self.attn, self.mlp = nn.LayerNorm(8), Cross().other, Mlp()

    def forward(self, x: Any) -> Any:
        q = self.latents.unsqueeze(0).expand(x.shape[0], -1, -1)
        q = q + self.attn(self.norm(q), x, x)[0]
        return q + self.mlp(q)


def test_learned_queries_are_a_trunk_like_any_other() -> None:
    assert ends(Queries()) == {"attn.in_proj_weight: v", "mlp.fc2.weight"}


class PositionsAgain(nn.Module):
    """Adds its positions in every block, which makes no residual add of them."""

    def __init__(self) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.zeros(1, 5, 8))
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.one(x + self.pos))
        return self.two(x + self.pos)


def test_positions_added_in_every_block_are_no_shortcut() -> None:
    assert ends(PositionsAgain()) == set()
    assert classes(PositionsAgain()) == ["PARAMETER", "PARAMETER"]


class Detr(nn.Module):
    """Positions come with the input, and are added to queries and keys alone."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.ModuleList(nn.MultiheadAttention(8, 2) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))

    def forward(self, src: Any, pos: Any) -> Any:
        for attn, norm in zip(self.attn, self.norm, strict=True):
            q = k = src + pos
            src = norm(src + attn(q, k, value=src)[0])
        return src


def test_positions_that_queries_and_keys_alone_are_given_are_no_branch() -> None:
    structure = find_structure(Detr(), "end")
    assert closed(structure) == {"attn.0.in_proj_weight: v", "attn.1.in_proj_weight: v"}
    assert left_open(structure) == []


@pytest.mark.parametrize("norm_first", [True, False])
def test_torchs_own_layers_are_closed_by_v_and_by_their_second_linear(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    assert ends(layer) == {"self_attn.in_proj_weight: v", "linear2.weight"}
    structure = find_structure(layer, "none")
    assert closed(structure) == {"self_attn.in_proj_weight: v"}
    assert left_open(structure) == ["the policy closes none"]
    decoder = nn.TransformerDecoderLayer(8, 2, 16, norm_first=norm_first)
    assert ends(decoder) == {
        "self_attn.in_proj_weight: v",
        "multihead_attn.in_proj_weight: v",
        "linear2.weight",
    }
    if norm_first:
        assert begins_as_identity(layer, tokens())


def test_torchs_stacks_are_known_to_add_nothing_themselves() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(x).mean(dim=1))

    layers = {f"encoder.layers.{i}" for i in range(2)}
    assert ends(Classifier()) == {
        f"{layer}.{end}"
        for layer in layers
        for end in ("self_attn.in_proj_weight: v", "linear2.weight")
    }
    assert len(ends(nn.Transformer(8, 2, 1, 1, 16, batch_first=True))) == 5


class Masked(PreNorm):
    """Takes what torch's stack hands to its layers, and has what it asks them for."""

    @property
    def self_attn(self) -> nn.Module:
        return self.attn.get_submodule("mha")

    def forward(self, x: Any, **masks: Any) -> Any:
        return super().forward(x)


def test_a_stack_of_other_layers_is_looked_into() -> None:
    stack = nn.TransformerEncoder(Masked(Multihead()), 1, enable_nested_tensor=False)  # type: ignore[arg-type]  # duck-typed by torch
    assert ends(stack) == {"layers.0.attn.mha.in_proj_weight: v", "layers.0.mlp.fc2.weight"}


class OwnLayer(nn.TransformerEncoderLayer):
    """A subclass whose forward is another is not what torch's is known to be."""

    def forward(self, src: Any, *args: Any, **kwargs: Any) -> Any:
        return self.linear2(self.linear1(src)) * 2


def test_a_subclass_of_torchs_layer_with_a_forward_of_its_own_is_looked_into() -> None:
    assert ends(OwnLayer(8, 2, 16)) == set()


class Shared(nn.Module):
    """ALBERT's and the universal transformer's: one block, applied several times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = PreNorm(Multihead())

    def forward(self, x: Any) -> Any:
        for _ in range(3):
            x = self.block(x)
        return x


def test_a_block_applied_several_times_is_closed_in_all_of_them() -> None:
    assert ends(Shared()) == {"block.attn.mha.in_proj_weight: v", "block.mlp.fc2.weight"}
    assert begins_as_identity(Shared(), tokens())


class Reused(nn.Module):
    """The layer that ends the branch is also the head."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = x + self.fc2(torch.tanh(self.fc1(x)))
        return self.fc2(x)


class Tied(nn.Module):
    """The layer that ends the branch shares its weight with the head."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head.weight = self.fc2.weight

    def forward(self, x: Any) -> Any:
        return self.head(x + self.fc2(torch.tanh(self.fc1(x))))


class TiedByUse(nn.Module):
    """The weight that ends the branch is applied once more, as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = x + self.fc2(torch.tanh(self.fc1(x)))
        return functional.linear(x, self.fc2.weight)


@pytest.mark.parametrize("module", [Reused(), Tied(), TiedByUse()])
def test_a_layer_that_is_used_elsewhere_too_is_not_zeroed(module: nn.Module) -> None:
    assert obstacles(module) == ["fc2 (Linear) ends it and is used elsewhere too"]


class LoRA(nn.Module):
    """A low-rank layer beside a plain one: the longer way is the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2), nn.Linear(2, 8)

    def forward(self, x: Any) -> Any:
        return self.base(x) + 0.5 * self.b(self.a(x))


def test_of_two_ways_of_one_fork_the_longer_is_the_branch() -> None:
    assert ends(LoRA()) == {"b.weight"}
    assert classes(LoRA()) == ["FORK"]


class Rotary(nn.Module):
    """Rotary positions turn q and k; their sums of products are not residual."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(8, 8)
        self.cos, self.sin = nn.Buffer(torch.ones(5, 8)), nn.Buffer(torch.zeros(5, 8))

    def forward(self, x: Any) -> Any:
        q = self.q(x)
        one, two = q.chunk(2, dim=-1)
        turned = torch.cat((-two, one), dim=-1)
        return q * self.cos[: x.shape[1]] + turned * self.sin[: x.shape[1]]


def test_rotary_positions_are_no_residual_adds() -> None:
    assert classes(Rotary()) == ["EQUAL"]

"""Transformer blocks as people write them, and what closes their branches."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.architectures.closings import (
    Around,
    begins_as_identity,
    classes,
    closed,
    ends,
    left_open,
    obstacles,
    tokens,
)
from zeroinit_cli.architectures.structure import find_structure


class SeparateAttention(nn.Module):
    """q, k, v and output as Linear layers of their own, scores written out."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Any, mask: Any = None) -> Any:
        b, t, c = x.shape
        q, k, v = (
            layer(x).view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.heads)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        mixed = nn.Softmax(dim=-1)(scores) @ v
        return self.out(mixed.transpose(1, 2).contiguous().view(b, t, c))


class FusedAttention(nn.Module):
    """timm's: one Linear for q, k and v, functional.scaled_dot_product_attention."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v)
        return self.drop(self.proj(x.transpose(1, 2).reshape(b, n, c)))


class Mlp(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        return self.fc2(functional.gelu(self.fc1(x)))


class SwiGlu(nn.Module):
    """Llama's feed-forward."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.up_proj = nn.Linear(width, 2 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Any) -> Any:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class RmsNorm(nn.Module):
    """Llama's, written by hand."""

    def __init__(self, width: int = 8, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Any) -> Any:
        kind = x.dtype
        x = x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * x.to(kind)


class WrittenLayerNorm(nn.Module):
    """ConvNeXt's original, written by hand."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Any) -> Any:
        u = x.mean(-1, keepdim=True)
        s = (x - u).pow(2).mean(-1, keepdim=True)
        return (x - u) / torch.sqrt(s + 1e-6) * self.gamma + self.beta


class PreNorm(nn.Module):
    def __init__(self, attn: nn.Module, mlp: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn, self.mlp = attn, mlp or Mlp()

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PostNorm(nn.Module):
    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn, self.mlp = attn, Mlp()

    def forward(self, x: Any, src_mask: Any = None) -> Any:
        x = self.norm1(x + self.attn(x))
        return self.norm2(self.mlp(x) + x)


class Multihead(nn.Module):
    """torch's own attention, called as people call it."""

    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        out, _ = self.mha(x, x, x, need_weights=False)
        return out


@pytest.mark.parametrize("attention", [SeparateAttention, FusedAttention])
def test_attention_that_is_not_recognised_ends_in_its_output_projection(
    attention: type[nn.Module],
) -> None:
    last = "attn.out.weight" if attention is SeparateAttention else "attn.proj.weight"
    assert ends(PreNorm(attention())) == {last, "mlp.fc2.weight"}
    assert ends(PostNorm(attention())) == {last, "mlp.fc2.weight"}
    assert begins_as_identity(PreNorm(attention()), tokens())


def test_torchs_attention_is_closed_by_v() -> None:
    assert ends(PreNorm(Multihead())) == {"attn.mha: v", "mlp.fc2.weight"}
    assert ends(PostNorm(Multihead())) == {"attn.mha: v", "mlp.fc2.weight"}
    assert begins_as_identity(PreNorm(Multihead()), tokens())


@pytest.mark.parametrize("residual", ["end", "layer"])
def test_closed_attention_is_the_same_under_layer_and_stays_closed_under_none(
    residual: str,
) -> None:
    assert "attn.mha: v" in ends(PreNorm(Multihead()), residual)
    structure = find_structure(PreNorm(Multihead()), "none")
    assert closed(structure) == {"attn.mha: v"}
    assert left_open(structure) == ["--residual none"]


def test_a_gated_feed_forward_ends_in_its_down_projection() -> None:
    assert ends(PreNorm(Multihead(), SwiGlu())) == {"attn.mha: v", "mlp.down_proj.weight"}
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
    assert ends(AttentionWeights()) == {"attn: v"}


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
    assert ends(Parallel(order)) == {"attn.mha: v", "mlp.fc2.weight"}
    assert begins_as_identity(Parallel(order), tokens())


class Sandwich(nn.Module):
    """Swin v2's and Gemma 2's: a norm between the branch and the add."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.attn, self.mlp = Multihead(), Mlp()
        self.post1, self.post2 = norm(8), norm(8)

    def forward(self, x: Any) -> Any:
        x = x + self.post1(self.attn(x))
        return self.post2(self.mlp(x)) + x


@pytest.mark.parametrize(
    ("norm", "scale"),
    [
        (nn.LayerNorm, "weight"),
        (nn.RMSNorm, "weight"),
        (RmsNorm, "weight"),
        (WrittenLayerNorm, "gamma"),
    ],
)
def test_a_norm_that_ends_a_branch_gets_scale_0_and_attention_behind_it_is_not_closed(
    norm: type[nn.Module], scale: str
) -> None:
    assert ends(Sandwich(norm)) == {f"post1.{scale}", f"post2.{scale}"}
    assert ends(Sandwich(norm), "layer") == {"attn.mha.out_proj.weight", "mlp.fc2.weight"}
    assert begins_as_identity(Sandwich(norm), tokens())


class GemmaNorm(nn.Module):
    """A scale that is 1 + weight: no value of a rule makes it 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))

    def forward(self, x: Any) -> Any:
        out = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (out * (1.0 + self.weight.float())).type_as(x)


class NoScale(nn.Module):
    def forward(self, x: Any) -> Any:
        return functional.layer_norm(x, (8,))


class Unit(nn.Module):
    def forward(self, x: Any) -> Any:
        return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (GemmaNorm(), "a norm written out"),
        (NoScale(), "layer_norm"),
        (Unit(), "a norm written out"),
        (nn.LayerNorm(8, elementwise_affine=False), "branch.1 (LayerNorm)"),
        (nn.LayerNorm(8, bias=False), None),
    ],
)
def test_where_a_norm_without_scale_ends_a_branch_nothing_is_zeroed(
    norm: nn.Module, name: str | None
) -> None:
    block = Around(nn.Linear(8, 8), norm)
    if name is None:
        assert ends(block) == {"branch.1.weight"}
    else:
        assert obstacles(block) == [f"{name} ends it and has no scale"]
        assert ends(block, "layer") == {"branch.0.weight"}


class LayerScale(nn.Module):
    """CaiT's and ConvNeXt's; ReZero with 0; in place as timm has it, or over channels first."""

    def __init__(self, value: float, spelling: str = "product") -> None:
        super().__init__()
        self.gamma = nn.Parameter(value * torch.ones(8))
        self.spelling = spelling

    def forward(self, x: Any) -> Any:
        if self.spelling == "in place":
            return x.mul_(self.gamma)
        return x * self.gamma if self.spelling == "product" else self.gamma[None, None] * x


@pytest.mark.parametrize("spelling", ["product", "in place", "reshaped"])
def test_a_small_layer_scale_is_kept_and_attention_behind_it_is_closed(spelling: str) -> None:
    block = PreNorm(
        nn.Sequential(Multihead(), LayerScale(1e-5, spelling)),
        nn.Sequential(Mlp(), LayerScale(1e-5, spelling)),
    )
    assert ends(block) == {"attn.0.mha: v", "mlp.1.gamma: scale"}
    assert ends(block, "layer") == {"attn.0.mha: v", "mlp.0.fc2.weight"}


@pytest.mark.parametrize("residual", ["end", "layer"])
def test_a_scale_constructed_as_0_closes_its_branch_alone_attention_or_not(residual: str) -> None:
    block = PreNorm(
        nn.Sequential(Multihead(), LayerScale(0.0)), nn.Sequential(Mlp(), LayerScale(0.0))
    )
    assert ends(block, residual) == {"attn.1.gamma: scale", "mlp.1.gamma: scale"}


class Flamingo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.gate = Multihead(), nn.Parameter(torch.tensor([0.0]))

    def forward(self, x: Any) -> Any:
        return x + self.attn(x) * self.gate.tanh()


def test_a_gate_that_is_computed_from_a_parameter_of_0_is_a_scale_of_0() -> None:
    assert ends(Flamingo()) == {"gate: scale"}
    assert begins_as_identity(Flamingo(), tokens())


class AdaLn(nn.Module):
    """DiT's: shift, scale and gate come from the condition; what the gate gates is the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8, elementwise_affine=False)
        self.mlp, self.modulation = Mlp(), nn.Sequential(nn.SiLU(), nn.Linear(8, 24))

    def forward(self, x: Any, c: Any) -> Any:
        shift, scale, gate = self.modulation(c).chunk(3, dim=1)
        h = self.norm(x) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
        return x + gate.unsqueeze(1) * self.mlp(h)


def test_of_a_condition_and_a_branch_the_branch_is_followed() -> None:
    assert ends(AdaLn()) == {"mlp.fc2.weight"}
    assert begins_as_identity(AdaLn(), tokens(), torch.randn(2, 8))


class Cross(nn.Module):
    """A decoder's block: attention to itself, to a memory, and a feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(8, 2, batch_first=True)
        self.other = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = Mlp()

    def forward(self, x: Any, memory: Any) -> Any:
        x = x + self.own(x, x, x)[0]
        x = x + self.other(query=x, key=memory, value=memory)[0]
        return x + self.mlp(x)


def test_a_decoders_three_branches() -> None:
    assert ends(Cross()) == {"own: v", "other: v", "mlp.fc2.weight"}
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
    assert ends(Queries()) == {"attn: v", "mlp.fc2.weight"}


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


def test_what_other_layers_read_too_is_never_zeroed() -> None:
    structure = find_structure(Detr(), "end")
    assert closed(structure) == {"attn.0: v", "attn.1: v"}
    assert left_open(structure) == ["what norm.0 (LayerNorm) gives is used elsewhere too"]


@pytest.mark.parametrize("norm_first", [True, False])
def test_torchs_own_layers_are_closed_by_v_and_by_their_second_linear(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    assert ends(layer) == {"self_attn: v", "linear2.weight"}
    structure = find_structure(layer, "none")
    assert closed(structure) == {"self_attn: v"}
    assert left_open(structure) == ["--residual none"]
    decoder = nn.TransformerDecoderLayer(8, 2, 16, norm_first=norm_first)
    assert ends(decoder) == {"self_attn: v", "multihead_attn: v", "linear2.weight"}
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
        f"{layer}.{end}" for layer in layers for end in ("self_attn: v", "linear2.weight")
    }
    assert len(ends(nn.Transformer(8, 2, 1, 1, 16, batch_first=True))) == 5


def test_a_stack_of_other_layers_is_looked_into() -> None:
    stack = nn.TransformerEncoder(PreNorm(Multihead()), 1, enable_nested_tensor=False)  # type: ignore[arg-type]  # duck-typed by torch
    assert ends(stack) == {"layers.0.attn.mha: v", "layers.0.mlp.fc2.weight"}


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
    assert ends(Shared()) == {"block.attn.mha: v", "block.mlp.fc2.weight"}
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
    assert classes(Rotary()) == ["PRODUCTS"]

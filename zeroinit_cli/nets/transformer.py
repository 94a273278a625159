"""The parts that decoder and encoder share: attention, MLP, activations by name."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with projections of their own.

    Args:
        hidden_dim: features of a token.
        num_heads: heads of queries.
        num_kv_heads: heads of keys and values, each for several of queries.
        head_dim: features of a head.
        bias: add vectors.
        causal: a token sees itself and those before it.
        dropout: of attention's weights, while training.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        bias: bool,
        causal: bool,
        dropout: float,
    ):
        super().__init__()
        self.q_proj = nn.Linear(hidden_dim, num_heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(hidden_dim, num_kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(hidden_dim, num_kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * head_dim, hidden_dim, bias=bias)
        self.head_dim = head_dim
        self.grouped = num_kv_heads != num_heads
        self.causal = causal
        self.dropout = dropout

    def forward(
        self,
        x: Tensor,  # (B, T, C)
        cos: Tensor | None = None,  # (T or more, head_dim / 2)
        sin: Tensor | None = None,
        mask: Tensor | None = None,  # (B, T), True where a token is to be seen
    ) -> Tensor:
        """What each token takes from those that it sees, (B, T, C)."""
        batch, length, _ = x.shape
        q, k, v = (
            projection(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (B, H, T, D)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        if cos is not None and sin is not None:
            cos, sin = cos[:length], sin[:length]
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
            enable_gqa=self.grouped,
        )
        output: Tensor = self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))
        return output


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pair (i, i + D / 2) of each head's features by the angle of its position.

    Source:
        arXiv:2104.09864, in the layout of Llama's checkpoints for transformers.
    """
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin), dim=-1)


def rotations(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of position * theta^(-2 i / head_dim), each (length, head_dim / 2)."""
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


class MLP(nn.Module):
    """Two linear layers, or three where a gate multiplies.

    Args:
        hidden_dim: features of a token.
        mlp_dim: features between.
        activation: class name in torch.nn.
        gated: down(activation(gate(x)) * up(x)).
        bias: add vectors.
    """

    def __init__(self, *, hidden_dim: int, mlp_dim: int, activation: str, gated: bool, bias: bool):
        super().__init__()
        self.gate_proj = nn.Linear(hidden_dim, mlp_dim, bias=bias) if gated else None
        self.up_proj = nn.Linear(hidden_dim, mlp_dim, bias=bias)
        self.activation = make_activation(activation)
        self.down_proj = nn.Linear(mlp_dim, hidden_dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        if self.gate_proj is None:
            hidden = self.activation(self.up_proj(x))
        else:
            hidden = self.activation(self.gate_proj(x)) * self.up_proj(x)
        output: Tensor = self.down_proj(hidden)
        return output


def make_activation(name: str) -> nn.Module:
    """An activation by its class in torch.nn."""
    if name == "GELU(tanh)":
        return nn.GELU(approximate="tanh")
    activation: nn.Module = getattr(nn, name)()
    return activation

"""Decoder-only transformers: GPT-2, Llama and what lies between."""

import torch
from torch import Tensor, nn

from zeroinit_cli.nets.transformer import MLP, SelfAttention, rotations


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self,
        *,
        attention: SelfAttention,
        mlp: MLP,
        norms: tuple[nn.Module, nn.Module],
        dropout: float,
    ):
        super().__init__()
        self.attention_norm, self.mlp_norm = norms
        self.attention = attention
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cos, sin))
        output: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return output


class GPT(nn.Module):
    """Tokens in, scores of the next token out. The arguments are the fields of a spec's `gpt`."""

    positions: Tensor  # (max_seq_len,)
    cos: Tensor  # (max_seq_len, head_dim / 2)
    sin: Tensor

    def __init__(
        self,
        *,
        vocab_size: int,
        max_seq_len: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        num_kv_heads: int | None,
        head_dim: int | None,
        mlp_dim: int | None,
        gated: bool,
        activation: str,
        norm: str,
        norm_eps: float,
        positions: str,
        rope_theta: float,
        bias: bool,
        tie_head: bool,
        dropout: float,
    ):
        super().__init__()
        head_dim = head_dim or hidden_dim // num_heads

        def make_norm() -> nn.Module:
            if norm == "RMSNorm":
                return nn.RMSNorm(hidden_dim, eps=norm_eps)
            return nn.LayerNorm(hidden_dim, eps=norm_eps, bias=bias)

        def make_block() -> Block:
            attention = SelfAttention(
                hidden_dim=hidden_dim,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads or num_heads,
                head_dim=head_dim,
                bias=bias,
                causal=True,
                dropout=dropout,
            )
            mlp = MLP(
                hidden_dim=hidden_dim,
                mlp_dim=mlp_dim or 4 * hidden_dim,
                activation=activation,
                gated=gated,
                bias=bias,
            )
            norms = make_norm(), make_norm()
            return Block(attention=attention, mlp=mlp, norms=norms, dropout=dropout)

        self.token_embedding = nn.Embedding(vocab_size, hidden_dim)
        self.position_embedding: nn.Embedding | None = None
        if positions == "learned":
            self.position_embedding = nn.Embedding(max_seq_len, hidden_dim)
            self.register_buffer("positions", torch.arange(max_seq_len), persistent=False)
        else:
            cos, sin = rotations(max_seq_len, head_dim, rope_theta)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(make_block() for _ in range(num_layers))
        self.norm = make_norm()
        self.head = nn.Linear(hidden_dim, vocab_size, bias=False)
        if tie_head:
            self.head.weight = self.token_embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) integers -> (B, T, vocab_size)."""
        x = self.token_embedding(tokens)  # (B, T, C)
        cos = sin = None
        if self.position_embedding is None:
            cos, sin = self.cos, self.sin
        else:
            x = x + self.position_embedding(self.positions[: tokens.shape[1]])
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, cos, sin)
        scores: Tensor = self.head(self.norm(x))
        return scores

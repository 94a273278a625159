"""Transformer encoders over tokens: BERT and its kin."""

import torch
from torch import Tensor, nn

from zeroinit_cli.nets.transformer import MLP, SelfAttention


class Block(nn.Module):
    """Attention and an MLP, each with a skip, and norms behind the adds or before the branches."""

    def __init__(
        self,
        *,
        attention: SelfAttention,
        mlp: MLP,
        norms: tuple[nn.Module, nn.Module],
        norm_first: bool,
        dropout: float,
    ):
        super().__init__()
        self.attention = attention
        self.attention_norm, self.mlp_norm = norms
        self.mlp = mlp
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        if self.norm_first:
            x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
            output: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask)))
            output = self.mlp_norm(x + self.dropout(self.mlp(x)))
        return output


class Encoder(nn.Module):
    """Tokens in, features out. The arguments are the fields of a spec's `encoder`."""

    positions: Tensor  # (max_seq_len,)

    def __init__(
        self,
        *,
        vocab_size: int,
        max_seq_len: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        num_segments: int,
        mlp_dim: int | None,
        activation: str,
        norm_eps: float,
        norm_first: bool,
        padding_idx: int | None,
        pooler: bool,
        num_classes: int | None,
        dropout: float,
    ):
        super().__init__()

        def make_block() -> Block:
            attention = SelfAttention(
                hidden_dim=hidden_dim,
                num_heads=num_heads,
                num_kv_heads=num_heads,
                head_dim=hidden_dim // num_heads,
                bias=True,
                causal=False,
                dropout=dropout,
            )
            mlp = MLP(
                hidden_dim=hidden_dim,
                mlp_dim=mlp_dim or 4 * hidden_dim,
                activation=activation,
                gated=False,
                bias=True,
            )
            return Block(
                attention=attention,
                mlp=mlp,
                norms=(make_norm(), make_norm()),
                norm_first=norm_first,
                dropout=dropout,
            )

        def make_norm() -> nn.LayerNorm:
            return nn.LayerNorm(hidden_dim, eps=norm_eps)

        self.token_embedding = nn.Embedding(vocab_size, hidden_dim, padding_idx=padding_idx)
        self.position_embedding = nn.Embedding(max_seq_len, hidden_dim)
        self.register_buffer("positions", torch.arange(max_seq_len), persistent=False)
        self.segment_embedding = nn.Embedding(num_segments, hidden_dim) if num_segments else None
        self.embedding_norm = make_norm()
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(make_block() for _ in range(num_layers))
        self.norm = make_norm() if norm_first else None
        self.pooler = nn.Linear(hidden_dim, hidden_dim) if pooler else None
        self.head = None if num_classes is None else nn.Linear(hidden_dim, num_classes)

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Features of each token, beside them the pooled first one; or scores of classes.

        Args:
            tokens: (B, T) integers.
            segments: (B, T) integers; all 0 by default.
            mask: (B, T), True where a token is to be seen; all by default.

        Returns:
            (B, T, C); with a pooler, (B, C) beside it; with classes, (B, classes) instead.
        """
        x = self.token_embedding(tokens)  # (B, T, C)
        x = x + self.position_embedding(self.positions[: tokens.shape[1]])
        if self.segment_embedding is not None:
            if segments is None:
                segments = torch.zeros_like(tokens)
            x = x + self.segment_embedding(segments)
        x = self.dropout(self.embedding_norm(x))
        for block in self.blocks:
            x = block(x, mask)
        if self.norm is not None:
            x = self.norm(x)
        first = x[:, 0]
        if self.pooler is not None:
            first = torch.tanh(self.pooler(first))
        if self.head is not None:
            scores: Tensor = self.head(self.dropout(first))
            return scores
        return x if self.pooler is None else (x, first)

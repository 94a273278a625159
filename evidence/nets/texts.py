"""Other nets that read text: a BERT, a GPT whose MLPs are experts, an LSTM."""

import torch
from torch import Tensor, nn

from evidence.nets.transformers import Attention


class _EncoderBlock(nn.Module):
    """A block with its norms behind the sums, as in BERT."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attention = Attention(dim, heads, causal=False)
        self.norm1 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm1(tokens + self.attention(tokens))
        value: Tensor = self.norm2(tokens + self.fc2(self.act(self.fc1(tokens))))
        return value


class Bert(nn.Module):
    """Tokens and positions, normed; blocks; a transformation; a head that is tied to the table."""

    def __init__(
        self,
        vocabulary: int = 128,
        context: int = 64,
        *,
        dim: int = 64,
        layers: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, dim)
        self.positions = nn.Embedding(context, dim)
        self.norm = nn.LayerNorm(dim)
        self.blocks = nn.Sequential(*(_EncoderBlock(dim, heads) for _ in range(layers)))
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        self.head = nn.Linear(dim, vocabulary)
        self.head.weight = self.tokens.weight
        for table in (self.tokens, self.positions):  # BERT's own; with torch's 1 it hardly trains
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, context, vocabulary) of tokens (batch, context)."""
        where = torch.arange(tokens.shape[1], device=tokens.device)
        value = self.norm(self.tokens(tokens) + self.positions(where))
        logits: Tensor = self.head(self.transform(self.blocks(value)))
        return logits


class Experts(nn.Module):
    """Expert MLPs, of which a router sends each token to the best two."""

    def __init__(self, dim: int, count: int):
        super().__init__()
        self.router = nn.Linear(dim, count, bias=False)
        self.up = nn.Parameter(torch.empty(count, 2 * dim, dim))
        self.down = nn.Parameter(torch.empty(count, dim, 2 * dim))
        self.act = nn.GELU()
        for weights in (self.up, self.down):
            nn.init.normal_(weights, std=dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Of tokens (batch, context, dim), the same shape."""
        share = self.router(tokens).softmax(-1)
        kept = torch.zeros_like(share).scatter(-1, share.topk(2).indices, 1.0)
        wide = self.act(torch.einsum("btd,ewd->btew", tokens, self.up))
        narrow = torch.einsum("btew,edw->bted", wide, self.down)
        mixed: Tensor = (narrow * (share * kept)[..., None]).sum(-2)
        return mixed


class _ExpertBlock(nn.Module):
    def __init__(self, dim: int, heads: int, count: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, causal=True)
        self.norm2 = nn.LayerNorm(dim)
        self.experts = Experts(dim, count)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        mixed: Tensor = self.experts(self.norm2(tokens))
        return tokens + mixed


class ExpertGPT(nn.Module):
    """A GPT with experts for MLPs."""

    def __init__(
        self,
        vocabulary: int = 128,
        context: int = 64,
        *,
        dim: int = 64,
        layers: int = 2,
        count: int = 4,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, dim)
        self.positions = nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*(_ExpertBlock(dim, 4, count) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, context, vocabulary) of tokens (batch, context)."""
        where = torch.arange(tokens.shape[1], device=tokens.device)
        value = self.blocks(self.tokens(tokens) + self.positions(where))
        logits: Tensor = self.head(self.norm(value))
        return logits


class LSTM(nn.Module):
    """A table of tokens, two layers of LSTM, a head."""

    def __init__(self, vocabulary: int = 128, *, dim: int = 64, layers: int = 2):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, dim)
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True)
        self.head = nn.Linear(dim, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, context, vocabulary) of tokens (batch, context)."""
        value, _ = self.lstm(self.tokens(tokens))
        logits: Tensor = self.head(value)
        return logits

"""What a Llama of 70 or 405 billion weights costs to plan, written by hand or of transformers.

python -m benchmarks.children.llama SIZE {written,transformers}
"""

import json
import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.children.timing import Figures, timed, weighed
from zeroinit_cli import api
from zeroinit_cli.nets.torchvision import import_torchvision

_WORDS = 128_256
_HEAD, _GROUPS = 128, 8
SIZES = {"70B": (8_192, 28_672, 80), "405B": (16_384, 53_248, 126)}
"""Width, width of the middle, layers."""


class _Block(nn.Module):
    """Attention of grouped queries, and a gated layer, each behind a norm."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        narrow = _GROUPS * _HEAD
        self.norm, self.other_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q, self.out = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(width, narrow, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, middle, bias=False) for _ in range(2))
        self.down = nn.Linear(middle, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add both branches."""
        normed = self.norm(x)
        q, k, v = (
            each(normed).unflatten(-1, (-1, _HEAD)).transpose(1, 2)
            for each in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        normed = self.other_norm(x)
        down: Tensor = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return x + down


class Llama(nn.Module):
    """A table, blocks, a norm and a head."""

    def __init__(self, width: int, middle: int, layers: int) -> None:
        super().__init__()
        self.table = nn.Embedding(_WORDS, width)
        self.blocks = nn.Sequential(*(_Block(width, middle) for _ in range(layers)))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, _WORDS, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Score the next word at each position."""
        scores: Tensor = self.head(self.norm(self.blocks(self.table(ids))))
        return scores


def _of_transformers(width: int, middle: int, layers: int) -> Any:
    import_torchvision()  # which it imports, and may need help to be
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=middle,
        num_hidden_layers=layers,
        num_attention_heads=width // _HEAD,
        num_key_value_heads=_GROUPS,
        vocab_size=_WORDS,
    )
    return LlamaForCausalLM(config)


def measure(size: str, kind: str) -> Figures:
    """Plan a model and digest the plan; the first, small one imports what is needed."""
    make: Any = Llama if kind == "written" else _of_transformers
    inputs = torch.zeros(1, 8, dtype=torch.long)
    api.plan(partial(make, 1_024, 2_048, 1), example_inputs=inputs)
    figures: Figures = {}
    with weighed(figures, "plan"):
        plan = api.plan(partial(make, *SIZES[size]), example_inputs=inputs)
    with timed(figures, "canonical"):
        plan.digest()
    figures["billions"] = sum(each.info.numel for each in plan.tensors) / 1e9
    figures["tensors"] = len(plan.tensors)
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))

"""Language models as people write them: which tables are looked up by position, and what adds."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import zeroinit_cli
from tests.models.closings import Written, classes, ends
from tests.models.test_planning import plan_of
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.plans.layouts import Mirrored
from zeroinit_cli.plans.rules import Identity, Twisted, Zeros


class CausalAttention(nn.Module):
    """nanoGPT's: one Linear for q, k and v, a mask that is a buffer."""

    def __init__(self, width: int, heads: int, block_size: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        self.resid_dropout = nn.Dropout(0.1)
        self.heads, self.width = heads, width
        mask = torch.tril(torch.ones(block_size, block_size))
        self.bias = nn.Buffer(mask.view(1, 1, block_size, block_size))

    def forward(self, x: Any) -> Any:
        b, t, c = x.size()
        q, k, v = self.c_attn(x).split(self.width, dim=2)
        q, k, v = (
            each.view(b, t, self.heads, c // self.heads).transpose(1, 2) for each in (q, k, v)
        )
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :t, :t] == 0, float("-inf"))
        y = functional.softmax(att, dim=-1) @ v
        y = y.transpose(1, 2).contiguous().view(b, t, c)
        return self.resid_dropout(self.c_proj(y))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, block_size: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = CausalAttention(width, heads, block_size), Mlp(width)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """nanoGPT's, with its checks, its two ways out and its tied head."""

    transformer: Any

    def __init__(self, layers: int = 2, width: int = 16, block_size: int = 8) -> None:
        super().__init__()
        self.block_size = block_size
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(32, width),
                "wpe": nn.Embedding(block_size, width),
                "drop": nn.Dropout(0.1),
                "h": nn.ModuleList(Block(width, 2, block_size) for _ in range(layers)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, 32, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, idx: Any, targets: Any = None) -> Any:
        device = idx.device
        _, t = idx.size()
        if t > self.block_size:
            raise ValueError(f"a sequence of length {t}, block size is only {self.block_size}")
        pos = torch.arange(0, t, dtype=torch.long, device=device)
        tok_emb = self.transformer.wte(idx)
        pos_emb = self.transformer.wpe(pos)
        x = self.transformer.drop(tok_emb + pos_emb)
        for block in self.transformer.h:
            x = block(x)
        x = self.transformer.ln_f(x)
        if targets is not None:
            logits = self.lm_head(x)
            loss = functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        else:
            logits = self.lm_head(x[:, [-1], :])
            loss = None
        return logits, loss


def test_nano_gpt_is_closed_by_what_gives_its_values_and_by_its_second_layers() -> None:
    assert ends(Gpt()) == {
        f"transformer.h.{i}.{end}"
        for i in range(2)
        for end in ("attn.c_attn.weight: v", "mlp.c_proj.weight")
    }


def test_the_sum_of_its_embeddings_is_not_residual() -> None:
    adds = find_structure(Gpt(), "end").adds
    assert [(add.place, add.kind.value) for add in adds[:2]] == [
        ("the model", "not residual: adds what does not depend on the input"),
        ("transformer.h.0", "residual: one operand goes into the other"),
    ]


HALF = Twisted(block=16, prime=19, half_exponent=-7)
"""Half as large as the tokens."""


def test_its_position_table_is_mirrored_and_its_head_tied() -> None:
    plan = {tensor.info.name: tensor for tensor in plan_of(Gpt).tensors}
    assert plan["transformer.wpe.weight"].rule == Mirrored(of=HALF)
    assert plan["transformer.wpe.weight"].reason == "position table: mirrored"
    assert plan["lm_head.weight"].tied_to == "transformer.wte.weight"
    assert plan["lm_head.weight"].reason == "embedding table that is the head, too: Algorithm 1"
    assert plan["lm_head.weight"].rule == Twisted(block=16, prime=43, half_exponent=-5)


def by(lookup: Callable[[Any, Any], Any]) -> Written:
    """Tokens plus a table, looked up in some way."""

    def forward(m: Any, x: Any) -> Any:
        return m.head(torch.relu(m.tokens(x) + m.table(lookup(m, x))))

    module = Written(forward, tokens=nn.Embedding(9, 8), table=nn.Embedding(6, 8))
    module.head = nn.Linear(8, 9)
    module.register_buffer("positions", torch.arange(6).expand(1, -1), persistent=False)
    module.register_buffer("segments", torch.zeros(1, 6, dtype=torch.long), persistent=False)
    return module


POSITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "arange": lambda m, x: torch.arange(x.size(1), device=x.device),
    "arange of a shape": lambda m, x: torch.arange(x.shape[-1]).unsqueeze(0).expand(x.shape),
    "arange like": lambda m, x: torch.arange(x.size(1)).expand_as(x),
    "buffer": lambda m, x: m.positions[:, : x.size(1)],
    "whole buffer": lambda m, x: m.positions,
    "cumulated": lambda m, x: torch.ones_like(x).cumsum(-1) - 1,
    "shifted": lambda m, x: torch.arange(x.size(1), dtype=torch.long) + 2,
    "range": lambda m, x: torch.tensor(list(range(6))),
}


@pytest.mark.parametrize("spelling", POSITIONS)
def test_a_table_looked_up_by_position_is_a_position_table(spelling: str) -> None:
    module = by(POSITIONS[spelling])
    structure = find_structure(module, "end")
    assert structure.untraced == ()
    assert dict(structure.tables) == {"table.weight": "position table"}
    assert classes(module) == ["PARAMETER"] or spelling == "shifted"


CONSTANTS: dict[str, Callable[[Any, Any], Any]] = {
    "zeros": lambda m, x: torch.zeros(x.shape, dtype=torch.long),
    "like": lambda m, x: torch.zeros_like(x),
    "new": lambda m, x: x.new_zeros(x.size()),
    "a buffer of zeros": lambda m, x: m.segments[:, : x.size(1)],
}


@pytest.mark.parametrize("spelling", CONSTANTS)
def test_a_table_looked_up_by_zeros_is_a_segment_table(spelling: str) -> None:
    """BERT's token types, where none are given."""
    assert dict(find_structure(by(CONSTANTS[spelling]), "end").tables) == {
        "table.weight": "segment table"
    }
    plan = {
        tensor.info.name: tensor.rule for tensor in plan_of(lambda: by(CONSTANTS[spelling])).tensors
    }
    assert plan["table.weight"] == Zeros()
    assert plan["tokens.weight"] != Zeros()


def test_a_table_that_the_input_looks_up_too_is_an_ordinary_one() -> None:
    def forward(m: Any, x: Any) -> Any:
        start = torch.zeros(x.size(0), 1, dtype=torch.long)
        return m.head(torch.cat([m.tokens(start), m.tokens(x)], dim=1))

    module = Written(forward, tokens=nn.Embedding(9, 8), head=nn.Linear(8, 9))
    assert dict(find_structure(module, "end").tables) == {}


class Relative(nn.Module):
    """T5's: a table of distances, whose rows are added to the scores of every head."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.distances = nn.Embedding(9, 2)

    def forward(self, x: Any) -> Any:
        b, t, _ = x.shape
        q, k, v = (each(x).view(b, t, 2, 4).transpose(1, 2) for each in (self.q, self.k, self.v))
        places = torch.arange(t)
        bias = self.distances((places[None, :] - places[:, None]).clamp(-4, 4) + 4)
        scores = q @ k.transpose(-2, -1) + bias.permute(2, 0, 1).unsqueeze(0)
        return functional.softmax(scores.float(), dim=-1).type_as(scores) @ v


def test_a_table_whose_values_are_added_to_scores_is_a_relative_one() -> None:
    assert dict(find_structure(Relative(), "end").tables) == {
        "distances.weight": "bias of attention"
    }


def test_so_is_one_that_is_given_to_attention_as_its_mask() -> None:
    def forward(m: Any, x: Any) -> Any:
        bias = m.table(torch.arange(x.size(1))).permute(1, 0)
        q = m.q(x)
        return functional.scaled_dot_product_attention(q, q, q, attn_mask=bias)

    module = Written(forward, q=nn.Linear(8, 8), table=nn.Embedding(8, 8))
    assert dict(find_structure(module, "end").tables) == {"table.weight": "bias of attention"}


def test_of_position_tables_that_are_summed_only_the_largest_is_not_0() -> None:
    """Rows and columns of an image."""

    def forward(m: Any, x: Any) -> Any:
        rows, columns = m.rows(torch.arange(3)), m.columns(torch.arange(5))
        grid = rows[:, None, :] + columns[None, :, :]
        return m.head(x + grid.flatten(0, 1).unsqueeze(0))

    def module() -> nn.Module:
        return Written(
            forward, rows=nn.Embedding(3, 8), columns=nn.Embedding(5, 8), head=nn.Linear(8, 2)
        )

    assert dict(find_structure(module(), "end").tables) == {
        "rows.weight": "position table summed with a larger one",
        "columns.weight": "position table",
    }
    plan = {tensor.info.name: tensor for tensor in plan_of(module).tensors}
    assert plan["rows.weight"].rule == Zeros()
    assert plan["rows.weight"].reason == "position table summed with a larger one: 0"
    assert plan["columns.weight"].rule == Mirrored(of=Identity())


def test_two_tables_that_are_concatenated_are_both_position_tables() -> None:
    def forward(m: Any, x: Any) -> Any:
        rows, columns = m.rows(torch.arange(5)), m.columns(torch.arange(5))
        return m.head(x + torch.cat([rows, columns], dim=-1))

    module = Written(
        forward, rows=nn.Embedding(5, 4), columns=nn.Embedding(5, 4), head=nn.Linear(8, 2)
    )
    assert set(find_structure(module, "end").tables.values()) == {"position table"}


def test_the_sum_of_two_lookups_of_one_input_is_not_residual() -> None:
    """Whatever is done to one of them: an embedding begins a trunk, it is no shortcut."""

    def forward(m: Any, x: Any) -> Any:
        return m.words(x) + m.project(m.small(x))

    module = Written(
        forward, words=nn.Embedding(9, 8), small=nn.Embedding(9, 4), project=nn.Linear(4, 8)
    )
    assert ends(module) == set()
    assert classes(module) == ["FORKS"]


class TwoTables(nn.Module):
    """Two token tables of one dim, each with a head, which may be the table itself."""

    def __init__(self, rows: tuple[int, int], *, is_second_tied: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Embedding(each, 8) for each in rows)
        self.mix = nn.Linear(8, 8)
        self.heads = nn.ModuleList(nn.Linear(8, each, bias=False) for each in rows)
        self.heads[0].weight = self.first.weight
        if is_second_tied:
            self.heads[1].weight = self.second.weight

    def forward(self, x: Any, y: Any) -> Any:
        mixed = functional.gelu(self.mix(self.first(x) + self.second(y)))
        return [head(mixed) for head in self.heads]


@pytest.mark.parametrize(
    ("rows", "is_second_tied"), [((40, 40), False), ((40, 24), True), ((24, 40), True)]
)
def test_a_table_is_tied_by_itself_and_not_by_another_of_its_dim(
    rows: tuple[int, int], is_second_tied: bool
) -> None:
    tokens = torch.zeros(1, 4, dtype=torch.long)
    plan = zeroinit_cli.plan(
        lambda: TwoTables(rows, is_second_tied=is_second_tied), example_inputs=(tokens, tokens)
    )
    found = {each.info.name: isinstance(each.rule, Mirrored) for each in plan.tensors}
    assert not found["first.weight"]
    assert found["second.weight"] is not is_second_tied

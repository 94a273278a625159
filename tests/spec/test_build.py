"""Modules that people train: what `build` gives, and what ZerO closes in it."""

from pathlib import Path

import pytest
import torch
from torch import nn

import zeroinit_cli
from zeroinit_cli.errors import SpecError, UnknownModelError
from zeroinit_cli.models import plan_source
from zeroinit_cli.nets.transformer import rotate, rotations
from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import Mirrored, Scaled
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Identity, Ones, Rule, Twisted, Zeros
from zeroinit_cli.sources import parse_source
from zeroinit_cli.store.write import write_checkpoint

GPT = "zeroinit: 1\nmodel:\n  gpt: {vocab_size: 32, max_seq_len: 16, num_layers: 2, num_heads: 4, "
LLAMA = (
    "hidden_dim: 16, num_kv_heads: 2, gated: true, activation: SiLU, norm: RMSNorm, "
    "positions: rotary, bias: false, tie_head: false}\n"
)
BERT = (
    "zeroinit: 1\nmodel:\n  encoder: {vocab_size: 32, max_seq_len: 16, num_layers: 2, "
    "num_heads: 4, hidden_dim: 16, padding_idx: 0, dropout: 0"
)
SMALL = Scaled(half_exponent=-8, of=Identity())
"""What ends a feed-forward branch."""


def planned(folder: Path, text: str) -> Plan:
    (folder / "x.yaml").write_text(text)
    return plan_source(parse_source(str(folder / "x.yaml")), Options())


def rules(plan: Plan) -> dict[str, Rule]:
    return {tensor.info.name: tensor.rule for tensor in plan.tensors}


def loaded(folder: Path, text: str) -> nn.Module:
    """The module with the checkpoint of its own spec."""
    from safetensors.torch import load_file

    from zeroinit_cli.atomic import guarded

    path = folder / "x.safetensors"
    with guarded(path):
        write_checkpoint(planned(folder, text), path)
    module = zeroinit_cli.build(folder / "x.yaml")
    module.load_state_dict(load_file(path), strict=True)
    return module


def test_attention_is_closed_and_positions_are_mirrored_in_a_gpt(tmp_path: Path) -> None:
    plan = planned(tmp_path, GPT + "hidden_dim: 16}\n")
    found = rules(plan)
    for block in ("blocks.0", "blocks.1"):
        closed = f"attention of residual branch {block}"
        assert found[f"{block}.attention.q_proj.weight"] == Identity()
        for letter in "kv":
            assert found[f"{block}.attention.{letter}_proj.weight"] == Zeros()
        assert found[f"{block}.attention.o_proj.weight"] == Identity()
        assert found[f"{block}.mlp.down_proj.weight"] == SMALL
        assert found[f"{block}.attention_norm.weight"] == Ones()
        reasons = [tensor.reason for tensor in plan.tensors if closed in tensor.reason]
        assert sorted(reasons) == [f"{closed}: k 0", f"{closed}: v 0"]
    signs = Twisted(block=16, prime=19, half_exponent=-7)  # half the tied token table's constant
    assert found["position_embedding.weight"] == Mirrored(of=signs)
    [head] = [tensor for tensor in plan.tensors if tensor.info.name == "head.weight"]
    assert head.tied_to == "token_embedding.weight"
    assert plan.warnings == ()


def test_grouped_queries_rotation_and_gates_are_closed_alike(tmp_path: Path) -> None:
    plan = planned(tmp_path, GPT + LLAMA)
    found = rules(plan)
    zeros = sorted(name for name, rule in found.items() if rule == Zeros())
    assert zeros == sorted(
        f"blocks.{block}.{name}.weight"
        for block in range(2)
        for name in ("attention.k_proj", "attention.v_proj")
    )
    assert found["blocks.1.mlp.down_proj.weight"] == SMALL
    assert not any("position" in name or "cos" in name for name in found)
    assert all(tensor.tied_to is None for tensor in plan.tensors)


@pytest.mark.parametrize("first", ["true", "false"])
def test_segments_are_0_and_the_padding_row_too_in_an_encoder(tmp_path: Path, first: str) -> None:
    found = rules(planned(tmp_path, f"{BERT}, norm_first: {first}}}\n"))
    assert found["segment_embedding.weight"] == Zeros()
    assert found["position_embedding.weight"] == Mirrored(of=Identity())
    assert found["token_embedding.weight"].kind == "zero-row"
    zeros = [name for name, rule in found.items() if rule == Zeros() and "blocks" in name]
    weights = sorted(name for name in zeros if name.endswith("weight"))
    assert weights == sorted(
        f"blocks.{block}.{name}.weight"
        for block in range(2)
        for name in ("attention.k_proj", "attention.v_proj")
    )
    assert found["blocks.1.mlp.down_proj.weight"] == SMALL


@pytest.mark.parametrize("fields", ["hidden_dim: 16}\n", LLAMA], ids=["gpt2", "llama"])
def test_every_weight_of_a_gpt_learns_within_a_few_steps(tmp_path: Path, fields: str) -> None:
    """Nothing is dead: two zeros in one branch would keep some weights where they are."""
    module = loaded(tmp_path, GPT + fields)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 32, (8, 17), generator=chance)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        scores = module(tokens[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    frozen = [
        name
        for name, value in module.state_dict().items()
        if torch.equal(value, before[name]) and not name.endswith("k_proj.bias")
    ]  # a key's bias moves all scores of a query alike, which softmax does not see
    assert frozen == []


def test_a_mask_and_a_shorter_sequence_do_not_change_what_is_seen(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"{BERT}}}\n")
    module = zeroinit_cli.build(str(tmp_path / "x.yaml")).eval()
    tokens = torch.arange(1, 13).reshape(1, 12)
    mask = torch.arange(12).reshape(1, 12) < 7
    with torch.no_grad():
        whole, pooled = module(tokens, mask=mask)
        short, again = module(tokens[:, :7])
    torch.testing.assert_close(whole[:, :7], short)
    torch.testing.assert_close(pooled, again)


def test_a_gpt_does_not_look_ahead(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GPT + LLAMA)
    module = zeroinit_cli.build(tmp_path / "x.yaml").eval()
    tokens = torch.arange(12).reshape(1, 12)
    changed = tokens.clone()
    changed[0, 8:] = 31
    with torch.no_grad():
        torch.testing.assert_close(module(tokens)[:, :8], module(changed)[:, :8])


def test_rotation_depends_on_distance_alone() -> None:
    """q at i and k at j give the same product wherever i - j is the same."""
    cos, sin = rotations(32, 8, 10_000.0)
    chance = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 8, generator=chance)
    rotated_q, rotated_k = rotate(q.expand(32, 8), cos, sin), rotate(k.expand(32, 8), cos, sin)
    products = rotated_q @ rotated_k.T
    for distance in range(8):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    torch.testing.assert_close(products.diagonal(), (q @ k).expand(32))


def test_two_towers_take_their_inputs_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "zeroinit: 1\ninput: {user: 3, item: 5}\nlayers:\n"
        "- parallel:\n    join: mul\n    branches: {user: [Linear: 4], item: [Linear: 4]}\n"
    )
    module = zeroinit_cli.build(tmp_path / "x.yaml")
    item, user = torch.randn(2, 5), torch.randn(2, 3)
    [towers] = module.children()
    expected = towers.get_submodule("item")(item) * towers.get_submodule("user")(user)
    torch.testing.assert_close(module(item, user), expected)


def test_build_takes_a_models_name_too() -> None:
    module = zeroinit_cli.build("squeezenet1_1")
    assert sum(each.numel() for each in module.parameters()) == 1_235_496


def test_build_raises_what_the_command_prints(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("zeroinit: 1\ninput: 8\nlayers: [Relu]\n")
    with pytest.raises(SpecError, match="unknown layer 'Relu'"):
        zeroinit_cli.build(tmp_path / "x.yaml")
    with pytest.raises(UnknownModelError):
        zeroinit_cli.build("resnet81")

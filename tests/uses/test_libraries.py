"""Experts, encoder-decoders and foreign layers as other packages write them."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zeroinit_cli
from tests.uses.started import rules
from zeroinit_cli.errors import NoRuleError, UsageError
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.plans.layouts import Groups, Scaled, Split, Viewed
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Identity, Kept, Rule, Twisted, Zeros

import_torchvision()

IDS = torch.arange(18).view(2, 9) + 5
EXPERTS, WIDTH, INNER = 4, 64, 128


def mixtral() -> Any:
    transformers = pytest.importorskip("transformers", reason="models of that package")
    config = transformers.MixtralConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=INNER,
        vocab_size=300,
        num_local_experts=EXPERTS,
    )
    return transformers.MixtralForCausalLM(config)


def of_mixtral(*overrides: str) -> dict[str, Rule]:
    plan = zeroinit_cli.plan(mixtral, example_inputs={"input_ids": IDS}, overrides=overrides)
    return {each.info.name.rpartition("experts.")[2]: each.rule for each in plan.tensors}


def test_experts_begin_as_the_layers_of_a_mixture_of_one() -> None:
    """Gate and up fused in each; the way back ends the branch, a sixteenth of what it would be."""
    half = (INNER, Twisted(block=64, prime=131, half_exponent=-7))
    found = of_mixtral()
    assert found["gate_up_proj"] == Viewed(
        rows=EXPERTS * 2 * INNER, of=Groups(count=EXPERTS, of=Split(parts=(half, half)))
    )
    way_back = Viewed(rows=EXPERTS * WIDTH, of=Groups(count=EXPERTS, of=Identity()))
    assert found["down_proj"] == Scaled(half_exponent=-8, of=way_back)


def test_overrides_mean_each_matrix_of_a_stack_or_are_refused() -> None:
    found = of_mixtral("*.experts.*=algorithm-1")
    assert found["down_proj"] == Viewed(
        rows=EXPERTS * WIDTH, of=Groups(count=EXPERTS, of=Identity())
    )
    with pytest.raises(NoRuleError):  # what is drawn cannot be kept
        of_mixtral("*.experts.down_proj=kept")
    with pytest.raises(UsageError) as caught:
        of_mixtral("*.experts.*=algorithm-2")
    assert caught.value.expected == "a convolution's floating kernel (c_out, c_in, *spatial)"


def bart() -> Any:
    transformers = pytest.importorskip("transformers", reason="models of that package")
    config = transformers.BartConfig(
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=300,
    )
    return transformers.BartModel(config)


def residual_adds(plan: Plan) -> int:
    return sum(kind.startswith("residual") for _, kind in plan.adds)


@pytest.mark.parametrize("inputs", [None, {"input_ids": IDS, "decoder_input_ids": IDS[:, :7]}])
def test_every_branch_of_an_encoder_and_decoder_is_found_and_closed(inputs: Any) -> None:
    """Two in each of two blocks, and three in each that attends to the other part as well."""
    plan = zeroinit_cli.plan(bart, example_inputs=inputs)
    assert residual_adds(plan) == 2 * 2 + 2 * 3
    assert "open-branch" not in {each.kind for each in plan.warnings}


def test_layers_of_pytorch_geometric_begin_as_torchs() -> None:
    geometric: Any = pytest.importorskip("torch_geometric.nn", reason="its own Linear")
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    build = partial(geometric.GCN, 16, 32, 2, 4)
    found = rules(build, torch.ones(4, 16), edges)
    assert found["convs.0.lin.weight"] == Twisted(block=16, prime=43, half_exponent=-5)
    assert found["convs.1.lin.weight"] == Identity()


def test_a_module_that_is_both_adapted_and_frozen_is_planned_by_what_it_does() -> None:
    """A foreign adapter: one matrix (in, rank) before one (rank, out), beside a layer."""

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(8, 16)
            self.down = nn.Parameter(torch.randn(8, 2))
            self.up = nn.Parameter(torch.zeros(2, 16))

        def forward(self, x: torch.Tensor) -> Any:
            return self.base(x) + x @ self.down @ self.up * 0.5

    found = rules(Adapted, torch.ones(2, 8))
    assert found["up"] == Zeros()
    assert found["base.weight"] == Twisted(block=8, prime=19, half_exponent=-4)
    assert not isinstance(found["down"], Zeros | Kept)


class Listener(nn.Module):
    """Sounds of one length and the words of them, as of Whisper."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 8, 3, 2, 1)
        self.places, self.words = nn.Embedding(30, 8), nn.Embedding(50, 8)
        self.reader = nn.Linear(8, 8)

    def forward(self, sounds: Tensor, mask: Any = None, ids: Any = None) -> Any:
        heard = self.second(self.first(sounds)).mT + self.places.weight
        read = self.words(ids) + heard.mean(1, keepdim=True)
        return read + self.reader(read)


def test_sounds_are_as_long_as_the_positions_and_come_with_words() -> None:
    sounds, ids = torch.zeros(2, 4, 60), torch.zeros(2, 5, dtype=torch.long)
    given = zeroinit_cli.plan(Listener, example_inputs={"sounds": sounds, "ids": ids})
    guessed = zeroinit_cli.plan(Listener)
    assert guessed.tensors == given.tensors
    assert [each.kind for each in guessed.warnings] == [each.kind for each in given.warnings]

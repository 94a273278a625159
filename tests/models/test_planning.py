"""Ties, kept values, and what cannot be planned: modules made for the test."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from zeroinit_cli.dtypes import BY_NAME
from zeroinit_cli.errors import NoRuleError, PlanError
from zeroinit_cli.models.planning import plan_factory
from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import Mirrored, Split, Viewed, ZeroRow
from zeroinit_cli.plans.norms import Norms
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Identity, Kept, Ones, Twisted, Zeros


def plan_of(factory: Callable[[], nn.Module], options: Options | None = None) -> Plan:

    return plan_factory(factory, options or Options(), "a test")[1]


def rules_of(factory: Callable[[], nn.Module]) -> dict[str, object]:
    return {tensor.info.name: tensor.rule for tensor in plan_of(factory).tensors}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight


def test_tied_parameters_have_one_rule_and_are_written_under_every_name() -> None:
    plan = plan_of(Tied)
    first, second = plan.tensors
    assert (first.info.name, first.tied_to) == ("embed.weight", None)
    assert (second.info.name, second.tied_to) == ("head.weight", "embed.weight")
    assert first.rule == second.rule == Twisted(block=4, prime=11, half_exponent=-4)
    reason = "embedding table that is the head, too: Algorithm 1"
    assert first.reason == second.reason == reason


def test_the_padding_row_of_an_embedding_is_zero() -> None:
    rules = rules_of(lambda: nn.Embedding(3, 4, padding_idx=-1))
    signs = Mirrored(of=Twisted(block=4, prime=7, half_exponent=0))
    assert rules == {"weight": ZeroRow(row=2, of=signs)}


def test_fused_projections_are_split() -> None:
    rules = rules_of(lambda: nn.MultiheadAttention(4, 2))
    assert rules["in_proj_weight"] == Split(parts=((4, Identity()),) * 3)
    assert rules["in_proj_bias"] == Zeros()
    separate = rules_of(lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=8))
    assert separate["q_proj_weight"] == Identity()
    assert separate["k_proj_weight"] == Twisted(block=4, prime=7, half_exponent=-2)
    assert separate["v_proj_weight"] == Identity()


@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.BatchNorm1d(4),
        lambda: nn.SyncBatchNorm(4),
        lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        lambda: nn.LayerNorm(4),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.RMSNorm(4),
    ],
)
def test_norms_of_every_type_are_one_and_zero(norm: Callable[[], nn.Module]) -> None:
    rules = rules_of(norm)
    expected = {
        "weight": Ones(),
        "bias": Zeros(),
        "running_mean": Zeros(),
        "running_var": Ones(),
        "num_batches_tracked": Zeros(),
    }
    assert rules
    assert rules == {name: expected[name] for name in rules}


class Prior(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        nn.init.constant_(self.head.bias, -4.5)
        self.register_buffer("table", torch.arange(3))
        self.register_buffer("hidden", torch.ones(3), persistent=False)
        self.scale = nn.Parameter(torch.full((4,), 1e-6))


def test_constants_of_the_constructor_are_kept_and_rounded_once_to_the_type() -> None:
    plan = plan_of(Prior, Options(dtype=BY_NAME["bfloat16"]))
    kept = {
        tensor.info.name: (tensor.info.dtype.code, plan.kept[tensor.rule.sha256].hex())
        for tensor in plan.tensors
        if isinstance(tensor.rule, Kept)
    }
    scale = torch.full((4,), 1e-6).bfloat16().view(torch.uint8).numpy().tobytes().hex()
    assert kept == {
        "head.bias": ("BF16", "90c090c0"),
        "scale": ("BF16", scale),
        "table": ("I64", torch.arange(3).numpy().tobytes().hex()),
    }


class Prototypes(nn.Module):
    """Uses two random parameters as no function does whose parameters have a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 4)
        self.centres = nn.Parameter(torch.randn(5, 4))
        self.phases = nn.Parameter(torch.randn(5))

    def forward(self, values: Tensor) -> Tensor:
        return torch.cdist(self.encoder(values), self.centres) * torch.cos(self.phases)


def test_a_random_tensor_without_a_rule_is_an_error_that_names_it() -> None:
    with pytest.raises(NoRuleError) as caught:
        plan_of(Prototypes)
    assert str(caught.value) == (
        "error: 2 random tensors have no rule in a test\n"
        "  expected: a kind of tensor that the policy knows; none is guessed\n"
        "  found: centres [5, 4] of Prototypes, phases [5] of Prototypes\n"
        "\n"
        "hint: --override 'centres=zeros' names a rule: "
        "algorithm-1, algorithm-2, kept, ones, patch, position, transposed:algorithm-1, "
        "transposed:algorithm-2, zeros"
    )


def gates(count: int) -> dict[str, object]:
    """Of a recurrent layer from 3 to 4, each gate by itself; of one gate without a split."""
    state, given = (Twisted(block=4, prime=7, half_exponent=-2),) * 2
    if count == 1:
        return {"hh": state, "ih": given}
    return {"hh": Split(parts=((4, state),) * count), "ih": Split(parts=((4, given),) * count)}


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (nn.LSTM, 4),
        (nn.GRU, 3),
        (nn.RNN, 1),
        (nn.LSTMCell, 4),
        (nn.GRUCell, 3),
        (nn.RNNCell, 1),
    ],
)
def test_recurrent_layers_are_ruled_gate_by_gate(
    layer: Callable[[int, int], nn.Module], count: int
) -> None:
    end = "" if isinstance(layer(3, 4), nn.RNNCellBase) else "_l0"
    assert rules_of(lambda: layer(3, 4)) == {
        f"bias_hh{end}": Zeros(),
        f"bias_ih{end}": Zeros(),
        **{f"weight_{name}{end}": rule for name, rule in gates(count).items()},
    }


def test_a_bilinear_map_is_ruled_on_pairs() -> None:
    rules = rules_of(lambda: nn.Bilinear(2, 3, 4))
    assert rules == {"weight": Viewed(rows=4, of=Identity()), "bias": Zeros()}


def test_weight_norm_gives_what_the_weight_would_get() -> None:
    weight = Twisted(block=4, prime=7, half_exponent=-2)
    assert rules_of(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))) == {
        "parametrizations.weight.original0": Norms(of=weight, shape=(4, 3), dim=0),
        "parametrizations.weight.original1": weight,
        "bias": Zeros(),
    }


def test_what_joins_keys_and_values_begins_with_nothing() -> None:
    rules = rules_of(lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True))
    assert rules["bias_k"] == rules["bias_v"] == Zeros()


def test_a_state_dict_entry_that_is_no_tensor_is_an_error() -> None:
    class Extra(nn.Module):
        def get_extra_state(self) -> dict[str, int]:
            return {"step": 1}

        def set_extra_state(self, state: object) -> None:
            pass

    with pytest.raises(PlanError) as caught:
        plan_of(Extra)
    assert str(caught.value) == (
        "error: a state dict entry that is no parameter or buffer in a test: _extra_state\n"
        "  found: dict"
    )


def test_a_complex_buffer_is_an_error() -> None:
    class Phases(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("phases", torch.ones(2, dtype=torch.complex64))

    with pytest.raises(PlanError, match="a tensor type that no rule covers in phases"):
        plan_of(Phases)


def test_a_constructor_of_random_structure_is_an_error() -> None:
    with pytest.raises(PlanError, match="the constructor is random"):
        plan_of(lambda: nn.Linear(3, int(torch.randint(1, 10**6, ()))))
